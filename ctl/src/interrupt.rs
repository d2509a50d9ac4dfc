//! Signals: Ctrl-C while a command waits for work that goes on without it, and the end of a command that has the terminal.
//!
//! A signal is blocked in every thread and taken by one that waits for it, so no code runs inside a signal handler. It is
//! blocked only in commands that need it: elsewhere it ends the program as it does any other. On Windows, which knows Ctrl-C and no
//! blocking, the thread that waits takes it from the runtime's handler.

use std::io;
use std::sync::mpsc::SyncSender;

#[cfg(unix)]
use nix::sys::signal::{SigSet, Signal};

use crate::client::Incoming;

/// SIGINT, blocked in this thread and in those that it starts from now on.
#[cfg(unix)]
pub(crate) struct Interrupts(SigSet);

#[cfg(unix)]
impl Interrupts {
    /// Blocks SIGINT. Call it before the first thread is started.
    pub(crate) fn block() -> io::Result<Self> {
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

/// Ctrl-C, once it is delivered; until then it ends the program.
#[cfg(windows)]
pub(crate) struct Interrupts(tokio::runtime::Runtime);

#[cfg(windows)]
impl Interrupts {
    /// Makes ready to take it.
    pub(crate) fn block() -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.build().map(Self)
    }

    /// Starts a thread that sends each interrupt to `to` until nobody listens there.
    pub(crate) fn deliver(self, to: SyncSender<Incoming>) {
        std::thread::spawn(move || {
            self.0.block_on(async {
                let Ok(mut presses) = tokio::signal::windows::ctrl_c() else {
                    return;
                };
                while presses.recv().await.is_some() && to.send(Incoming::Interrupt).is_ok() {}
            });
        });
    }
}

/// Does `last` before SIGTERM or SIGHUP end the program. Call it before the first thread is started.
#[cfg(unix)]
pub(crate) fn before_the_end(last: fn()) -> io::Result<()> {
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

/// Windows ends a program without asking it, and its terminal with it.
#[cfg(windows)]
pub(crate) fn before_the_end(_: fn()) -> io::Result<()> {
    Ok(())
}
