//! Bodies: of the right type, no larger than they may be, read only after the caller is known.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use p2p_wire::api::ProblemType;
use serde::de::DeserializeOwned;
use tokio::sync::SemaphorePermit;

use crate::refusal::Refusal;
use crate::tracker::{BODIES_KIB, Tracker};

/// Bytes of a JSON body that carries no .torrent.
pub(crate) const SMALL: usize = 64 * 1_024;

/// Waits until the large bodies that are being read and worked on leave room for another of at most `limit` bytes: each member may send
/// some megabytes on each connection, the tracker's memory has an end. Small bodies wait for nobody.
pub(crate) async fn room<'a>(
    tracker: &'a Tracker,
    headers: &HeaderMap,
    limit: usize,
) -> Option<SemaphorePermit<'a>> {
    let bytes = announced_len(headers).map_or(limit, |len| {
        usize::try_from(len).map_or(limit, |len| len.min(limit))
    });
    if bytes <= SMALL {
        return None;
    }
    let kib = u32::try_from(bytes / 1_024).unwrap_or(u32::MAX);
    // Nobody closes it.
    tracker.bodies.acquire_many(kib.min(BODIES_KIB)).await.ok()
}

fn announced_len(headers: &HeaderMap) -> Option<u64> {
    let len = headers.get(header::CONTENT_LENGTH)?;
    len.to_str().ok()?.parse().ok()
}

/// Reads a JSON body of at most `limit` bytes.
pub(crate) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<T, Refusal> {
    let bytes = read(headers, body, "application/json", limit).await?;
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Refusal::new(
            ProblemType::BadRequest,
            "the body is no JSON object",
            "Send the fields as an object, such as {\"username\": \"ann\"}.",
        ));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        if error.is_data() {
            Refusal::invalid(
                format!("the body does not fit: {error}"),
                "docs/protocol.md shows what each route takes.",
            )
        } else {
            Refusal::new(
                ProblemType::BadRequest,
                format!("the body is not JSON: {error}"),
                "Correct it at that place and send it again.",
            )
        }
    })
}

/// Reads a body of this content type of at most `limit` bytes.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    content_type: &str,
    limit: usize,
) -> Result<Bytes, Refusal> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(content_type) {
        return Err(Refusal::new(
            ProblemType::WrongType,
            format!("the body is not of the type {content_type}"),
            format!("Send it with `Content-Type: {content_type}`."),
        ));
    }
    let too_large = || {
        Refusal::new(
            ProblemType::TooLarge,
            format!("the body is larger than {limit} bytes"),
            "Send less at once. A .torrent with larger pieces is smaller.",
        )
    };
    // What says beforehand that it is too large is not read at all.
    if announced_len(headers).is_some_and(|len| len > limit as u64) {
        return Err(too_large());
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Refusal::new(
            ProblemType::BadRequest,
            "the body ended early",
            "Send all that its length announces.",
        )),
    }
}
