//! The encoder.

use std::collections::BTreeMap;

/// A value to encode. Dictionaries are sorted maps, so what comes out is canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encode {
    /// An integer.
    Int(i64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Encode>),
    /// A dictionary.
    Dict(BTreeMap<Vec<u8>, Encode>),
    /// Bytes that are bencode already, such as an `info` dictionary whose hash must not change.
    Raw(Vec<u8>),
}

impl Encode {
    /// A dictionary of these entries; the last of repeated keys wins.
    #[must_use]
    pub fn dict<K: Into<Vec<u8>>>(entries: impl IntoIterator<Item = (K, Encode)>) -> Self {
        Self::Dict(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())
    }

    /// A byte string.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// The bencoded bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(int) => write_int(out, *int),
            Self::Bytes(bytes) => write_bytes(out, bytes),
            Self::List(values) => {
                out.push(b'l');
                values.iter().for_each(|value| value.write(out));
                out.push(b'e');
            }
            Self::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    write_bytes(out, key);
                    value.write(out);
                }
                out.push(b'e');
            }
            Self::Raw(raw) => out.extend_from_slice(raw),
        }
    }
}

/// Appends a byte string.
pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

/// Appends an integer.
pub(crate) fn write_int(out: &mut Vec<u8>, int: i64) {
    out.push(b'i');
    out.extend_from_slice(int.to_string().as_bytes());
    out.push(b'e');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_sorted_by_bytes() {
        let value = Encode::dict([
            (
                "spam",
                Encode::List(vec![Encode::bytes("a"), Encode::Int(-3)]),
            ),
            ("cow", Encode::Raw(b"d1:xi1ee".to_vec())),
            ("Z", Encode::bytes([0u8, 255])),
        ]);
        assert_eq!(
            value.to_vec(),
            b"d1:Z2:\x00\xff3:cowd1:xi1ee4:spaml1:ai-3eee"
        );
    }
}
