//! `limit`: the limits of the daemon's rates.

use clap::Args;
use p2p_wire::control::Limits;

use crate::commands::status;
use crate::context::Context;
use crate::error::Error;
use crate::units;

/// Arguments of `limit`.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// down=RATE, up=RATE: such as 5MiB/s, or none; nothing shows what is in force
    #[arg(value_name = "down=RATE|up=RATE", value_parser = parse)]
    limits: Vec<One>,
}

/// Which way, and bytes/s; 0 lifts the limit.
#[derive(Clone, Copy, Debug)]
enum One {
    Down(u64),
    Up(u64),
}

fn parse(text: &str) -> Result<One, String> {
    let rate = |rate| units::parse_rate(rate).map_err(|error| error.to_string());
    match text.split_once('=') {
        Some(("down", text)) => rate(text).map(One::Down),
        Some(("up", text)) => rate(text).map(One::Up),
        _ => Err("it is not of the form down=RATE or up=RATE".to_owned()),
    }
}

impl Limit {
    /// Sets what is given, and shows what is in force then.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut wanted = Limits::default();
        for limit in &self.limits {
            match limit {
                One::Down(rate) => wanted.down = Some(*rate),
                One::Up(rate) => wanted.up = Some(*rate),
            }
        }
        let mut client = context.connect()?;
        let limits: Limits = match self.limits.is_empty() {
            true => client.call("limits.get", ())?,
            false => client.call("limits.set", wanted)?,
        };
        let words = [("Limits", status::limits(&limits))];
        context.out.record(&limits, &words)
    }
}
