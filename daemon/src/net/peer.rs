//! One connection: reads become batches of frames, queued messages and blocks become vectored writes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use p2p_wire::Block;
use p2p_wire::peer::{Frame, Handshake};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::intake::Intake;
use super::link::Link;
use super::outbox::Outbox;
use super::{BlockPool, Slot, Throttle};
use crate::swarm::PeerKey;

/// Offered to the socket at once at most.
const MAX_WRITE: usize = 512 * 1024;

/// A peer that takes nothing of what waits for it for this long is dropped.
const STALLED: Duration = Duration::from_secs(60);

/// A connection that was closed has so long to send the messages that waited.
const LINGER: Duration = Duration::from_secs(1);

/// A connection whose handshake arrived.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// Remote address.
    pub addr: SocketAddr,
    /// What the peer said.
    pub handshake: Handshake,
    /// We dialled.
    pub outgoing: bool,
    /// Its place among the connections of the daemon.
    pub slot: Slot,
}

/// From a peer to its torrent.
#[derive(Debug)]
pub enum FromPeer {
    /// All frames of one read.
    Batch(Vec<Frame>),
    /// Blocks that went out.
    Sent(Vec<Block>),
    /// The connection ended; the last of this peer.
    Closed(String),
}

/// How a connection's task reports. When the channel is full the connection is neither read nor written, and the peer feels it through TCP.
pub type Reports = mpsc::Sender<(PeerKey, FromPeer)>;

/// What a connection shares with others.
#[derive(Clone)]
pub struct Shared {
    /// The limits of what is read.
    pub down: Throttle,
    /// The limits of what is written.
    pub up: Throttle,
    /// Memory for blocks that arrive.
    pub pool: BlockPool,
    /// Where it reports.
    pub reports: Reports,
}

/// Serves a connection until it ends, then says so. `greeting` goes first, for a connection that was accepted.
pub fn spawn(
    key: PeerKey,
    connection: Connection,
    greeting: Option<Handshake>,
    link: Arc<Link>,
    shared: Shared,
) {
    tokio::spawn(async move {
        let Connection {
            mut stream, slot, ..
        } = connection;
        let Shared {
            down, up, reports, ..
        } = &shared;
        let (reader, writer) = stream.split();
        let intake = Intake::new(link.pieces(), shared.pool.clone());
        // Nothing is read from a connection that was closed: whoever is at the other end could go on for long.
        let reads = async {
            tokio::select! {
                biased;
                () = link.closed() => {
                    sleep(LINGER).await;
                    Ok(())
                }
                end = read(key, reader, &link, (down, &slot), intake, reports) => end,
            }
        };
        let why = tokio::select! {
            end = reads => end,
            end = write(key, writer, greeting, &link, (up, &slot), reports) => end,
            () = slot.lost() => Err(io::Error::other("gave way to another connection")),
        };
        drop(slot);
        let why = why.map_or_else(|error| error.to_string(), |()| "closed".into());
        // The torrent may be gone.
        let _ = reports.send((key, FromPeer::Closed(why))).await;
    });
}

