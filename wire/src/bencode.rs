//! Bencode (BEP 3): a borrowing decoder that keeps the raw bytes of every value, and a canonical encoder.
use std::collections::BTreeMap;

/// Bounds on what [`decode_with`] accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nesting of lists and dictionaries.
    pub depth: u32,
    /// Values in all, keys not counted.
    pub values: u32,
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

/// Why bytes are not bencode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Error {
    /// What is wrong, in words.
    pub what: &'static str,
    /// Offset in the input.
    pub at: usize,
}

/// Decodes the whole of `input` with the default limits (depth 64, a million values).
pub fn decode(_input: &[u8]) -> Result<Value<'_>, Error> {
    todo!()
}
/// Decodes one value at the start of `input` and says how many bytes it took.
pub fn decode_prefix(_input: &[u8], _limits: Limits) -> Result<(Value<'_>, usize), Error> {
    todo!()
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
        todo!()
    }
    /// The byte string, if it is one.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        todo!()
    }
    /// The byte string as UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        todo!()
    }
    /// The list's values.
    pub fn as_list(&self) -> Option<&[Value<'a>]> {
        todo!()
    }
    /// The dictionary's entries.
    pub fn as_dict(&self) -> Option<&[(&'a [u8], Value<'a>)]> {
        todo!()
    }
    /// Looks `key` up, if this is a dictionary that has it.
    pub fn get(&self, _key: &[u8]) -> Option<&Value<'a>> {
        todo!()
    }
}

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
    /// A dictionary of these entries.
    pub fn dict<K: Into<Vec<u8>>>(_entries: impl IntoIterator<Item = (K, Encode)>) -> Self {
        todo!()
    }
    /// A byte string.
    pub fn bytes(_bytes: impl Into<Vec<u8>>) -> Self {
        todo!()
    }
    /// The bencoded bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        todo!()
    }
}
