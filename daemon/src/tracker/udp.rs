//! One announce over UDP (BEP 15, BEP 41): a socket of its own, a connection id, the announce.
//!
//! The socket is connected, so packets of others do not come in, and the transaction is random, so nobody who does not see the request can
//! answer it. An id is not kept: at one announce in half an hour the next needs a new one anyway.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use p2p_wire::announce::udp::{Body, Reply, Request};
use p2p_wire::announce::{self, Peers};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use url::Url;

use super::http::{Http, NEAR};

/// How long an answer is waited for before the request is sent again. BEP 15 doubles 15 s; more than this in all is not waited here: the
/// schedule tries again later.
const WAITS: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(8)];
/// Bytes of a reply: 200 peers over IPv6.
const MAX_REPLY: usize = 4_096;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum UdpError {
    /// The URL names no host and port.
    #[error("a udp URL needs a host and a port")]
    Url,
    /// No such host, or nothing listens there.
    #[error("{0}")]
    Network(#[from] io::Error),
    /// No answer in time.
    #[error("no answer over UDP")]
    TimedOut,
    /// The tracker said no.
    #[error("{0}")]
    Refused(String),
    /// An answer of another kind than was asked for.
    #[error("no announce answer over UDP")]
    Malformed,
}

/// Announces at `url`, from where `http` goes out and to whom it may call.
pub(super) async fn announce(
    url: &str,
    announce: &announce::Request,
    http: &Http,
) -> Result<Peers, UdpError> {
    let url = Url::parse(url).map_err(|_| UdpError::Url)?;
    let (socket, v6) = connect(&url, http).await?;
    let asked = exchange(&socket, v6, Body::Connect).await?;
    let Reply::Connect { connection } = asked else {
        return Err(refused(asked));
    };
    let announce = Body::Announce {
        connection,
        announce: Box::new(announce.clone()),
        url_data: url_data(&url),
    };
    match exchange(&socket, v6, announce).await? {
        Reply::Announce(peers) => Ok(peers),
        other => Err(refused(other)),
    }
}

fn refused(reply: Reply) -> UdpError {
    match reply {
        Reply::Error(reason) => UdpError::Refused(reason),
        _ => UdpError::Malformed,
    }
}

/// Path and query of the URL, which carry a passkey (BEP 41).
fn url_data(url: &Url) -> String {
    match (url.path(), url.query()) {
        ("" | "/", None) => String::new(),
        (path, None) => path.to_owned(),
        (path, Some(query)) => format!("{path}?{query}"),
    }
}

/// A socket that talks to the tracker alone, and whether it does so over IPv6.
async fn connect(url: &Url, http: &Http) -> Result<(UdpSocket, bool), UdpError> {
    let local = http.local();
    let host = url.host_str().ok_or(UdpError::Url)?;
    let port = url.port().ok_or(UdpError::Url)?;
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await?;
    let mut last = io::Error::other(NEAR);
    for addr in found.filter(|addr| http.may_call(addr.ip())) {
        let from = match addr.ip() {
            IpAddr::V4(_) => local.v4.unwrap_or(Ipv4Addr::UNSPECIFIED).into(),
            IpAddr::V6(_) => local.v6.unwrap_or(Ipv6Addr::UNSPECIFIED).into(),
        };
        match connected(from, addr).await {
            Ok(socket) => return Ok((socket, addr.is_ipv6())),
            Err(error) => last = error,
        }
    }
    Err(last.into())
}

async fn connected(from: IpAddr, to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((from, 0)).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// Sends a request until there is an answer to it.
async fn exchange(socket: &UdpSocket, v6: bool, body: Body) -> Result<Reply, UdpError> {
    let transaction = rand::random();
    let request = Request { transaction, body }.to_bytes();
    let mut bytes = vec![0; MAX_REPLY];
    for wait in WAITS {
        socket.send(&request).await?;
        let answer = async {
            loop {
                let len = socket.recv(&mut bytes).await?;
                match Reply::from_bytes(&bytes[..len], transaction, v6, &[]) {
                    Ok(Some(reply)) => return Ok(reply),
                    // An answer that came late, or noise.
                    Ok(None) => {}
                    Err(_) => return Err(UdpError::Malformed),
                }
            }
        };
        if let Ok(answer) = timeout(wait, answer).await {
            return answer;
        }
    }
    Err(UdpError::TimedOut)
}

#[cfg(test)]
mod tests {
    use p2p_wire::announce::{Event, Peer};
    use p2p_wire::{InfoHash, PeerId};

    use super::*;
    use crate::net::LocalAddrs;

    fn http() -> Http {
        Http::new(LocalAddrs::default())
    }

    fn request() -> announce::Request {
        announce::Request {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            port: 7_000,
            uploaded: 0,
            downloaded: 0,
            left: 5,
            event: Event::Started,
            numwant: Some(50),
            key: Some("0000beef".into()),
            compact: true,
            no_peer_id: true,
            ip: None,
            tracker_id: None,
        }
    }

    /// A tracker that answers each request with what `say` makes of it.
    async fn tracker(say: impl Fn(Body) -> Option<Reply> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut bytes = [0; 2_048];
            while let Ok((len, from)) = socket.recv_from(&mut bytes).await {
                let Request { transaction, body } = Request::from_bytes(&bytes[..len]).unwrap();
                if let Some(reply) = say(body) {
                    // Another's answer comes first.
                    let stray = Reply::Error("stray".into()).to_bytes(transaction ^ 1);
                    socket.send_to(&stray, from).await.unwrap();
                    let bytes = reply.to_bytes(transaction);
                    socket.send_to(&bytes, from).await.unwrap();
                }
            }
        });
        addr
    }

    #[tokio::test]
    async fn an_announce_brings_its_connection_id_and_the_path_of_its_url() {
        let peer = Peer {
            addr: "192.0.2.1:6881".parse().unwrap(),
            peer_id: None,
        };
        let addr = tracker(move |body| {
            Some(match body {
                Body::Connect => Reply::Connect { connection: 77 },
                Body::Announce {
                    connection: 77,
                    announce,
                    url_data,
                } if *announce == request() && url_data == "/announce/key/announce?a=b" => {
                    Reply::Announce(Peers {
                        interval: 600,
                        peers: vec![peer],
                        ..Peers::default()
                    })
                }
                other => Reply::Error(format!("{other:?}")),
            })
        });
        let url = format!("udp://{}/announce/key/announce?a=b", addr.await);
        let peers = announce(&url, &request(), &http()).await.unwrap();
        assert_eq!((peers.interval, peers.peers), (600, vec![peer]));
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_its_words() {
        let addr = tracker(|body| {
            Some(match body {
                Body::Connect => Reply::Connect { connection: 1 },
                _ => Reply::Error("not here".into()),
            })
        });
        let url = format!("udp://{}", addr.await);
        let error = announce(&url, &request(), &http()).await.unwrap_err();
        assert!(
            matches!(&error, UdpError::Refused(why) if why == "not here"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_tracker_that_is_not_there_is_an_error_and_no_wait_without_end() {
        let addr = {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.local_addr().unwrap()
        };
        let url = format!("udp://{addr}");
        let (request, http) = (request(), http());
        let asked = announce(&url, &request, &http);
        let error = timeout(Duration::from_secs(20), asked)
            .await
            .unwrap()
            .unwrap_err();
        assert!(
            matches!(error, UdpError::Network(_) | UdpError::TimedOut),
            "{error}"
        );
        let error = announce("udp://host", &request, &http).await;
        assert!(matches!(error, Err(UdpError::Url)));
    }

    #[tokio::test]
    async fn a_strangers_url_cannot_make_us_call_this_machine() {
        let addr = tracker(|_| panic!("nothing must arrive")).await;
        let far = Http::far(LocalAddrs::default());
        let url = format!("udp://{addr}");
        let error = announce(&url, &request(), &far).await.unwrap_err();
        assert!(error.to_string().contains("private network"), "{error}");
    }
}
