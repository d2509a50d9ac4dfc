//! A set of pieces, packed as on the wire.

use bytes::Bytes;

/// A set of pieces of one torrent; piece 0 is the highest bit of the first byte (BEP 3).
///
/// Invariant: the spare bits of the last byte are zero and `ones` is the number of set bits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitfield {
    bytes: Vec<u8>,
    len: u32,
    ones: u32,
}

impl Bitfield {
    /// The empty set over `len` pieces.
    pub fn new(len: u32) -> Self {
        Self {
            bytes: vec![0; len.div_ceil(8) as usize],
            len,
            ones: 0,
        }
    }

    /// The full set over `len` pieces.
    pub fn full(len: u32) -> Self {
        let mut bytes = vec![0xff; len.div_ceil(8) as usize];
        if let (Some(last), spare @ 1..) = (bytes.last_mut(), (8 - len % 8) % 8) {
            *last <<= spare;
        }
        Self {
            bytes,
            len,
            ones: len,
        }
    }

    /// Reads the bytes of a `bitfield` message; `None` if the length is wrong or a spare bit is set.
    pub fn from_bytes(bytes: &[u8], len: u32) -> Option<Self> {
        if bytes.len() != len.div_ceil(8) as usize {
            return None;
        }
        if let (Some(last), spare @ 1..) = (bytes.last(), (8 - len % 8) % 8)
            && last << (8 - spare) != 0
        {
            return None;
        }
        let ones = bytes.iter().map(|b| b.count_ones()).sum();
        Some(Self {
            bytes: bytes.to_vec(),
            len,
            ones,
        })
    }

    /// The packed bytes, as a `bitfield` message carries them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The packed bytes in a refcounted buffer.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    /// How many pieces the torrent has.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True when the torrent has no pieces at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// True when every piece is in the set.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether `piece` is in the set; false out of range.
    pub fn get(&self, piece: u32) -> bool {
        piece < self.len && self.bytes[piece as usize / 8] & (0x80 >> (piece % 8)) != 0
    }

    /// Adds `piece`; true if it was not there. Out of range nothing changes.
    pub fn set(&mut self, piece: u32) -> bool {
        if piece >= self.len || self.get(piece) {
            return false;
        }
        self.bytes[piece as usize / 8] |= 0x80 >> (piece % 8);
        self.ones += 1;
        true
    }

    /// Takes `piece` out; true if it was there.
    pub fn clear(&mut self, piece: u32) -> bool {
        if !self.get(piece) {
            return false;
        }
        self.bytes[piece as usize / 8] &= !(0x80 >> (piece % 8));
        self.ones -= 1;
        true
    }

    /// The pieces in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte != 0)
            .flat_map(|(i, byte)| {
                (0..8)
                    .filter(move |bit| byte & (0x80 >> bit) != 0)
                    .map(move |bit| i as u32 * 8 + bit)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_spare_bits_and_wrong_lengths() {
        assert!(Bitfield::from_bytes(&[0xff, 0xc0], 10).is_some_and(|b| b.is_full()));
        assert_eq!(Bitfield::from_bytes(&[0xff, 0xe0], 10), None);
        assert_eq!(Bitfield::from_bytes(&[0xff], 10), None);
        assert_eq!(Bitfield::from_bytes(&[0xff], 8), Some(Bitfield::full(8)));
    }

    #[test]
    fn set_clear_and_iterate() {
        let mut set = Bitfield::new(20);
        assert!(set.set(3) && set.set(19) && !set.set(3) && !set.set(20));
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 19]);
        assert!(set.clear(3) && !set.clear(3));
        assert_eq!((set.count(), set.get(19), set.get(400)), (1, true, false));
        assert_eq!(Bitfield::full(20).iter().count(), 20);
    }
}
