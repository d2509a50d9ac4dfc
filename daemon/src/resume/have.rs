//! Pieces that an item has.

use p2p_wire::Bitfield;

use super::codec::{Damaged, Reader, Writer};

/// A set of pieces that is small where it is simple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Have {
    /// None.
    Nothing,
    /// Every piece.
    All,
    /// These.
    Some(Bitfield),
}

impl Have {
    /// As simple as can be.
    pub fn from_bitfield(set: &Bitfield) -> Self {
        if set.is_full() {
            Self::All
        } else if set.count() == 0 {
            Self::Nothing
        } else {
            Self::Some(set.clone())
        }
    }

    /// The set over `pieces` pieces; what does not fit is nothing.
    pub fn to_bitfield(&self, pieces: u32) -> Bitfield {
        match self {
            Self::All => Bitfield::full(pieces),
            Self::Some(set) if set.len() == pieces => set.clone(),
            _ => Bitfield::new(pieces),
        }
    }

    /// How many of `pieces`.
    pub fn count(&self, pieces: u32) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::All => pieces,
            Self::Some(set) => set.count(),
        }
    }

    /// Appends it to a record.
    pub(super) fn put(&self, w: &mut Writer) {
        match self {
            Self::Nothing => w.0.push(0),
            Self::All => w.0.push(1),
            Self::Some(set) => {
                w.0.push(2);
                w.uint(set.len().into());
                w.bytes(set.as_bytes());
            }
        }
    }

    /// Reads what [`Self::put`] wrote.
    pub(super) fn take(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(match r.byte()? {
            0 => Self::Nothing,
            1 => Self::All,
            2 => {
                let len = r.small()?;
                let set = Bitfield::from_bytes(r.bytes()?, len);
                Self::Some(set.ok_or(Damaged("a set of pieces of the wrong length"))?)
            }
            _ => return Err(Damaged("an unknown kind of set")),
        })
    }
}
