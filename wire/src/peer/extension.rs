//! Payloads of extended messages: the extension handshake (BEP 10, BEP 21) and metadata exchange (BEP 9).

use bytes::Bytes;

use crate::bencode::{self, Encode, Limits, Value};
use crate::text;

/// Length in bytes of every part of the metadata but the last (BEP 9).
pub const METADATA_PART_LEN: usize = 16 * 1024;

/// Longest client name in bytes that is kept.
const MAX_CLIENT_LEN: usize = 64;

/// What a dictionary in an extended message may hold: more than any client sends.
const LIMITS: Limits = Limits {
    depth: 8,
    values: 1_000,
};

/// The extension handshake (BEP 10), with the fields we know.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ExtensionHandshake {
    /// `m.ut_metadata` (BEP 9): the id the sender wants these under; 0 or absent is off.
    pub ut_metadata: Option<u8>,
    /// `m.ut_pex` (BEP 11).
    pub ut_pex: Option<u8>,
    /// `metadata_size` in bytes (BEP 9).
    pub metadata_size: Option<u32>,
    /// `reqq`: how many requests the sender queues.
    pub reqq: Option<u32>,
    /// `p2p_block`: the longest block in bytes that the sender serves. Ours alone: who does not say is asked for blocks of the usual length.
    pub longest_block: Option<u32>,
    /// `p`: the sender's listen port.
    pub port: Option<u16>,
    /// `v`: client and version, cut to 64 bytes of printable text.
    pub client: Option<String>,
    /// `upload_only` (BEP 21).
    pub upload_only: bool,
}

impl ExtensionHandshake {
    /// Bencoded payload.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let ids = [("ut_metadata", self.ut_metadata), ("ut_pex", self.ut_pex)]
            .into_iter()
            .filter_map(|(name, id)| Some((name, Encode::Int(id?.into()))));
        let mut entries = vec![("m", Encode::dict(ids))];
        let numbers = [
            ("metadata_size", self.metadata_size),
            ("reqq", self.reqq),
            ("p2p_block", self.longest_block),
            ("p", self.port.map(u32::from)),
            ("upload_only", self.upload_only.then_some(1)),
        ];
        for (key, number) in numbers {
            entries.extend(number.map(|number| (key, Encode::Int(number.into()))));
        }
        let client = self.client.as_deref();
        entries.extend(client.map(|client| ("v", Encode::bytes(client))));
        Encode::dict(entries).to_vec().into()
    }

    /// Reads a payload; wrong types of single fields count as absent.
    pub fn from_bytes(payload: &[u8]) -> Result<Self, bencode::Error> {
        let mut handshake = Self::default();
        handshake.update(payload)?;
        Ok(handshake)
    }

    /// Takes a later handshake of the same peer: what it does not name stays as it was, an id of 0 switches its extension off (BEP 10).
    pub fn update(&mut self, payload: &[u8]) -> Result<(), bencode::Error> {
        let (dict, _) = dictionary(payload)?;
        let set_id = |name: &[u8], id: &mut Option<u8>| {
            if let Some(named) = dict.get(b"m").and_then(|m| m.get_uint::<u8>(name)) {
                *id = Some(named).filter(|id| *id != 0);
            }
        };
        set_id(b"ut_metadata", &mut self.ut_metadata);
        set_id(b"ut_pex", &mut self.ut_pex);
        self.metadata_size = dict.get_uint(b"metadata_size").or(self.metadata_size);
        self.reqq = dict.get_uint(b"reqq").or(self.reqq);
        self.longest_block = dict.get_uint(b"p2p_block").or(self.longest_block);
        let port = dict.get_uint::<u16>(b"p").filter(|port| *port != 0);
        self.port = port.or(self.port);
        let client = dict.get(b"v").and_then(Value::as_bytes);
        let client = client.map(|client| text::printable(client, MAX_CLIENT_LEN));
        if let Some(client) = client.filter(|client| !client.is_empty()) {
            self.client = Some(client);
        }
        if let Some(flag) = dict.get(b"upload_only").and_then(Value::as_int) {
            self.upload_only = flag != 0;
        }
        Ok(())
    }
}

/// A `ut_metadata` message (BEP 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// Asks for a 16 KiB part.
    Request(u32),
    /// A part, with the size of the whole in bytes.
    Data(u32, u32, Bytes),
    /// The sender does not give that part.
    Reject(u32),
}

impl MetadataMessage {
    /// Payload to send.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let (kind, part, size) = match self {
            Self::Request(part) => (0, part, None),
            Self::Data(part, size, _) => (1, part, Some(size)),
            Self::Reject(part) => (2, part, None),
        };
        let mut entries = vec![
            ("msg_type", Encode::Int(kind)),
            ("piece", Encode::Int((*part).into())),
        ];
        entries.extend(size.map(|size| ("total_size", Encode::Int((*size).into()))));
        let mut out = Encode::dict(entries).to_vec();
        if let Self::Data(_, _, data) = self {
            out.extend_from_slice(data);
        }
        out.into()
    }

    /// Reads a payload; unknown message types are `Ok(None)`. The data of a part is a slice of `payload` of at most [`METADATA_PART_LEN`] bytes.
    pub fn from_bytes(payload: Bytes) -> Result<Option<Self>, bencode::Error> {
        let (dict, used) = dictionary(&payload)?;
        let wrong = |what| bencode::Error { what, at: 0 };
        let part = || {
            dict.get_uint(b"piece")
                .ok_or(wrong("a metadata message without a valid `piece`"))
        };
        match dict.get(b"msg_type").and_then(Value::as_int) {
            Some(0) => Ok(Some(Self::Request(part()?))),
            Some(1) => {
                let size = dict
                    .get_uint(b"total_size")
                    .ok_or(wrong("metadata without a valid `total_size`"))?;
                if payload.len() - used > METADATA_PART_LEN {
                    return Err(wrong("a part of the metadata of more than 16 KiB"));
                }
                Ok(Some(Self::Data(part()?, size, payload.slice(used..))))
            }
            Some(2) => Ok(Some(Self::Reject(part()?))),
            Some(_) => Ok(None),
            None => Err(wrong("a metadata message without a `msg_type`")),
        }
    }
}

