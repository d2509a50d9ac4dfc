//! What may be published: a .torrent that can be used, under names that can travel.

use data_encoding::BASE64;
use p2p_wire::api::{DEFAULT_SHARE, ProblemType, Publish};
use p2p_wire::is_harmless;
use p2p_wire::metainfo::Metainfo;

use crate::accounts::Login;
use crate::refusal::Refusal;
use crate::store::NewFile;
use crate::time::unix_now;

const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 64;
const MAX_SHARE: usize = 255;
const MAX_ENTRY: usize = 1_024;
/// Bytes of paths that the search knows of one content.
const MAX_PATHS: usize = 256 * 1_024;

/// What `login` asks to publish, with a .torrent of at most `max_torrent` bytes, as it is kept.
pub(super) fn new_file(
    login: &Login,
    request: Publish,
    max_torrent: u64,
    max_stored: u64,
) -> Result<NewFile, Refusal> {
    let bad = |why: String, hint| Refusal::new(ProblemType::BadMetainfo, why, hint);
    check_tags(&request.tags)?;
    let bytes = BASE64
        .decode(request.metainfo.as_bytes())
        .map_err(|error| {
            bad(
                format!("`metainfo` is not base64: {error}"),
                "Send the whole .torrent in base64 (RFC 4648), padded.",
            )
        })?;
    if bytes.len() as u64 > max_torrent {
        return Err(Refusal::new(
            ProblemType::TooLarge,
            format!("the .torrent is larger than {max_torrent} bytes"),
            "Use larger pieces.",
        ));
    }
    let metainfo = Metainfo::from_bytes(&bytes).map_err(|error| {
        bad(
            format!("the .torrent cannot be used: {error}"),
            "Send a whole .torrent as p2pctl create or another program made it.",
        )
    })?;
    let info = &metainfo.info;
    let share = request.share.unwrap_or_else(|| DEFAULT_SHARE.to_owned());
    if share.len() > MAX_SHARE || share.contains('/') || !is_name(&share) {
        return Err(Refusal::invalid(
            "`share` cannot be the name of a share",
            format!(
                "Take 1 to {MAX_SHARE} bytes without `/` and control characters, and not `.` or `..`."
            ),
        ));
    }
    let entry = request.name.unwrap_or_else(|| info.name().to_owned());
    if entry.len() > MAX_ENTRY || !is_name(&entry) {
        return Err(Refusal::invalid(
            "`name` cannot be the name of an entry",
            format!(
                "Take 1 to {MAX_ENTRY} bytes without control characters; no part between `/` may be empty, `.` or `..`."
            ),
        ));
    }
    let mut paths = String::new();
    let real = info.files().iter().filter(|file| !file.padding);
    for file in real.clone() {
        if paths.len() < MAX_PATHS {
            paths.push_str(&file.path.join("/"));
            paths.push('\n');
        }
    }
    Ok(NewFile {
        account: login.account.id,
        node: login.node.row.id,
        share,
        entry,
        tags: request.tags,
        visibility: request.visibility,
        join: request.join,
        info_hash: info.info_hash(),
        info: info.raw().clone(),
        size: info.layout().total_len(),
        pieces: info.layout().pieces(),
        piece_len: info.layout().piece_len(),
        files: u32::try_from(real.count()).unwrap_or(u32::MAX),
        paths,
        max_stored,
        now: unix_now(),
    })
}

/// Names travel in URLs and end up as paths: no empty or dotted parts, nothing a terminal would act on.
fn is_name(path: &str) -> bool {
    let part_ok = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(part_ok) && path.chars().all(is_harmless)
}

pub(super) fn check_tags(tags: &[String]) -> Result<(), Refusal> {
    let tag_ok =
        |tag: &String| !tag.is_empty() && tag.len() <= MAX_TAG && tag.chars().all(is_harmless);
    if tags.len() <= MAX_TAGS && tags.iter().all(tag_ok) {
        return Ok(());
    }
    Err(Refusal::invalid(
        "`tags` are too many, or one of them cannot be a tag",
        format!(
            "Take at most {MAX_TAGS}, each of 1 to {MAX_TAG} bytes without control characters."
        ),
    ))
}
