//! A small HTTP server for tests: answers each request with what a closure says.

use std::sync::{Arc, Mutex};

use p2p_wire::Fingerprint;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// `POST /v1/login`, without a query.
    pub(crate) fn route(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }
}

/// What it answers: status, content type, body.
pub(crate) type Reply = (u16, &'static str, Vec<u8>);

pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn json(status: u16, value: &impl serde::Serialize) -> Reply {
    let kind = if status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    };
    (status, kind, serde_json::to_vec(value).unwrap())
}

pub(crate) fn problem(kind: p2p_wire::api::ProblemType, title: &str) -> Reply {
    let problem = p2p_wire::api::Problem {
        r#type: kind.as_str().into(),
        status: kind.status(),
        title: title.into(),
        hint: None,
    };
    json(kind.status(), &problem)
}

/// Serves on a free port until dropped.
pub(crate) async fn serve(
    answer: impl Fn(&Seen) -> Reply + Send + Sync + Clone + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, answer.clone(), log.clone()));
        }
    });
    Server { url, seen, task }
}

/// The same over TLS, with a certificate that it signed itself.
pub(crate) async fn serve_tls(
    answer: impl Fn(&Seen) -> Reply + Send + Sync + Clone + 'static,
) -> (Server, Fingerprint) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let fingerprint = Fingerprint(Sha256::digest(cert.der()).into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer, log) = (acceptor.clone(), answer.clone(), log.clone());
            connections.spawn(async move {
                connection(acceptor.accept(stream).await.ok()?, answer, log).await
            });
        }
    });
    (Server { url, seen, task }, fingerprint)
}

/// A URL at which nobody listens, nor will: its port is taken until the process ends.
pub(crate) fn closed_url() -> String {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    std::mem::forget(socket);
    url
}

/// Waits until `check` gives a value; panics with `what` after 10 s.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// `answer` may block: it has a thread of its own, as a worker of the runtime that stands may be the one that waits for all the others' events.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(&Seen) -> Reply + Send + Clone + 'static,
    log: Arc<Mutex<Vec<Seen>>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let mut words = line.split_whitespace();
        let mut seen = Seen {
            method: words.next()?.to_owned(),
            target: words.next()?.to_owned(),
            authorization: None,
            body: Vec::new(),
        };
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.ok()?;
            let Some((name, value)) = header.trim().split_once(':') else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "authorization" => seen.authorization = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        seen.body = vec![0; length];
        stream.read_exact(&mut seen.body).await.ok()?;
        let (answer, asked) = (answer.clone(), seen.clone());
        let reply = tokio::task::spawn_blocking(move || answer(&asked)).await;
        let (status, kind, body) = reply.ok()?;
        log.lock().unwrap().push(seen);
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(&body).await.ok()?;
    }
}
