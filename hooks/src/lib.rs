//! Hooks: programs of the administrator that p2pd and p2p-tracker run when something happened, and gates that they ask before.
//!
//! | module | what it owns |
//! |---|---|
//! | `find` | which files are hooks, and whether each may be run |
//! | `confine` | what a hook gives up before it runs |
//! | `process`, `output` | one run: its time, what it prints |
//! | `said` | what a run means |
//! | `schedule` | in what order deliveries go, and when again (PURE) |
//!
//! What is told, when, and what comes of an answer is for the daemons to say. Both call [`become_hook`] first thing in `main`.
#![cfg_attr(test, allow(clippy::unwrap_used))] // tests unwrap

mod confine;
mod find;
mod output;
mod process;
mod said;
mod schedule;

pub use confine::{Confines, become_hook};
pub use find::{Folders, Found, Standing};
pub use output::{Output, clean};
pub use process::{End, Folder, Job, Ran, Runner, signal, stops};
pub use said::Said;
pub use schedule::{Due, Schedule};
