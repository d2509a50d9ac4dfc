//! The yardstick: a file moved over loopback with nothing but what must be done, for the transfer of p2pd to be compared with.
//!
//! One thread hands the file to the kernel (`sendfile`), one receives it and writes it while it is hot in the cache, one hashes it, 16
//! pieces side by side. No protocol, no choice of pieces, no sync, no second connection: what it takes is what this machine
//! takes for the bytes themselves.

use std::fs::File;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use p2p_hash::{Digest, Hasher};

/// Bytes in a piece.
const PIECE: usize = 512 * 1024;

/// Pieces hashed side by side.
const LANES: usize = 16;

/// Bytes received and written while hot: what stays in a core's cache.
const HOT: usize = 256 * 1024;

/// Bytes in one write, as the daemon does: longer ones take larger pages, which a virtual machine may have to ask its host for.
const PORTION: usize = 32 * 1024;

/// Groups of pieces between the receiver and the hasher.
const GROUPS: usize = 3;

/// Copies `from` to the new file `to` over loopback, and gives the time and the hash of each piece of 512 KiB.
pub fn copy(from: &Path, to: &Path) -> Result<(Duration, Vec<Digest>)> {
    let source = File::open(from).with_context(|| format!("open {}", from.display()))?;
    let target = File::create_new(to).with_context(|| format!("create {}", to.display()))?;
    let len = source.metadata()?.len();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let begun = Instant::now();
    let sender = thread::spawn(move || send(source, &listener));
    let (full, filled) = sync_channel(GROUPS);
    let (empty, emptied) = sync_channel(GROUPS);
    for _ in 0..GROUPS {
        empty.send(vec![0; PIECE * LANES])?;
    }
    let hasher = thread::spawn(move || hash(&filled, &empty));
    let received = receive(TcpStream::connect(addr)?, &target, &emptied, &full)?;
    drop(full);
    let sent = sender.join().map_err(|_| anyhow!("the sender failed"))??;
    let digests = hasher.join().map_err(|_| anyhow!("the hasher failed"))?;
    let took = begun.elapsed();
    ensure!(
        sent == len && received == len,
        "{received} of {len} bytes came"
    );
    Ok((took, digests))
}

/// `io::copy` from a file to a socket is `sendfile` on Linux.
fn send(mut source: File, listener: &TcpListener) -> io::Result<u64> {
    let (mut stream, _) = listener.accept()?;
    io::copy(&mut source, &mut stream)
}

fn receive(
    mut stream: TcpStream,
    target: &File,
    emptied: &Receiver<Vec<u8>>,
    full: &SyncSender<(Vec<u8>, usize)>,
) -> Result<u64> {
    let mut offset = 0u64;
    loop {
        let mut group = emptied.recv()?;
        let mut filled = 0;
        while filled < group.len() {
            let end = group.len().min(filled + HOT);
            let read = read_full(&mut stream, &mut group[filled..end])?;
            for portion in group[filled..filled + read].chunks(PORTION) {
                target.write_all_at(portion, offset)?;
                offset += portion.len() as u64;
            }
            filled += read;
            if read < HOT {
                break;
            }
        }
        let last = filled < group.len();
        full.send((group, filled))?;
        if last {
            return Ok(offset);
        }
    }
}

/// Reads until `buffer` is full or the stream ends.
fn read_full(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn hash(filled: &Receiver<(Vec<u8>, usize)>, empty: &SyncSender<Vec<u8>>) -> Vec<Digest> {
    let hasher = Hasher::auto();
    let mut digests = Vec::new();
    for (group, len) in filled {
        let pieces: Vec<&[u8]> = group[..len].chunks(PIECE).collect();
        let begin = digests.len();
        digests.resize(begin + pieces.len(), [0; 20]);
        hasher.sha1_many(&pieces, &mut digests[begin..]);
        // The receiver may be done.
        let _ = empty.send(group);
    }
    digests
}

#[cfg(test)]
mod tests {
    use sha1::{Digest as _, Sha1};

    use super::*;
    use crate::content::{generate, sha1_of};

    #[test]
    fn every_byte_arrives_and_every_piece_is_hashed() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        generate(&from, 20 * PIECE as u64 + 77, 5)?;
        let (_, digests) = copy(&from, &to)?;
        assert_eq!(sha1_of(&from)?, sha1_of(&to)?);
        let bytes = std::fs::read(&from)?;
        let expected = bytes.chunks(PIECE).map(|piece| Sha1::digest(piece).into());
        assert_eq!(digests, expected.collect::<Vec<Digest>>());
        Ok(())
    }
}
