//! Bencode (BEP 3): a borrowing decoder that keeps the raw bytes of every value, and a canonical encoder.
//!
//! Raw bytes are kept because the info-hash covers `info` as it was received: what is decoded and encoded again may differ. Reading is strict
//! where two readers could understand different things (leading zeros, `-0`, repeated keys, trailing bytes) and lenient where real torrents
//! are careless (unsorted keys).

mod decode;
mod encode;

pub use decode::{decode, decode_prefix, decode_with};
pub use encode::Encode;
pub(crate) use encode::{write_bytes, write_int};

/// Bounds on what [`decode_with`] accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of lists and dictionaries; more than 256 counts as 256, because the decoder recurses.
    pub depth: u32,
    /// Values in all, keys not counted.
    pub values: u32,
}

impl Default for Limits {
    /// Depth 64, a million values.
    fn default() -> Self {
        Self {
            depth: 64,
            values: 1_000_000,
        }
    }
}

/// A decoded value that borrows from its input.
#[derive(Clone, Debug, PartialEq)]
pub struct Value<'a> {
    raw: &'a [u8],
    kind: Kind<'a>,
}

/// What a [`Value`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind<'a> {
    /// An integer; values outside of `i64` are an error.
    Int(i64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A list.
    List(Vec<Value<'a>>),
    /// A dictionary in the order of the input. Unsorted keys are accepted; a repeated key is an error.
    Dict(Vec<(&'a [u8], Value<'a>)>),
}

/// Why bytes are not bencode, or not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Error {
    /// What is wrong, in words.
    pub what: &'static str,
    /// Offset in the input.
    pub at: usize,
}

impl<'a> Value<'a> {
    /// The bytes this value was decoded from.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// What it is.
    pub fn kind(&self) -> &Kind<'a> {
        &self.kind
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.kind {
            Kind::Int(int) => Some(int),
            _ => None,
        }
    }

    /// The byte string, if it is one.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self.kind {
            Kind::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The byte string as UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The list's values.
    pub fn as_list(&self) -> Option<&[Value<'a>]> {
        match &self.kind {
            Kind::List(values) => Some(values),
            _ => None,
        }
    }

    /// The dictionary's entries.
    pub fn as_dict(&self) -> Option<&[(&'a [u8], Value<'a>)]> {
        match &self.kind {
            Kind::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// Looks `key` up, if this is a dictionary that has it. Takes time proportional to the number of entries.
    pub fn get(&self, key: &[u8]) -> Option<&Value<'a>> {
        let entries = self.as_dict()?;
        entries.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// The integer under `key` as an unsigned number that fits `T`; `None` if absent, of another type, or out of range.
    pub(crate) fn get_uint<T: TryFrom<i64>>(&self, key: &[u8]) -> Option<T> {
        T::try_from(self.get(key)?.as_int()?).ok()
    }
}
