//! Both sides of an announce and a scrape: any query, any answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2p_wire::announce::{self, Reply, Request};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(query) = std::str::from_utf8(bytes) {
        if let Ok(request) = Request::from_query(query) {
            let again = Request::from_query(&request.to_query());
            assert_eq!(again.expect("what we write can be read"), request);
        }
        if let Ok(hashes) = announce::scrape_from_query(query) {
            let again = announce::scrape_from_query(&announce::scrape_to_query(&hashes));
            assert_eq!(again.expect("what we write can be read"), hashes);
        }
    }
    if let Ok(Reply::Peers(peers)) = Reply::from_bytes(bytes) {
        for compact in [true, false] {
            let written = Reply::Peers(peers.clone()).to_bytes(compact, true);
            let Ok(Reply::Peers(again)) = Reply::from_bytes(&written) else {
                panic!("what we write can be read");
            };
            assert_eq!(again.peers.len(), peers.peers.len());
        }
    }
    if let Ok(entries) = announce::scrape_from_bytes(bytes) {
        let again = announce::scrape_from_bytes(&announce::scrape_to_bytes(&entries));
        assert_eq!(
            again.expect("what we write can be read").len(),
            entries.len()
        );
    }
});
