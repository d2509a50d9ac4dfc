//! Engines in one process, on loopback, with folders of their own: what a user's items go through from adding to seeding.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test
#![allow(clippy::disallowed_methods)] // tests drive the world

mod changing;
mod commanding;
mod fetching;
mod full_disk;
mod node;
mod restarting;
mod swarming;
mod verifying;
