//! Blocks that stay in the page cache until they are sent.
//!
//! The pages of a block are put into a pipe, and go from there to the socket: only who receives them copies them. A pipe takes two
//! descriptors, so there are few; without one, or where the system or the file system cannot do it, a block is read into memory. What is
//! written to a file while its pages are on their way is what the peer gets: it then fails its hash, as does a piece of a file that changed
//! before that was noticed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use nix::errno::Errno;
use p2p_wire::MAX_BLOCK_LEN;

use super::{kernel, lock};

/// Pipes at most: 8 MiB on their way.
const MOST: usize = 64;

/// What was read.
#[derive(Debug)]
pub enum Data {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Pages of the page cache.
    Pages(Pages),
}

impl Data {
    /// How many bytes it is.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Pages(pages) => pages.len,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes `count` bytes off the front. Those of [`Data::Pages`] were sent.
    pub(crate) fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::Pages(pages) => pages.len -= count,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Data {
    fn from(bytes: T) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// Pages in a pipe.
#[derive(Debug)]
pub struct Pages {
    /// Always there, until it is dropped.
    pipe: Option<Pipe>,
    /// Bytes in it.
    len: usize,
    home: Arc<Pipes>,
}

#[derive(Debug)]
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pages {
    /// Sends at most so many bytes to a socket, as many as it takes now; `more` comes right after. [`Data::advance`] by what it gives.
    pub(crate) fn send(&self, socket: impl AsFd, most: usize, more: bool) -> io::Result<usize> {
        let pipe = self.pipe.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        match kernel::splice_to_socket(&pipe.out, socket, self.len.min(most), more)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            sent => Ok(sent),
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // One with something in it is closed.
        match self.pipe.take().filter(|_| self.len == 0) {
            Some(pipe) => lock(&self.home.spare).push(pipe),
            None => {
                self.home.made.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// The pipes, to be used again.
#[derive(Debug)]
pub(super) struct Pipes {
    spare: Mutex<Vec<Pipe>>,
    made: AtomicUsize,
    most: usize,
}

impl Pipes {
    /// None yet, and no more than so many descriptors.
    pub(super) fn new(descriptors: usize) -> Arc<Self> {
        Arc::new(Self {
            spare: Mutex::default(),
            made: AtomicUsize::new(0),
            most: (descriptors / 2).min(MOST),
        })
    }

    /// The `len` bytes at `offset` of a file; `None` where they must be read: whoever reads them is told what is wrong, if anything.
    pub(super) fn fill(self: &Arc<Self>, file: &File, offset: u64, len: usize) -> Option<Pages> {
        let mut pages = Pages {
            pipe: Some(self.pipe()?),
            len: 0,
            home: self.clone(),
        };
        while pages.len < len {
            let into = &pages.pipe.as_ref()?.into;
            let at = offset + pages.len as u64;
            match kernel::splice_from_file(file, at, into, len - pages.len) {
                Err(Errno::EINTR) => {}
                Ok(0) | Err(_) => return None,
                Ok(filled) => pages.len += filled,
            }
        }
        Some(pages)
    }

    fn pipe(&self) -> Option<Pipe> {
        if let Some(pipe) = lock(&self.spare).pop() {
            return Some(pipe);
        }
        if self.made.fetch_add(1, Ordering::Relaxed) < self.most
            // One page more than a block that begins at a page needs.
            && let Ok((out, into)) = kernel::pipe(MAX_BLOCK_LEN as usize + 4096)
        {
            return Some(Pipe { out, into });
        }
        self.made.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Closes those that nobody uses.
    pub(super) fn rest(&self) {
        let spare = std::mem::take(&mut *lock(&self.spare));
        self.made.fetch_sub(spare.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Data {
    /// A part of a file, in pages where the system can do that.
    pub(crate) fn of(file: &File, offset: u64, len: usize) -> Self {
        use std::os::unix::fs::FileExt;
        let pages = Pipes::new(MOST).fill(file, offset, len).map(Self::Pages);
        pages.unwrap_or_else(|| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, offset).unwrap();
            bytes.into()
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const LEN: usize = MAX_BLOCK_LEN as usize;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn noise(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n * 7 / 5 % 251) as u8).collect()
    }

    #[test]
    fn pages_arrive_as_they_are_in_the_file_and_their_pipe_is_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let bytes = noise(2 * LEN + 777);
        let file = file(&bytes);
        let pipes = Pipes::new(128);
        for offset in [0, 1, 777, 4096, LEN + 777] {
            let pages = pipes.fill(&file, offset as u64, LEN).expect("a pipe");
            let mut data = Data::Pages(pages);
            while let Data::Pages(pages) = &data
                && !data.is_empty()
            {
                let sent = pages.send(&near, 50_000, data.len() > 50_000).unwrap();
                assert!(sent <= 50_000);
                let mut found = vec![0; sent];
                far.read_exact(&mut found).unwrap();
                let at = offset + LEN - data.len();
                assert!(found == bytes[at..at + sent], "{at}");
                data.advance(sent);
            }
            drop(data);
            assert_eq!(lock(&pipes.spare).len(), 1);
        }
        pipes.rest();
        assert_eq!(pipes.made.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn without_a_pipe_or_so_many_bytes_there_are_no_pages() {
        let file = file(&noise(LEN));
        let pipes = Pipes::new(5);
        let two: Vec<_> = (0..2).map(|_| pipes.fill(&file, 0, LEN)).collect();
        assert!(two.iter().all(Option::is_some));
        assert!(pipes.fill(&file, 0, LEN).is_none(), "four descriptors");
        // With something in it, a pipe is not used again, but another may be made.
        drop(two);
        assert!(lock(&pipes.spare).is_empty());
        assert!(pipes.fill(&file, 1, LEN).is_none(), "beyond the end");
        assert!(pipes.fill(&file, 0, LEN).is_some());
        assert_eq!(pipes.made.load(Ordering::Relaxed), 0);
    }
}
