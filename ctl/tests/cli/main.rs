//! p2pctl as its users and their scripts see it: the binary against a daemon of the test's own that speaks the control protocol.
#![allow(clippy::unwrap_used)] // tests unwrap

mod daemon;
mod doctor;
mod fake;
mod follow;
mod offline;
mod output;
mod run;
mod top;
mod verify;
mod wrong;
