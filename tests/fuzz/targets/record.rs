//! Any bytes in the place of an item's record: read or refused; what is written is read again as the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pd::resume::Record;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::from_bytes(bytes) {
        let pieces = record.layout.map_or(0, |layout| layout.pieces());
        // A record of few bytes may speak of many pieces.
        if pieces < 1_000_000 {
            assert!(record.have.to_bitfield(pieces).count() <= pieces);
        }
        let written = record.to_bytes();
        let again = Record::from_bytes(&written).expect("what we write can be read");
        assert_eq!(again.to_bytes(), written);
    }
});
