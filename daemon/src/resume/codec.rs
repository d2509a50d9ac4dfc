//! The little binary writer and reader under [`super::Record`].
//!
//! Numbers are unsigned LEB128; byte strings carry their length in front. The reader is bounded by what it was given and never
//! allocates more than that: records are hostile input like everything else that is parsed at start.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub(super) &'static str);

/// Appends fields.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn uint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn wide(&mut self, value: i128) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.uint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn path(&mut self, path: &Path) {
        self.bytes(path.as_os_str().as_bytes());
    }

    pub(super) fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.0.push(0),
            Some(value) => {
                self.0.push(1);
                put(self, value);
            }
        }
    }

    pub(super) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        self.uint(items.len() as u64);
        for item in items {
            put(self, item);
        }
    }
}

/// Takes fields off the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (front, rest) = self.0.split_at_checked(len).ok_or(Damaged("cut short"))?;
        self.0 = rest;
        Ok(front)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn uint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged("a number is too large"))
    }

    pub(super) fn small(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.uint()?).map_err(|_| Damaged("a number is too large"))
    }

    pub(super) fn wide(&mut self) -> Result<i128, Damaged> {
        let bytes = self.take(16)?;
        let bytes = bytes.try_into().map_err(|_| Damaged("cut short"))?;
        Ok(i128::from_be_bytes(bytes))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let len = usize::try_from(self.uint()?).map_err(|_| Damaged("cut short"))?;
        self.take(len)
    }

    pub(super) fn text(&mut self) -> Result<String, Damaged> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Damaged("not UTF-8"))?;
        Ok(text.to_owned())
    }

    pub(super) fn path(&mut self) -> Result<PathBuf, Damaged> {
        let bytes = self.bytes()?;
        if bytes.contains(&0) {
            return Err(Damaged("a path with NUL"));
        }
        Ok(OsString::from_vec(bytes.to_vec()).into())
    }

    pub(super) fn option<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Option<T>, Damaged> {
        match self.byte()? {
            0 => Ok(None),
            1 => take(self).map(Some),
            _ => Err(Damaged("not a flag")),
        }
    }

    pub(super) fn list<T>(
        &mut self,
        mut take: impl FnMut(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Vec<T>, Damaged> {
        let count = self.uint()?;
        // Every element takes a byte or more, so a count beyond the rest is a lie.
        if count > self.0.len() as u64 {
            return Err(Damaged("cut short"));
        }
        // Records stay, ten thousands of them: no more room than is used, and none given back that nothing else fits into.
        let mut list = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        for _ in 0..count {
            list.push(take(self)?);
        }
        Ok(list)
    }
}
