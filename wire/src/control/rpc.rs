//! Calls, answers and progress: the frame that everything else travels in.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RpcError;

const VERSION: &str = "2.0";

/// A request or notification as it goes over the socket.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// Absent for a notification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// See the table in the documentation of the module above.
    pub method: String,
    /// An object, or absent.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub params: serde_json::Value,
}

/// Without parameters: passwords are among them.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("id", &self.id)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// An answer as it goes over the socket.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// Of the request; absent when that could not be read.
    pub id: Option<u64>,
    /// Present on success; may be `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// Present on failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

/// Without results: parts of personal .torrents are among them.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("id", &self.id)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Parameters of a `progress` notification.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress<T> {
    /// Of the request.
    pub id: u64,
    /// See the table in the documentation of the module above.
    pub progress: T,
}

/// `cancel`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cancel {
    /// Of the request to stop waiting for.
    pub id: u64,
}

impl Call {
    /// A request.
    #[must_use]
    pub fn new(id: u64, method: impl Into<String>, params: Value) -> Self {
        Self {
            jsonrpc: VERSION.to_owned(),
            id: Some(id),
            method: method.into(),
            params,
        }
    }

    /// A notification: it is not answered.
    #[must_use]
    pub fn notification(method: impl Into<String>, params: Value) -> Self {
        Self {
            id: None,
            ..Self::new(0, method, params)
        }
    }
}

impl Answer {
    /// Success.
    #[must_use]
    pub fn ok(id: u64, result: Value) -> Self {
        Self {
            jsonrpc: VERSION.to_owned(),
            id: Some(id),
            result: Some(result),
            error: None,
        }
    }

    /// Failure; `id` is `None` when that of the request could not be read.
    #[must_use]
    pub fn err(id: Option<u64>, error: RpcError) -> Self {
        Self {
            jsonrpc: VERSION.to_owned(),
            id,
            result: None,
            error: Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ErrorKind;
    use super::*;
    use serde_json::{json, to_value};

    #[test]
    fn calls_and_answers_are_json_rpc() {
        assert_eq!(
            to_value(Call::new(7, "item.show", json!({"item": "3f2a"}))).unwrap(),
            json!({"jsonrpc": "2.0", "id": 7, "method": "item.show", "params": {"item": "3f2a"}})
        );
        assert_eq!(
            to_value(Call::notification("cancel", Value::Null)).unwrap(),
            json!({"jsonrpc": "2.0", "method": "cancel"})
        );
        assert_eq!(
            to_value(Answer::ok(7, Value::Null)).unwrap(),
            json!({"jsonrpc": "2.0", "id": 7, "result": null})
        );
        let error = RpcError::new(ErrorKind::NotFound, "what", "why", "fix");
        assert_eq!(
            to_value(Answer::err(None, error)).unwrap(),
            json!({"jsonrpc": "2.0", "id": null, "error": {"code": 4, "message": "what",
                "data": {"kind": "not_found", "why": "why", "fix": "fix"}}})
        );
    }
}
