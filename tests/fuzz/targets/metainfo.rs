//! Any .torrent: read or refused; paths stay inside, pieces fit the length, what is written is read again with the same hash.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2p_wire::metainfo::Metainfo;

fuzz_target!(|bytes: &[u8]| {
    let Ok(metainfo) = Metainfo::from_bytes(bytes) else {
        return;
    };
    let info = &metainfo.info;
    let layout = info.layout();
    let mut total = 0;
    for file in info.files() {
        total += file.len;
        for part in &file.path {
            assert!(!part.is_empty() && part != "." && part != "..", "{part:?}");
            assert!(!part.contains(['/', '\0']), "{part:?}");
        }
    }
    assert_eq!(total, layout.total_len());
    let spans = info.spans(0, total);
    assert_eq!(spans.iter().map(|span| span.len).sum::<u64>(), total);
    let again = Metainfo::from_bytes(&metainfo.to_bytes()).expect("what we write can be read");
    assert_eq!(again.info.info_hash(), info.info_hash());
});
