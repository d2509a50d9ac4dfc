//! A .torrent that a client sends in parts.
//!
//! What waits is bounded over all clients: otherwise each of them could have p2pd keep the largest .torrent there is.

use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::control::{ErrorKind, TorrentPart};
use p2p_wire::metainfo::MAX_METAINFO_LEN;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Fault;

/// KiB of parts that are kept for all clients together.
pub(super) const ROOM: usize = 32 * 1024;

/// What came so far, at most [`MAX_METAINFO_LEN`] bytes. It gives its room back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Torrent {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Torrent {
    /// The bytes; none if no part came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a part, for which there must be room in `room`, which counts KiB.
    pub(super) fn add(&mut self, part: &TorrentPart, room: &Arc<Semaphore>) -> Result<(), Fault> {
        let fault = |kind: ErrorKind, why: String, fix: &str| {
            Fault::new(kind, "the .torrent cannot be taken", why, fix)
        };
        let usage = |why: String| {
            fault(
                ErrorKind::Usage,
                why,
                "Send it in parts, from its beginning",
            )
        };
        let bytes = BASE64.decode(part.data.as_bytes());
        let bytes = bytes.map_err(|error| usage(format!("a part is not base64: {error}")))?;
        let len = self.bytes.len().saturating_add(bytes.len());
        if len > MAX_METAINFO_LEN {
            return Err(usage(format!("it is larger than {MAX_METAINFO_LEN} bytes")));
        }
        let held = self
            .room
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = len.div_ceil(1024).saturating_sub(held);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(more) = room.clone().try_acquire_many_owned(more) else {
            let why = format!("clients have sent {} MiB of others that wait", ROOM / 1024);
            return Err(fault(ErrorKind::Conflict, why, "Try again in a moment"));
        };
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        self.bytes.extend(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_share_the_room_and_give_it_back() {
        let room = Arc::new(Semaphore::new(10));
        let part = |len: usize| TorrentPart {
            data: BASE64.encode(&vec![7; len]),
        };
        let (mut first, mut second) = (Torrent::default(), Torrent::default());
        first.add(&part(5_000), &room).unwrap();
        first.add(&part(100), &room).unwrap();
        assert_eq!((first.bytes().len(), room.available_permits()), (5_100, 5));
        second.add(&part(5_000), &room).unwrap();
        let refused = second.add(&part(1_000), &room).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        drop(first);
        second.add(&part(1_000), &room).unwrap();
        assert_eq!((second.bytes().len(), room.available_permits()), (6_000, 4));
    }
}
