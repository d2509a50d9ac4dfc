//! Any bytes in the place of an item's record, with the check that makes them worth reading: read or refused; what is written is read again
//! as the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pd::resume::Record;

fuzz_target!(|body: &[u8]| {
    let mut digest = [[0; 20]];
    p2p_hash::sha1_many(&[body], &mut digest);
    let bytes = [body, &digest[0][..8]].concat();
    if let Ok(record) = Record::from_bytes(&bytes) {
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
