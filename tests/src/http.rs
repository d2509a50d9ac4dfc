//! The smallest client of a tracker's API.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// One request to `http://host:port` on a connection of its own: the status and the JSON of the answer. `Err` when there is no answer.
pub fn request(
    url: &str,
    method: &str,
    path: &str,
    token: &str,
    body: &Value,
) -> Result<(u16, Value)> {
    let host = url.strip_prefix("http://").context("not an http URL")?;
    let mut socket = TcpStream::connect(host)?;
    socket.set_read_timeout(Some(LIMIT))?;
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    if !token.is_empty() {
        head.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    socket.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let body = match body {
        "" => Value::Null,
        body => serde_json::from_str(body).with_context(|| format!("not JSON: {body}"))?,
    };
    Ok((status, body))
}
