//! Connecting to peers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use p2p_wire::peer::{HANDSHAKE_LEN, Handshake};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::pacing::Pacing;
use super::{Connection, LocalAddrs, Slot};

/// From the first packet to the peer's handshake.
const DEADLINE: Duration = Duration::from_secs(10);

/// Connects from our side's address, sends our handshake and waits for the peer's. An error also if the peer is in another swarm, or does not answer in 10 s.
pub async fn dial(
    addr: SocketAddr,
    local: LocalAddrs,
    ours: Handshake,
    slot: Slot,
) -> io::Result<Connection> {
    let connect = async {
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(from) = local.towards(addr) {
            socket.bind(from)?;
        }
        let pacing = Pacing::hold_back(&socket);
        let mut stream = socket.connect(addr).await?;
        pacing.settle(&stream);
        stream.set_nodelay(true)?;
        stream.write_all(&ours.to_bytes()).await?;
        let mut bytes = [0; HANDSHAKE_LEN];
        stream.read_exact(&mut bytes).await?;
        let theirs = Handshake::from_bytes(&bytes)
            .filter(|theirs| theirs.info_hash == ours.info_hash)
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok(Connection {
            stream,
            addr,
            handshake: theirs,
            outgoing: true,
            slot,
        })
    };
    let connected = timeout(DEADLINE, connect).await;
    connected.map_err(|_| io::ErrorKind::TimedOut)?
}
