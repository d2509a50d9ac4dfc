//! The program as its users meet it: arguments, exit codes, signals, and the control socket byte by byte.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test
#![allow(clippy::disallowed_methods)] // tests drive the world

mod home;
mod manager;
mod settings;
mod socket;
mod start;
