//! Accepting peers, up to their handshake.
//!
//! Connections that have not sent their handshake are bounded in number and in time, so that a thousand silent ones do not keep an honest
//! one out: at most [`MAX_PENDING`], at most [`MAX_PENDING_ADDRESS`] from one address, 10 s each; the oldest gives way.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use p2p_wire::peer::{HANDSHAKE_LEN, Handshake};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

use super::pacing::Pacing;
use super::{Connection, Slots};
use crate::descriptors;

const MAX_PENDING: usize = 512;
const MAX_PENDING_ADDRESS: usize = 8;
const DEADLINE: Duration = Duration::from_secs(10);
const BACKLOG: u32 = 1024;

/// The listening sockets; they close when this is dropped.
#[derive(Debug)]
pub struct Listeners {
    /// The port peers connect to.
    pub port: u16,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Listeners {
    /// Lets go of the addresses: when this returns, another may listen there.
    pub async fn close(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
            let _ended = task.await;
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Listens on `addrs`, all on one port: where that is 0, on `preferred` if it is free, else on any. Connections whose handshake arrived go to
/// `arrived`; when that is full they wait, and new ones push the oldest out. `Err` when no address can be listened on.
pub fn listen(
    addrs: &[SocketAddr],
    preferred: Option<u16>,
    slots: &Slots,
    arrived: &mpsc::Sender<Connection>,
) -> io::Result<Listeners> {
    let mut port = 0;
    let mut sockets = Vec::new();
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    for addr in addrs {
        let wanted = match (addr.port(), port) {
            (0, 0) => preferred.unwrap_or(0),
            (0, same) => same,
            (fixed, _) => fixed,
        };
        let at = |port| bind(SocketAddr::new(addr.ip(), port));
        let bound = at(wanted).or_else(|error| match (addr.port(), port) {
            (0, 0) => at(0),
            // Nobody would be told of another port.
            _ => Err(error),
        });
        match bound.and_then(|socket| Ok((socket.local_addr()?.port(), socket))) {
            Ok((bound, socket)) => {
                if port == 0 {
                    port = bound;
                }
                sockets.push(socket);
            }
            Err(error) => {
                tracing::warn!("cannot listen on {addr}: {error}");
                failed = io::Error::new(error.kind(), format!("{addr}: {error}"));
            }
        }
    }
    if sockets.is_empty() {
        return Err(failed);
    }
    let pending = Arc::new(Pending::new(MAX_PENDING.min(descriptors::shares().pending)));
    let tasks = sockets
        .into_iter()
        .map(|socket| {
            let accept = accept(socket, pending.clone(), slots.clone(), arrived.clone());
            tokio::spawn(accept)
        })
        .collect();
    Ok(Listeners {
        port,
        tasks: Mutex::new(tasks),
    })
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn accept(
    socket: TcpListener,
    pending: Arc<Pending>,
    slots: Slots,
    arrived: mpsc::Sender<Connection>,
) {
    let pacing = Pacing::hold_back(&socket);
    loop {
        match socket.accept().await {
            Ok((stream, addr)) => {
                pacing.settle(&stream);
                pending.start(stream, addr, &slots, &arrived);
            }
            Err(error) => {
                // Out of descriptors, mostly: others must end first.
                tracing::debug!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[derive(Debug)]
struct Pending(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    most: usize,
    next: u64,
    oldest_first: VecDeque<(u64, IpAddr, AbortHandle)>,
}

impl Pending {
    fn new(most: usize) -> Self {
        Self(Mutex::new(Waiting {
            most,
            next: 0,
            oldest_first: VecDeque::new(),
        }))
    }

    fn start(
        self: &Arc<Self>,
        stream: TcpStream,
        addr: SocketAddr,
        slots: &Slots,
        arrived: &mpsc::Sender<Connection>,
    ) {
        let (slots, arrived, all) = (slots.clone(), arrived.clone(), self.clone());
        let ip = addr.ip().to_canonical();
        let mut waiting = self.lock();
        let id = waiting.next;
        waiting.next += 1;
        let task = tokio::spawn(async move {
            let connection = greet(stream, addr, &slots).await;
            if let Ok(Some(connection)) = connection {
                // The engine may be gone.
                let _ = arrived.send(connection).await;
            }
            all.lock().oldest_first.retain(|(other, ..)| *other != id);
        });
        waiting.make_room(ip);
        waiting
            .oldest_first
            .push_back((id, ip, task.abort_handle()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn make_room(&mut self, ip: IpAddr) {
        let same = |(_, other, _): &&(u64, IpAddr, AbortHandle)| *other == ip;
        if self.oldest_first.iter().filter(same).count() >= MAX_PENDING_ADDRESS
            && let Some(at) = self
                .oldest_first
                .iter()
                .position(|(_, other, _)| *other == ip)
        {
            self.give_way(at);
        }
        if self.oldest_first.len() >= self.most {
            self.give_way(0);
        }
    }

    fn give_way(&mut self, at: usize) {
        if let Some((_, _, task)) = self.oldest_first.remove(at) {
            task.abort();
        }
    }
}

async fn greet(
    mut stream: TcpStream,
    addr: SocketAddr,
    slots: &Slots,
) -> io::Result<Option<Connection>> {
    stream.set_nodelay(true)?;
    let mut bytes = [0; HANDSHAKE_LEN];
    let read = timeout(DEADLINE, stream.read_exact(&mut bytes)).await;
    read.map_err(|_| io::ErrorKind::TimedOut)??;
    let Some(handshake) = Handshake::from_bytes(&bytes) else {
        return Ok(None);
    };
    let Some(slot) = slots.for_theirs(addr.ip().to_canonical()) else {
        tracing::debug!("no room for {addr}: as many connections as max_peers allows");
        return Ok(None);
    };
    Ok(Some(Connection {
        stream,
        addr: SocketAddr::new(addr.ip().to_canonical(), addr.port()),
        handshake,
        outgoing: false,
        slot,
    }))
}

#[cfg(test)]
mod tests {
    use p2p_wire::peer::Reserved;
    use p2p_wire::{InfoHash, PeerId};
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn silent_connections_do_not_keep_an_honest_one_out() {
        let (tx, mut arrived) = mpsc::channel(4);
        let any = ["127.0.0.1:0".parse().unwrap()];
        let listeners = listen(&any, None, &Slots::new(10), &tx).unwrap();
        let addr = ("127.0.0.1", listeners.port);
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(TcpStream::connect(addr).await.unwrap());
        }
        let mut honest = TcpStream::connect(addr).await.unwrap();
        let handshake = Handshake {
            reserved: Reserved::ours(),
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
        };
        honest.write_all(&handshake.to_bytes()).await.unwrap();
        let got = timeout(Duration::from_secs(5), arrived.recv()).await;
        assert_eq!(got.unwrap().unwrap().handshake, handshake);
        // All but the newest few from this address were closed.
        let mut byte = [0];
        let closed = timeout(Duration::from_secs(5), silent[0].read(&mut byte)).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))));
    }
}
