//! Any bytes: decoded or refused; what is decoded spans what was read, and what is written is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2p_wire::bencode::{self, Encode, Kind, Value};

fuzz_target!(|bytes: &[u8]| {
    if let Ok((value, len)) = bencode::decode_prefix(bytes, bencode::Limits::default()) {
        assert_eq!(value.raw(), &bytes[..len]);
        let written = copy(&value).to_vec();
        let again = bencode::decode(&written).expect("what we write can be read");
        assert_eq!(copy(&again).to_vec(), written);
    }
});

fn copy(value: &Value<'_>) -> Encode {
    match value.kind() {
        Kind::Int(n) => Encode::Int(*n),
        Kind::Bytes(bytes) => Encode::bytes(*bytes),
        Kind::List(list) => Encode::List(list.iter().map(copy).collect()),
        Kind::Dict(dict) => Encode::dict(dict.iter().map(|(key, value)| (*key, copy(value)))),
    }
}
