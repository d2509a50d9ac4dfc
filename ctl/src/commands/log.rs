//! `log`: the daemon's log.

use clap::Args;
use p2p_wire::control::{LogLine, LogTail};
use serde_json::Value;

use crate::client::Message;
use crate::context::Context;
use crate::error::Error;
use crate::lines::decode;
use crate::rows;

/// Arguments of `log`.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Go on with new lines until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// How many of the last lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: u32,
    /// Of this item alone: its hash, a prefix of 4 or more digits, or its name
    #[arg(long, value_name = "HASH")]
    item: Option<String>,
}

impl Log {
    /// Prints the last lines, and goes on with `--follow`.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        let params = LogTail {
            lines: Some(self.lines),
            item: self.item,
            follow: self.follow,
        };
        let asked = client.start("log.tail", params)?;
        loop {
            match client.next(None)? {
                Message::Progress { id, value } if id == asked => print(context, value)?,
                Message::Done { id, answer } if id == asked => {
                    print(context, answer.map_err(|e| Error::from_rpc("log.tail", e))?)?;
                    // The last lines are the answer; those that follow come as progress of the same request.
                    if !self.follow {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }
}

/// One line or several.
fn print(context: &Context, value: Value) -> Result<(), Error> {
    let lines: Vec<LogLine> = match value {
        Value::Null => Vec::new(),
        Value::Array(_) => decode("log.tail", value)?,
        one => vec![decode("log.tail", one)?],
    };
    let columns = rows::log_lines();
    for line in &lines {
        context.out.stream(line, &columns, rows::log_line)?;
    }
    Ok(())
}
