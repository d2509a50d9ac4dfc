//! Any payload of an extension message: read or refused; what is written is read again and the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use p2p_wire::peer::{ExtensionHandshake, MetadataMessage};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(handshake) = ExtensionHandshake::from_bytes(bytes) {
        let again = ExtensionHandshake::from_bytes(&handshake.to_bytes());
        assert_eq!(again.expect("what we write can be read"), handshake);
    }
    if let Ok(Some(message)) = MetadataMessage::from_bytes(Bytes::copy_from_slice(bytes)) {
        let again = MetadataMessage::from_bytes(message.to_bytes());
        assert_eq!(again.expect("what we write can be read"), Some(message));
    }
});
