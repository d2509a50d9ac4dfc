//! `watch`: events as they happen.

use clap::Args;
use p2p_wire::control::{Gap, Subscribe};
use serde_json::Value;

use crate::client::Message;
use crate::context::Context;
use crate::error::Error;
use crate::output::{self, Format};
use crate::rows;

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Prefixes of what is watched, such as item or item.finished; all if none is given
    topics: Vec<String>,
    /// Begin with the kept events after this number
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
}

impl Watch {
    /// Prints until the daemon stops or Ctrl-C.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        let params = Subscribe {
            topics: self.topics,
            since: self.since,
        };
        // Events may come before the answer, which therefore is waited for in the same loop.
        let asked = client.start("events.subscribe", params)?;
        let columns = rows::events();
        loop {
            match client.next(None)? {
                Message::Event(event) => {
                    context.out.stream(&event, &columns, rows::event_line)?;
                }
                Message::Gap(gap) => tell_gap(context, gap)?,
                Message::Done {
                    id,
                    answer: Err(error),
                } if id == asked => return Err(Error::from_rpc("events.subscribe", error)),
                _ => {}
            }
        }
    }
}

/// A reader of JSON must learn of lost events on the same stream; others are told beside it.
fn tell_gap(context: &Context, gap: Gap) -> Result<(), Error> {
    if context.out.format == Format::Json {
        let gap: Value = serde_json::json!({"gap": {"from": gap.from, "to": gap.to}});
        return output::write(&format!("{gap}\n"));
    }
    let Gap { from, to } = gap;
    context.out.talk(&format!(
        "p2pctl: events {from} to {to} were lost: they came faster than they were read"
    ));
    Ok(())
}
