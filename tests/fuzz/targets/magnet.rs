//! Any magnet link: read or refused; what is written is read again and the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2p_wire::magnet::Magnet;

fuzz_target!(|text: &str| {
    if let Ok(magnet) = text.parse::<Magnet>() {
        let again: Magnet = magnet
            .to_string()
            .parse()
            .expect("what we write can be read");
        assert_eq!(again, magnet);
    }
});
