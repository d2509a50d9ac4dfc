//! One torrent's state machine: any order of events and messages. See `p2pd::swarm::hostile`.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| p2pd::swarm::hostile::run(bytes, Instant::now()));
