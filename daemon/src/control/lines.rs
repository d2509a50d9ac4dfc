//! The lines of a client: read, understood and written, each of at most [`MAX_LINE`] bytes.

use std::io;
use std::time::Duration;

use interprocess::local_socket::tokio::Stream;
use p2p_wire::control::{Call, ErrorKind, MAX_LINE};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::answer::{self, INVALID_REQUEST, Outcome, PARSE_ERROR};
use crate::Fault;

/// How long a client may take nothing of what it is sent.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the reader came upon.
pub(super) enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads on in `line` until it is whole; what an interrupted call has read stays there for the next.
pub(super) async fn read_line(
    reader: &mut BufReader<ReadHalf<Stream>>,
    line: &mut Vec<u8>,
) -> io::Result<Line> {
    let room = (MAX_LINE + 1).saturating_sub(line.len()) as u64;
    reader.take(room).read_until(b'\n', line).await?;
    match line.last() {
        Some(b'\n') => {
            line.pop();
            Ok(Line::Whole)
        }
        _ if line.len() > MAX_LINE => Ok(Line::TooLong),
        _ => Ok(Line::End),
    }
}

/// A line as a request; `Err` is what to answer to one that is none.
pub(super) fn parse(line: &[u8]) -> Result<Call, Outcome> {
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        let why = error.to_string();
        Err(answer::protocol_error(
            PARSE_ERROR,
            "the line is no JSON",
            why,
        ))
    })?;
    let invalid = |why: String| {
        let what = "the line is no JSON-RPC 2.0 request";
        Err(answer::protocol_error(INVALID_REQUEST, what, why))
    };
    let call: Call = serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
    if call.jsonrpc != "2.0" {
        return Err(invalid(format!("`jsonrpc` is `{}`", call.jsonrpc)));
    }
    Ok(call)
}

/// An answer as a line, or that it is too long for one.
pub(super) fn line_of(id: Option<u64>, outcome: Outcome) -> String {
    let line = answer::line(id, outcome);
    if line.len() <= MAX_LINE {
        return line;
    }
    let fault = Fault::new(
        ErrorKind::Failed,
        "the answer is too long",
        format!(
            "It takes {} bytes; a line has at most {MAX_LINE}",
            line.len()
        ),
        "Ask for less at a time",
    );
    answer::line(id, Err(answer::fault(fault)))
}

/// Writes lines as they come, until there will be no more or the client takes none.
pub(super) async fn write_lines(mut half: WriteHalf<Stream>, mut queue: mpsc::Receiver<String>) {
    while let Some(line) = queue.recv().await {
        match timeout(WRITE_TIMEOUT, half.write_all(line.as_bytes())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                tracing::info!("a client of the control socket does not read and is dropped");
                return;
            }
        }
    }
    let _ = half.shutdown().await;
}
