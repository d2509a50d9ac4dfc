//! Any report of piece points and any reply: read or refused; what is written is read again and the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2p_wire::points::{Reply, Report};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = Report::from_bytes(bytes) {
        let again = Report::from_bytes(&report.to_bytes()).expect("what we write can be read");
        assert_eq!(again, report);
    }
    if let Ok(reply) = Reply::from_bytes(bytes) {
        let again = Reply::from_bytes(&reply.to_bytes()).expect("what we write can be read");
        assert_eq!(again, reply);
    }
});
