//! The control socket itself, for who asks often and must not pay for the start of a program each time.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use p2p_wire::control::{Answer, Call, Hello, PROTO};
use serde_json::{Value, json};

/// Until an answer is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A greeted connection that asks one thing after the other.
#[derive(Debug)]
pub struct Control {
    stream: BufReader<UnixStream>,
    last: u64,
}

impl Control {
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut control = Self {
            stream: BufReader::new(stream),
            last: 0,
        };
        let hello = Hello {
            proto: [PROTO, PROTO],
            client: "tests".to_owned(),
        };
        control.call("hello", json!(hello))?;
        Ok(control)
    }

    /// Asks and waits for the answer; an error if it is one.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.last += 1;
        let mut line = serde_json::to_vec(&Call::new(self.last, method, params))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .with_context(|| format!("wait for the answer to {method}"))?;
        let answer: Answer = serde_json::from_str(&line)?;
        match answer.error {
            Some(error) => bail!("{method}: {error:?}"),
            None => Ok(answer.result.unwrap_or_default()),
        }
    }
}
