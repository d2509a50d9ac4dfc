//! The program as its users meet it: a process, sockets, files, exit codes.
#![allow(clippy::unwrap_used)] // tests unwrap

#[path = "cli/admin.rs"]
mod admin;
#[path = "cli/announce.rs"]
mod announce;
#[path = "cli/answers.rs"]
mod answers;
#[path = "cli/day.rs"]
mod day;
#[path = "cli/harness.rs"]
mod harness;
#[path = "cli/hooks.rs"]
mod hooks;
#[path = "cli/life.rs"]
mod life;
#[path = "cli/limits.rs"]
mod limits;
#[path = "cli/manager.rs"]
mod manager;
#[path = "cli/names.rs"]
mod names;
#[path = "cli/points.rs"]
mod points;
#[path = "cli/reachable.rs"]
mod reachable;
#[path = "cli/secure.rs"]
mod secure;
#[path = "cli/settings.rs"]
mod settings;
#[path = "cli/words.rs"]
mod words;
#[path = "cli/world.rs"]
mod world;
#[path = "cli/wrong.rs"]
mod wrong;
