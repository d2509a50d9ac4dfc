//! What the lines mean that p2pd sends.

use p2p_wire::control::{Answer, Call, ErrorKind, Progress, RpcError};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::client::Message;
use crate::error::Error;

/// What kind of line it is, without the rest.
#[derive(Deserialize)]
pub(crate) struct Head {
    /// Of the request that it answers.
    pub(crate) id: Option<u64>,
    /// It is no answer.
    pub(crate) method: Option<IgnoredAny>,
}

impl Head {
    /// Reads a line so far.
    pub(crate) fn of(line: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|error| broken("p2pd", &error))
    }
}

/// An answer as what it is of. A page of a thousand items is read straight into items: as a tree first it would take three times as long.
#[derive(Deserialize)]
#[serde(bound = "R: DeserializeOwned")]
struct AnswerOf<R> {
    result: Option<R>,
    error: Option<RpcError>,
}

/// Reads the answer to `method`.
pub(crate) fn read_answer<R: DeserializeOwned>(method: &str, line: &[u8]) -> Result<R, Error> {
    let answer: AnswerOf<R> = serde_json::from_slice(line).map_err(|e| broken(method, &e))?;
    match (answer.error, answer.result) {
        (Some(error), _) => Err(Error::from_rpc(method, error)),
        (None, Some(result)) => Ok(result),
        (None, None) => decode(method, Value::Null),
    }
}

/// Reads a result as the type that the protocol's table gives for `method`.
pub(crate) fn decode<R: DeserializeOwned>(method: &str, value: Value) -> Result<R, Error> {
    serde_json::from_value(value).map_err(|error| broken(method, &error))
}

/// Reads a line; `None` for a notification that this version does not know.
pub(crate) fn read_message(line: &[u8]) -> Result<Option<Message>, Error> {
    let value: Value = serde_json::from_slice(line).map_err(|error| broken("p2pd", &error))?;
    if value.get("method").is_none() {
        let answer: Answer = decode("p2pd", value)?;
        let result = match answer.error {
            Some(error) => Err(error),
            None => Ok(answer.result.unwrap_or(Value::Null)),
        };
        return match answer.id {
            Some(id) => Ok(Some(Message::Done { id, answer: result })),
            // The daemon could not read what we sent.
            None => Err(result.err().map_or_else(
                || broken("p2pd", &"an answer without id"),
                |error| Error::from_rpc("p2pd", error),
            )),
        };
    }
    let call: Call = decode("p2pd", value)?;
    Ok(match call.method.as_str() {
        "progress" => {
            let progress: Progress<Value> = decode("progress", call.params)?;
            Some(Message::Progress {
                id: progress.id,
                value: progress.progress,
            })
        }
        "event" => Some(Message::Event(decode("event", call.params)?)),
        "gap" => Some(Message::Gap(decode("gap", call.params)?)),
        _ => None,
    })
}

/// The error for what is no answer of a p2pd of this version.
pub(crate) fn broken(method: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Incompatible,
        format!("the answer to {method} cannot be read"),
        format!("{error}; what listens at the socket is no p2pd, or one of another version."),
        "Compare the versions:  p2pctl -V",
    )
}
