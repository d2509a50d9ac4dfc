//! Reading what comes back.

use std::io::Read;
use std::net::TcpStream;

use p2p_wire::announce::{Peers, Reply};
use serde_json::Value;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body, if the status is this one.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// Fails unless this is that problem, well formed.
    pub(crate) fn expect_problem(&self, status: u16, kind: &str) {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "expected {kind}: {body}");
        assert!(
            self.head
                .to_lowercase()
                .contains("content-type: application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(
            (problem["type"].as_str(), problem["status"].as_u64()),
            (Some(kind), Some(status.into())),
            "{body}"
        );
        assert!(
            problem["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.head, String::from_utf8_lossy(&self.body))
    }
}

/// Reads one answer to the end of the connection.
pub(crate) fn read_answer(socket: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer is the other side's right.
    let _ = socket.read_to_end(&mut bytes);
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {bytes:?}"));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head,
        body: bytes[end + 4..].to_vec(),
    }
}

/// The peers of an announce that was taken.
pub(crate) fn peers(reply: Reply) -> Peers {
    match reply {
        Reply::Peers(peers) => peers,
        Reply::Failure { reason, .. } => panic!("{reason}"),
    }
}

/// The reason of one that was not.
pub(crate) fn failure(reply: Reply) -> String {
    match reply {
        Reply::Failure { reason, .. } => reason,
        Reply::Peers(peers) => panic!("{peers:?}"),
    }
}

/// What a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
