//! Waiting for requests that take long, several at once, with a progress line for each.

use std::collections::HashMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use p2p_wire::control::RpcError;
use serde_json::Value;

use crate::client::{Client, Message};
use crate::error::Error;
use crate::human;
use crate::text;

/// Requests under way at once. The daemon bounds them for each client; the rest follow as these are answered.
const AT_ONCE: usize = 32;

/// What the waiting came to.
pub(crate) struct Followed {
    /// The answers, in the order of the requests; `None` for those that were still running.
    pub(crate) answers: Vec<Option<Result<Value, RpcError>>>,
    /// Why it ended.
    pub(crate) end: End,
}

/// Why the waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every request was answered.
    Finished,
    /// Ctrl-C; the work goes on.
    Interrupted,
    /// The deadline passed; the work goes on.
    TimedOut,
}

/// Starts `method` once for each of `params` and waits until all are answered, the deadline passes, or Ctrl-C. `progress` gets the
/// index of the request and what the daemon says of it.
pub(crate) fn follow(
    client: &mut Client,
    method: &str,
    params: Vec<Value>,
    deadline: Option<Instant>,
    mut progress: impl FnMut(usize, Value) -> Result<(), Error>,
) -> Result<Followed, Error> {
    let mut answers: Vec<Option<Result<Value, RpcError>>> = params.iter().map(|_| None).collect();
    let mut waiting = params.into_iter().enumerate();
    let mut running = HashMap::new();
    loop {
        while running.len() < AT_ONCE
            && let Some((i, params)) = waiting.next()
        {
            running.insert(client.start(method, params)?, i);
        }
        if running.is_empty() {
            break;
        }
        let end = match client.next(deadline)? {
            Message::Done { id, answer } => {
                let done = running.remove(&id);
                if let Some(slot) = done.and_then(|i| answers.get_mut(i)) {
                    *slot = Some(answer);
                }
                continue;
            }
            Message::Progress { id, value } => {
                if let Some(i) = running.get(&id) {
                    progress(*i, value)?;
                }
                continue;
            }
            Message::Event(_) | Message::Gap(_) => continue,
            Message::Interrupted => End::Interrupted,
            Message::TimedOut => End::TimedOut,
        };
        for id in running.into_keys() {
            client.cancel(id)?;
        }
        return Ok(Followed { answers, end });
    }
    Ok(Followed {
        answers,
        end: End::Finished,
    })
}

/// Progress lines on standard error, one below the other; none where they are not wanted.
pub(crate) struct Bars {
    all: MultiProgress,
    bars: Vec<ProgressBar>,
}

impl Bars {
    /// Room for `lines` lines; they appear with their first progress.
    pub(crate) fn new(visible: bool, lines: usize) -> Self {
        let target = match visible {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let all = MultiProgress::with_draw_target(target);
        // Cut to the width of the terminal.
        let style = ProgressStyle::with_template("{wide_msg}")
            .expect("the template is a constant that is well-formed");
        let bars = (0..lines)
            .map(|_| all.add(ProgressBar::new_spinner().with_style(style.clone())))
            .collect();
        Self { all, bars }
    }

    /// A single line of work that p2pctl does itself.
    pub(crate) fn one(visible: bool) -> Self {
        Self::new(visible, 1)
    }

    /// Draws line `i`: `NAME  2.4 GiB  [####....]  46%  REST`. A size of 0 is not known: then no bar.
    pub(crate) fn set(&self, i: usize, name: &str, done: u64, size: u64, rest: &str) {
        let Some(bar) = self.bars.get(i) else { return };
        // One message, so that a change of several values is one change of the line.
        bar.set_message(text::escape(&match size {
            0 => format!("{name}  {rest}"),
            size => format!(
                "{name}  {}  [{}]  {:>3}  {rest}",
                human::size(size),
                drawing(done, size),
                human::percent(done, size)
            ),
        }));
    }

    /// Takes all lines away.
    pub(crate) fn clear(&self) {
        for bar in &self.bars {
            bar.finish_and_clear();
        }
        // A terminal that went away has no lines to clear.
        let _gone = self.all.clear();
    }
}

/// `###########.............`
fn drawing(done: u64, size: u64) -> String {
    const WIDTH: u128 = 24;
    let filled = u128::from(done.min(size)) * WIDTH / u128::from(size.max(1));
    (0..WIDTH)
        .map(|i| if i < filled { '#' } else { '.' })
        .collect()
}
