//! `history`: past transfers.

use clap::Args;
use p2p_wire::control::{HistoryList, Transfer};

use crate::context::Context;
use crate::error::Error;
use crate::rows;

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Of this item alone: its hash, a prefix of 4 or more digits, or its name
    #[arg(long, value_name = "HASH")]
    item: Option<String>,
    /// At most so many, the newest
    #[arg(short = 'n', value_name = "N")]
    lines: Option<u32>,
}

impl History {
    /// Lists them, the newest first.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let params = HistoryList {
            item: self.item,
            limit: self.lines,
        };
        let transfers: Vec<Transfer> = context.connect()?.call("history.list", params)?;
        context.out.list(&transfers, &rows::transfers())?;
        if transfers.is_empty() && context.human() {
            context.out.talk("No transfers yet.");
        }
        Ok(())
    }
}
