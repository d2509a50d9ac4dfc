//! Making calls, answers and errors.

use serde_json::Value;

use super::{Answer, Call, ErrorData, ErrorKind, RpcError};

const VERSION: &str = "2.0";

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

impl RpcError {
    /// What failed, why, and what to do; the code is that of `kind`.
    #[must_use]
    pub fn new(
        kind: ErrorKind,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            code: i32::from(kind.exit_code()),
            message: what.into(),
            data: Some(ErrorData {
                kind,
                why: why.into(),
                fix: fix.into(),
            }),
        }
    }
}

impl ErrorKind {
    /// What p2pctl exits with.
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
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
