//! Signals: Ctrl-C while a command waits for work that goes on without it, and the end of a command that has the terminal.
//!
//! A signal is blocked in every thread and taken by one that waits for it, so no code runs inside a signal handler. It is
//! blocked only in commands that need it: elsewhere it ends the program as it does any other.

use std::sync::mpsc::SyncSender;

use nix::sys::signal::{SigSet, Signal};

use crate::client::Incoming;

/// SIGINT, blocked in this thread and in those that it starts from now on.
pub(crate) struct Interrupts(SigSet);

impl Interrupts {
    /// Blocks SIGINT. Call it before the first thread is started.
    pub(crate) fn block() -> nix::Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.thread_block()?;
        Ok(Self(signals))
    }

    /// Starts a thread that sends each interrupt to `to` until nobody listens there.
    pub(crate) fn deliver(self, to: SyncSender<Incoming>) {
        std::thread::spawn(
            move || {
                while self.0.wait().is_ok() && to.send(Incoming::Interrupt).is_ok() {}
            },
        );
    }
}

/// Does `last` before SIGTERM or SIGHUP end the program. Call it before the first thread is started.
pub(crate) fn before_the_end(last: fn()) -> nix::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGHUP);
    signals.thread_block()?;
    std::thread::spawn(move || {
        if let Ok(signal) = signals.wait() {
            last();
            // As shells name the end by a signal.
            std::process::exit(128 + signal as i32);
        }
    });
    Ok(())
}
