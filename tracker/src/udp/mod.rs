//! Announces and scrapes over UDP (BEP 15, BEP 41), for any BitTorrent client.
//!
//! One task for each socket; a packet is answered before the next is read, from memory alone. What the network's queue cannot hold is
//! lost, as UDP is, and asked again.

mod answer;
mod connection;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::connection::ConnectionKey;
use crate::listen::bound;
use crate::tracker::Tracker;

/// Bytes of a packet that are read: an announce with a long URL.
const MAX_PACKET: usize = 4_096;

/// Bound sockets.
pub struct Sockets(Vec<UdpSocket>);

impl Sockets {
    /// Binds every address.
    pub async fn bind(addresses: &[String]) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(addresses.len());
        for address in addresses {
            sockets.push(bound(address, " over UDP", UdpSocket::bind::<String>).await?);
        }
        Ok(Self(sockets))
    }

    /// Where they listen.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.0.iter().map(UdpSocket::local_addr).collect()
    }
}

/// Answers until `stop` is true.
pub async fn serve(tracker: Arc<Tracker>, sockets: Sockets, mut stop: watch::Receiver<bool>) {
    let key = Arc::new(ConnectionKey::new(rand::random()));
    let mut serving = JoinSet::new();
    for socket in sockets.0 {
        serving.spawn(receive(Arc::clone(&tracker), Arc::clone(&key), socket));
    }
    // The sender gone means the end too; dropping the set ends its tasks.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn receive(tracker: Arc<Tracker>, key: Arc<ConnectionKey>, socket: UdpSocket) {
    let mut packet = [0; MAX_PACKET];
    loop {
        match socket.recv_from(&mut packet).await {
            Ok((len, from)) => {
                if let Some(answer) = answer::answer(&tracker, &key, &packet[..len], from) {
                    // A full queue loses the answer; the client asks again.
                    let _ = socket.try_send_to(&answer, from);
                }
            }
            // That an earlier answer did not arrive, most often.
            Err(error) => {
                tracing::debug!("UDP: {error}");
                tokio::task::yield_now().await;
            }
        }
    }
}
