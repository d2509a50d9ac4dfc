//! The program as its users meet it: a process, sockets, files, exit codes.
#![allow(clippy::unwrap_used)] // tests unwrap

#[path = "cli/day.rs"]
mod day;
#[path = "cli/harness.rs"]
mod harness;
#[path = "cli/life.rs"]
mod life;
#[path = "cli/names.rs"]
mod names;
#[path = "cli/wrong.rs"]
mod wrong;
