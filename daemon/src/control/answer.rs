//! Parameters in, answers out: how a request is read and how what came of it is written.

use p2p_wire::control::{Answer, ErrorData, ErrorKind, RpcError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Fault;

/// The line is no JSON.
pub(super) const PARSE_ERROR: i32 = -32700;
/// The line is JSON but no request.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// There is no such method.
const METHOD_NOT_FOUND: i32 = -32601;
/// The parameters are not those of the method.
const INVALID_PARAMS: i32 = -32602;

/// What a method comes to: a value, or an error as it goes over the socket.
pub(super) type Outcome = Result<Json, RpcError>;

/// A value in JSON. Written straight from what it is: a page of a thousand items is not built as a tree first.
#[derive(Debug)]
pub(super) struct Json(String);

/// Reads the parameters of a method. Absent parameters are an empty object: some methods need none.
pub(super) fn params<P: DeserializeOwned>(params: Value) -> Result<P, RpcError> {
    let params = match params {
        Value::Null => Value::Object(serde_json::Map::new()),
        other => other,
    };
    serde_json::from_value(params).map_err(|error| {
        protocol_error(
            INVALID_PARAMS,
            "the parameters are not those of this method",
            error.to_string(),
        )
    })
}

/// The value that a method answers with.
pub(super) fn value(result: Result<impl Serialize, Fault>) -> Outcome {
    let value = result.map_err(fault)?;
    serde_json::to_string(&value).map(Json).map_err(|error| {
        // Only a map with keys that are no text can fail, and the protocol has none.
        fault(Fault::new(
            ErrorKind::Failed,
            "the answer cannot be written",
            error.to_string(),
            "Report this: it is a fault of p2pd",
        ))
    })
}

/// The value of a method that has nothing to say.
pub(super) fn null() -> Json {
    Json("null".to_owned())
}

/// The error for a name that is no method.
pub(super) fn no_such_method(method: &str) -> RpcError {
    protocol_error(
        METHOD_NOT_FOUND,
        "there is no such method",
        format!("p2pd does not know `{method}`"),
    )
}

/// An error in how the request was made.
pub(super) fn protocol_error(code: i32, message: &str, why: String) -> RpcError {
    RpcError {
        code,
        message: message.to_owned(),
        data: Some(ErrorData {
            kind: ErrorKind::Usage,
            why,
            fix: String::new(),
        }),
    }
}

/// A fault as it goes over the socket; the code is its exit code.
pub(super) fn fault(fault: Fault) -> RpcError {
    RpcError {
        code: fault.kind as i32,
        message: fault.what,
        data: Some(ErrorData {
            kind: fault.kind,
            why: fault.why,
            fix: fault.fix,
        }),
    }
}

/// The line of an answer, with its end.
pub(super) fn line(id: Option<u64>, outcome: Outcome) -> String {
    match outcome {
        Ok(Json(value)) => {
            let id = id.map_or_else(|| "null".to_owned(), |id| id.to_string());
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{value}}}\n")
        }
        Err(error) => text(&Answer::err(id, error)),
    }
}

/// The line of a notification, with its end.
pub(super) fn notification(method: &str, params: impl Serialize) -> String {
    #[derive(Serialize)]
    struct Notification<'a, P> {
        jsonrpc: &'a str,
        method: &'a str,
        params: P,
    }
    text(&Notification {
        jsonrpc: "2.0",
        method,
        params,
    })
}

fn text(message: &impl Serialize) -> String {
    let mut line = serde_json::to_string(message).expect("texts are the only keys");
    line.push('\n');
    line
}
