//! Which connections are paced.
//!
//! Where the machine's congestion control is BBR, what a connection sends is spread evenly over time: a timer for each 64 KiB, so that the queues
//! of a long path stay short. Between machines on one wire there is no such queue, and the timers cost more than the packets they send: a fifth of
//! all CPU time of an exchange at full speed. So connections begin without (Reno, which every Linux has and lets everybody use), as what once was
//! paced stays so, and get what the machine uses when the first packet shows that the path is longer. Where the machine does not pace, nothing is changed.
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use self::kernel::{congestion, round_trip, set_congestion};

/// Round trips from this on are paced: through a wire and a switch or two one takes a few tenths of it.
const LONG: Duration = Duration::from_millis(1);

/// The machine's congestion control where it paces, held back until a connection's path is known.
#[derive(Clone, Debug)]
pub(super) struct Pacing(Option<OsString>);

fn paces(congestion: &OsStr) -> bool {
    congestion.as_bytes().starts_with(b"bbr")
}

impl Pacing {
    /// Holds it back for a socket that is not connected yet, and for all that a listening one accepts.
    pub(super) fn hold_back(socket: &impl AsFd) -> Self {
        let usual = congestion(socket).filter(|usual| paces(usual));
        Self(usual.filter(|_| set_congestion(socket, "reno".as_ref()).is_ok()))
    }

    /// Gives it to a connection whose path is long, or is not known.
    pub(super) fn settle(&self, connection: &impl AsFd) {
        if self.0.is_some() {
            self.settle_for(connection, round_trip(connection));
        }
    }

    fn settle_for(&self, connection: &impl AsFd, rtt: Option<Duration>) {
        if let Some(usual) = &self.0
            && rtt.is_none_or(|rtt| rtt >= LONG)
            && let Err(error) = set_congestion(connection, usual)
        {
            tracing::debug!("a connection stays without pacing: {error}");
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::ffi::{OsStr, OsString};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use nix::sys::socket::sockopt::TcpCongestion;
    use nix::sys::socket::{getsockopt, setsockopt};
    use nix::{getsockopt_impl, libc, sockopt_impl};

    /// The part of `struct tcp_info` that every kernel knows, in words.
    type Info = [u32; 26];

    /// Where in it the round trip is, in microseconds.
    const RTT: usize = std::mem::offset_of!(libc::tcp_info, tcpi_rtt) / size_of::<u32>();

    sockopt_impl!(
        /// What is known of a connection (`TCP_INFO`, tcp(7)).
        TcpInfo,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Info
    );

    /// The name of a socket's congestion control.
    pub(super) fn congestion(socket: &impl AsFd) -> Option<OsString> {
        getsockopt(socket, TcpCongestion).ok()
    }

    pub(super) fn set_congestion(socket: &impl AsFd, name: &OsStr) -> nix::Result<()> {
        setsockopt(socket, TcpCongestion, &name.to_owned())
    }

    /// As the packets showed that made the connection.
    pub(super) fn round_trip(connection: &impl AsFd) -> Option<Duration> {
        let info = getsockopt(connection, TcpInfo).ok()?;
        let rtt = Duration::from_micros(info[RTT].into());
        (!rtt.is_zero()).then_some(rtt)
    }
}

/// Elsewhere nothing is known of pacing, and nothing is changed.
#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::ffi::{OsStr, OsString};
    use std::os::fd::AsFd;
    use std::time::Duration;

    pub(super) fn congestion(_: &impl AsFd) -> Option<OsString> {
        None
    }

    pub(super) fn set_congestion(_: &impl AsFd, _: &OsStr) -> nix::Result<()> {
        Err(nix::Error::ENOTSUP)
    }

    pub(super) fn round_trip(_: &impl AsFd) -> Option<Duration> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use p2p_wire::peer::{Handshake, Reserved};
    use p2p_wire::{InfoHash, PeerId};
    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc;

    use super::super::{LocalAddrs, Slots, dial, listen};
    use super::kernel::*;
    use super::*;

    fn is_paced(socket: &impl AsFd) -> bool {
        paces(&congestion(socket).unwrap())
    }

    #[test]
    fn connections_are_paced_as_the_machine_does_it_but_for_those_on_one_wire() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Not every machine paces; this one may not let us either.
        let _may_fail = set_congestion(&listener, &OsString::from("bbr"));
        let usual = congestion(&listener).unwrap();
        let pacing = Pacing::hold_back(&listener);
        assert!(!is_paced(&listener));
        let addr = listener.local_addr().unwrap();
        let _dialled = TcpStream::connect(addr).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let rtt = round_trip(&accepted).unwrap();
        assert!(rtt < Duration::from_secs(10), "{rtt:?}");
        pacing.settle_for(&accepted, Some(Duration::from_micros(200)));
        assert!(!is_paced(&accepted));
        for long in [None, Some(Duration::from_millis(20))] {
            pacing.settle_for(&accepted, long);
            assert_eq!(congestion(&accepted).unwrap(), usual);
        }
    }

    /// Says something only where the machine paces.
    #[tokio::test]
    async fn neither_end_of_a_connection_within_the_machine_is_paced() {
        let (tx, mut arrived) = mpsc::channel(1);
        let slots = Slots::new(10);
        let any = ["127.0.0.1:0".parse().unwrap()];
        let listeners = listen(&any, None, &slots, &tx).unwrap();
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], listeners.port));
        let ours = Handshake {
            reserved: Reserved::ours(),
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
        };
        // A machine that is busy at that moment makes a long way of a short one: of several, one is short.
        let mut all_paced = true;
        for _ in 0..20 {
            let slot = slots.for_ours().unwrap();
            let dialling = tokio::spawn(dial(addr, LocalAddrs::default(), ours, slot));
            let mut accepted = arrived.recv().await.unwrap();
            accepted.stream.write_all(&ours.to_bytes()).await.unwrap();
            let dialled = dialling.await.unwrap().unwrap();
            all_paced &= is_paced(&accepted.stream) || is_paced(&dialled.stream);
        }
        assert!(!all_paced);
    }
}