async fn read(
    key: PeerKey,
    stream: ReadHalf<'_>,
    link: &Link,
    (throttle, slot): (&Throttle, &Slot),
    mut intake: Intake,
    reports: &Reports,
) -> io::Result<()> {
    loop {
        stream.readable().await?;
        link.hold(true);
        let allowed = throttle.take(intake.size()).await;
        link.hold(false);
        let read = match intake.read(&stream, allowed) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        throttle.give_back(allowed.saturating_sub(read));
        let frames = intake.frames(read, allowed, link.pieces());
        let frames = frames.map_err(io::Error::other)?;
        if frames.iter().any(|frame| !frame.data.is_empty()) {
            slot.used();
        }
        if !frames.is_empty() && reports.send((key, FromPeer::Batch(frames))).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    key: PeerKey,
    stream: WriteHalf<'_>,
    first: Option<Handshake>,
    link: &Link,
    (throttle, slot): (&Throttle, &Slot),
    reports: &Reports,
) -> io::Result<()> {
    let mut outbox = Outbox::default();
    if let Some(handshake) = first {
        outbox.push_bytes(Bytes::copy_from_slice(&handshake.to_bytes()));
    }
    let mut closing = false;
    loop {
        // Little by little, so that what waits in the link can still be cancelled.
        if outbox.len < MAX_WRITE && !closing {
            let (out, closed) = link.take();
            outbox.extend(out);
            closing = closed;
        }
        if outbox.len == 0 {
            if closing {
                return Ok(());
            }
            link.queued().await;
            continue;
        }
        let allowed = throttle.take(outbox.len.min(MAX_WRITE)).await;
        let ready = timeout(STALLED, stream.writable()).await;
        ready.map_err(|_| io::Error::other("takes nothing"))??;
        let (mut written, mut sent) = (0, Vec::new());
        while written < allowed {
            match outbox.write(stream.as_ref(), allowed - written) {
                Ok(some) => {
                    written += some;
                    sent.extend(outbox.advance(some));
                    if !outbox.has_pages_next() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        throttle.give_back(allowed - written);
        if !sent.is_empty() {
            slot.used();
        }
        if !sent.is_empty() && reports.send((key, FromPeer::Sent(sent))).await.is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use p2p_wire::peer::{Message, Reserved};
    use p2p_wire::{InfoHash, PeerId};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::Slots;

    use super::*;

    /// A connection with its other end, and what it reports.
    async fn pair() -> (
        TcpStream,
        Arc<Link>,
        mpsc::Receiver<(PeerKey, FromPeer)>,
        Slots,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(listener.accept(), far);
        let (stream, addr) = near.unwrap();
        let handshake = Handshake {
            reserved: Reserved::ours(),
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
        };
        let (slots, link) = (Slots::new(2), Arc::new(Link::default()));
        let connection = Connection {
            stream,
            addr,
            handshake,
            outgoing: false,
            slot: slots.for_theirs(addr.ip()).unwrap(),
        };
        let (reports, reported) = mpsc::channel(64);
        let shared = Shared {
            down: Throttle::default(),
            up: Throttle::default(),
            pool: BlockPool::default(),
            reports,
        };
        spawn(PeerKey(1), connection, None, link.clone(), shared);
        (far.unwrap(), link, reported, slots)
    }

    #[tokio::test]
    async fn blocks_in_memory_and_in_pages_arrive_in_order_and_are_told_once() {
        const LEN: u32 = 128 * 1024;
        let (mut far, link, mut reported, _slots) = pair().await;
        let bytes: Vec<u8> = (0..8 * LEN).map(|n| (n / 3 % 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let (mut expected, mut blocks) = (bytes::BytesMut::new(), Vec::new());
        for (n, part) in bytes.chunks(LEN as usize).enumerate() {
            let begin = n as u32 * LEN;
            let block = Block {
                piece: 3,
                begin,
                len: LEN,
            };
            let data = match n % 3 {
                0 => part.to_vec().into(),
                _ => crate::storage::Data::of(file.as_file(), u64::from(begin), part.len()),
            };
            link.block(block, data);
            Message::Piece(block).encode(&mut expected);
            expected.extend_from_slice(part);
            if n % 2 == 0 {
                assert!(link.send(Message::Have(n as u32)));
                Message::Have(n as u32).encode(&mut expected);
            }
            blocks.push(block);
        }
        let mut found = vec![0; expected.len()];
        let mut sent = Vec::new();
        let told = async {
            while sent.len() < blocks.len() {
                if let Some((_, FromPeer::Sent(some))) = reported.recv().await {
                    sent.extend(some);
                }
            }
        };
        let (read, ()) = tokio::join!(far.read_exact(&mut found), told);
        read.unwrap();
        assert!(found[..] == expected[..]);
        assert_eq!(sent, blocks);
    }

    /// The clock moves on when nothing else does: when the socket takes no more.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_of_what_waits_for_it_goes() {
        let (_far, link, mut reported, _slots) = pair().await;
        let block = Block {
            piece: 1,
            begin: 0,
            len: 65_536,
        };
        for _ in 0..300 {
            link.block(block, vec![0; 65_536].into());
        }
        let begin = tokio::time::Instant::now();
        let why = loop {
            if let Some((_, FromPeer::Closed(why))) = reported.recv().await {
                break why;
            }
        };
        assert_eq!(why, "takes nothing");
        assert!(begin.elapsed() >= STALLED && begin.elapsed() < 2 * STALLED);
    }

    #[tokio::test]
    async fn a_closed_connection_sends_no_block_reads_nothing_and_is_gone_soon() {
        let (mut far, link, mut reported, slots) = pair().await;
        let block = Block {
            piece: 1,
            begin: 0,
            len: 65_536,
        };
        for _ in 0..300 {
            link.block(block, vec![0; 65_536].into());
        }
        link.close();
        let flood = vec![0; 1 << 20];
        let ended = timeout(Duration::from_secs(30), async {
            let (mut reader, mut writer) = far.split();
            let mut sink = vec![0; 1 << 20];
            loop {
                tokio::select! {
                    wrote = writer.write_all(&flood) => if wrote.is_err() { break },
                    read = reader.read(&mut sink) => if !matches!(read, Ok(1..)) { break },
                }
            }
        });
        assert!(ended.await.is_ok(), "it goes on");
        while let Some((_, report)) = reported.recv().await {
            match report {
                FromPeer::Closed(_) => break,
                FromPeer::Batch(frames) => assert!(frames.is_empty(), "it was read"),
                FromPeer::Sent(_) => panic!("blocks were sent"),
            }
        }
        assert!(slots.for_ours().is_some() && slots.for_ours().is_some());
    }
}
