//! Peers made by hand on real sockets, as honest or as hostile as a test wants them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use p2p_wire::metainfo::{Info, Metainfo};
use p2p_wire::peer::{FrameDecoder, HANDSHAKE_LEN, Handshake, Message, Reserved};
use p2p_wire::{Block, InfoHash, PeerId};

/// What a hand-made peer serves: a torrent of one file, and that file.
#[derive(Debug)]
pub struct Served {
    info: Info,
    file: File,
}

impl Served {
    /// The content of the torrent file `torrent`, which lies at `path`.
    pub fn new(torrent: &Path, path: &Path) -> Result<Arc<Self>> {
        let info = Metainfo::from_bytes(&std::fs::read(torrent)?)?.info;
        let file = File::open(path)?;
        Ok(Arc::new(Self { info, file }))
    }

    /// Which torrent.
    pub fn info_hash(&self) -> InfoHash {
        self.info.info_hash()
    }

    /// Bytes in a piece.
    pub fn piece_len(&self) -> u64 {
        self.info.layout().piece_len().into()
    }

    fn read(&self, block: Block) -> Result<Vec<u8>> {
        let layout = self.info.layout();
        let piece = layout.check_block(block).context("a block that is not")?;
        let mut bytes = vec![0; block.len as usize];
        let offset = layout.offset(piece) + u64::from(block.begin);
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// A seed that waits to be dialled. Its threads end with the connections they serve.
#[derive(Debug)]
pub struct Seed {
    /// Where it listens.
    pub addr: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    connections: AtomicU64,
}

impl Seed {
    /// Listens on `ip` and sends `rate` bytes/s, of which each block is wrong if it `lies`.
    pub fn start(served: &Arc<Served>, ip: Ipv4Addr, rate: u64, lies: bool) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0))?;
        let addr = listener.local_addr()?;
        let (served, counts) = (served.clone(), Arc::new(Counts::default()));
        let shared = counts.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (served, counts) = (served.clone(), shared.clone());
                counts.connections.fetch_add(1, Ordering::Relaxed);
                // An error is the end of the connection, which is the other side's right.
                thread::spawn(move || serve(stream, &served, &counts, rate, lies));
            }
        });
        Ok(Self { addr, counts })
    }

    /// Bytes of blocks that it sent.
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// How often it was dialled.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }
}

fn serve(
    mut stream: TcpStream,
    served: &Served,
    counts: &Counts,
    rate: u64,
    lies: bool,
) -> Result<()> {
    let mut theirs = [0; HANDSHAKE_LEN];
    stream.read_exact(&mut theirs)?;
    stream.write_all(&handshake(served.info_hash(), stream.local_addr()?).to_bytes())?;
    stream.set_nodelay(true)?;
    let mut out = BytesMut::new();
    Message::HaveAll.encode(&mut out);
    Message::Unchoke.encode(&mut out);
    stream.write_all(&out)?;
    let (begin, mut sent) = (Instant::now(), 0);
    let mut decoder = FrameDecoder::new(Some(served.info.layout().pieces()));
    let (mut buffer, mut chunk) = (BytesMut::new(), [0; 4096]);
    loop {
        while let Some(frame) = decoder.decode(&mut buffer)? {
            let Message::Request(block) = frame.message else {
                continue;
            };
            let mut bytes = served.read(block)?;
            if lies {
                bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
            }
            let mut out = BytesMut::new();
            Message::Piece(block).encode(&mut out);
            out.extend_from_slice(&bytes);
            stream.write_all(&out)?;
            sent += u64::from(block.len);
            counts.sent.fetch_add(block.len.into(), Ordering::Relaxed);
            let due = begin + Duration::from_secs_f64(sent as f64 / rate as f64);
            thread::sleep(due.saturating_duration_since(Instant::now())); // the rate
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            read => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

/// The handshake of a peer whose id depends on its address alone.
pub fn handshake(info_hash: InfoHash, addr: SocketAddr) -> Handshake {
    let mut id = *b"-WI0001-            ";
    let name = addr.to_string();
    let tail = &name.as_bytes()[name.len().saturating_sub(12)..];
    id[8..8 + tail.len()].copy_from_slice(tail);
    Handshake {
        reserved: Reserved::ours(),
        info_hash,
        peer_id: PeerId(id),
    }
}

/// Fetches all of a torrent of one file from the peer at `to`, as it sends it: unchecked. An error after `limit` without a message.
pub fn fetch(to: SocketAddr, info: &Info, limit: Duration) -> Result<Vec<u8>> {
    let (mut stream, _) = shake_hands(to, info.info_hash(), limit)?;
    let layout = info.layout();
    let blocks = layout.iter().flat_map(|piece| {
        (0..layout.blocks_of(piece)).filter_map(move |number| layout.block(piece, number))
    });
    let mut wanted: Vec<Block> = blocks.collect();
    let mut out = BytesMut::new();
    Message::HaveNone.encode(&mut out);
    Message::Interested.encode(&mut out);
    stream.write_all(&out)?;
    let mut content = vec![0; usize::try_from(layout.total_len())?];
    let mut decoder = FrameDecoder::new(Some(layout.pieces()));
    let (mut buffer, mut chunk) = (BytesMut::new(), [0; 4096]);
    loop {
        while let Some(frame) = decoder.decode(&mut buffer)? {
            match frame.message {
                Message::Unchoke => {
                    let mut out = BytesMut::new();
                    let requests = wanted.iter().map(|block| Message::Request(*block));
                    requests.for_each(|request| request.encode(&mut out));
                    stream.write_all(&out)?;
                }
                Message::Piece(block) => {
                    let piece = layout.check_block(block).context("a block that is not")?;
                    let at = usize::try_from(layout.offset(piece))? + block.begin as usize;
                    content[at..at + frame.data.len()].copy_from_slice(&frame.data);
                    wanted.retain(|other| *other != block);
                }
                _ => {}
            }
        }
        if wanted.is_empty() {
            return Ok(content);
        }
        match stream.read(&mut chunk)? {
            0 => bail!("the peer hangs up"),
            read => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Connects to `to` and shakes hands; how long it took until the answer was there. An error after `limit`.
pub fn shake_hands(
    to: SocketAddr,
    info_hash: InfoHash,
    limit: Duration,
) -> Result<(TcpStream, Duration)> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect_timeout(&to, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let ours = handshake(info_hash, stream.local_addr()?);
    stream.write_all(&ours.to_bytes())?;
    let mut theirs = [0; HANDSHAKE_LEN];
    stream.read_exact(&mut theirs)?;
    let theirs = Handshake::from_bytes(&theirs).context("not a handshake")?;
    ensure!(theirs.info_hash == info_hash, "another torrent");
    Ok((stream, begin.elapsed()))
}

/// A connection from `ip`, so that it counts as another machine's.
pub fn connect_from(ip: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    use std::os::fd::AsRawFd as _;

    let SocketAddr::V4(to) = to else {
        bail!("{to} is not IPv4");
    };
    let fd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::empty(),
        None,
    )?;
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    bind(
        fd.as_raw_fd(),
        &SockaddrIn::from(std::net::SocketAddrV4::new(ip, 0)),
    )?;
    connect(fd.as_raw_fd(), &SockaddrIn::from(to))?;
    Ok(fd.into())
}