/// The dictionary at the start of `payload` and its length in bytes.
fn dictionary(payload: &[u8]) -> Result<(Value<'_>, usize), bencode::Error> {
    let (value, used) = bencode::decode_prefix(payload, LIMITS)?;
    if value.as_dict().is_none() {
        return Err(bencode::Error {
            what: "an extended message without a dictionary",
            at: 0,
        });
    }
    Ok((value, used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_example_of_bep_10() {
        let payload = b"d1:md11:LT_metadatai1e6:\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e";
        let expected = ExtensionHandshake {
            port: Some(6881),
            client: Some("\u{b5}Torrent 1.2".into()),
            ..Default::default()
        };
        assert_eq!(ExtensionHandshake::from_bytes(payload), Ok(expected));
    }

    #[test]
    fn writes_what_it_reads() {
        let ours = ExtensionHandshake {
            ut_metadata: Some(3),
            ut_pex: Some(1),
            metadata_size: Some(31_235),
            reqq: Some(500),
            longest_block: Some(131_072),
            port: Some(6881),
            client: Some("p2p 0.1".into()),
            upload_only: true,
        };
        let bytes = ours.to_bytes();
        assert_eq!(
            &bytes[..],
            b"d1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e9:p2p_blocki131072e4:reqqi500e11:upload_onlyi1e1:v7:p2p 0.1e"
        );
        assert_eq!(ExtensionHandshake::from_bytes(&bytes), Ok(ours));
        let empty = ExtensionHandshake::default();
        assert_eq!(&empty.to_bytes()[..], b"d1:mdee");
        assert_eq!(ExtensionHandshake::from_bytes(b"de"), Ok(empty));
    }

    #[test]
    fn a_later_handshake_changes_what_it_names_and_no_more() {
        let mut handshake = ExtensionHandshake {
            ut_metadata: Some(3),
            ut_pex: Some(1),
            reqq: Some(500),
            client: Some("p2p 0.1".into()),
            ..Default::default()
        };
        let before = handshake.clone();
        handshake.update(b"d11:upload_onlyi1ee").unwrap();
        assert!(handshake.upload_only && handshake.ut_metadata == Some(3));
        handshake
            .update(b"d1:md6:ut_pexi0ee11:upload_onlyi0ee")
            .unwrap();
        let expected = ExtensionHandshake {
            ut_pex: None,
            ..before
        };
        assert_eq!(handshake, expected);
        assert!(handshake.update(b"i1e").is_err() && handshake == expected);
    }

    #[test]
    fn fields_of_the_wrong_type_or_range_count_as_absent() {
        let payload = b"d1:md11:ut_metadatai0e6:ut_pexi256ee13:metadata_sizei-1e1:pi65536e9:p2p_blocki-1e4:reqq1:x11:upload_only1:11:vi1ee";
        assert_eq!(
            ExtensionHandshake::from_bytes(payload),
            Ok(ExtensionHandshake::default())
        );
        assert!(ExtensionHandshake::from_bytes(b"i1e").is_err());
    }

    #[test]
    fn a_client_name_is_cut_and_cannot_reach_the_terminal_as_control_codes() {
        let payload = [b"d1:v70:\x1b[31m".as_slice(), &[b'x'; 65], b"e"].concat();
        let handshake = ExtensionHandshake::from_bytes(&payload).unwrap();
        let client = handshake.client.unwrap();
        assert_eq!(client.len(), 64);
        assert!(client.starts_with("[31mxxx"));
    }

    #[test]
    fn metadata_messages_are_the_examples_of_bep_9() {
        let request = MetadataMessage::Request(0);
        assert_eq!(&request.to_bytes()[..], b"d8:msg_typei0e5:piecei0ee");
        let reject = MetadataMessage::Reject(0);
        assert_eq!(&reject.to_bytes()[..], b"d8:msg_typei2e5:piecei0ee");
        let data = MetadataMessage::Data(0, 34_256, Bytes::from_static(b"xxxx"));
        assert_eq!(
            &data.to_bytes()[..],
            b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxx"
        );
        for message in [request, reject, data] {
            let read = MetadataMessage::from_bytes(message.to_bytes());
            assert_eq!(read, Ok(Some(message)));
        }
    }

    #[test]
    fn unknown_metadata_messages_are_none_and_broken_ones_errors() {
        let read = |bytes: &'static [u8]| MetadataMessage::from_bytes(Bytes::from_static(bytes));
        assert_eq!(read(b"d8:msg_typei9e5:piecei0ee"), Ok(None));
        assert!(read(b"d8:msg_typei0e5:piecei-1ee").is_err());
        assert!(read(b"d8:msg_typei0ee").is_err());
        assert!(read(b"d5:piecei0ee").is_err());
        assert!(read(b"d8:msg_typei1e5:piecei0eexxxx").is_err());
        let mut long = b"d8:msg_typei1e5:piecei0e10:total_sizei99999ee".to_vec();
        long.resize(long.len() + METADATA_PART_LEN, 0);
        assert!(MetadataMessage::from_bytes(long.clone().into()).is_ok());
        long.push(0);
        assert!(MetadataMessage::from_bytes(long.into()).is_err());
    }
}
