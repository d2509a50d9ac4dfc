//! What needs more than one program.
//!
//! [`lab`] starts the real programs (one tracker, any number of daemons, each with its own state) and talks to them as a user
//! does, through `p2pctl`. [`tour`] is the guided tour on top of it: the program `tour` shows it, a test checks it. [`cuts`] crashes a
//! daemon at random moments and compares what it claims with the disk: the program `cuts` does it as often as one likes. [`hooks`] puts hooks into a lab's
//! peers. [`machine`] is one
//! machine with the system's daemon and several users. The tests in `tests/` use these for what crosses program boundaries: resume after
//! a kill, many files, versions, wrong calls, rights.
//!
//! [`wild`] has peers made by hand, hostile ones among them, and [`http`] asks the tracker itself. [`faults`] makes a program's disk fail.
//!
//! [`plain`] is the yardstick of the transfers: what the machine itself takes for the same bytes.
//!
//! What needs root, other clients or a booted systemd is in scripts (`interop/`, `systemd/`) that `.ci/run` starts.

pub mod content;
#[allow(unsafe_code, reason = "cutting the power has no safe interface")]
pub mod cuts;
pub mod faults;
pub mod hooks;
pub mod http;
pub mod lab;
pub mod machine;
pub mod plain;
pub mod tour;
pub mod wild;
