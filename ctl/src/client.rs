//! The connection to p2pd: requests out, answers and notifications in.
//!
//! One thread reads lines from the socket into a bounded channel; when that is full the thread stops reading and the daemon
//! sees a slow reader, for which it has its own rules. Everything else happens in the caller's thread, which waits on the
//! channel alone: for a line, for the end of the connection, for Ctrl-C, or until a deadline.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use interprocess::ConnectWaitMode;
use interprocess::local_socket::{ConnectOptions, GenericFilePath, Stream, ToFsName as _};
use p2p_wire::control::{
    Call, Cancel, ErrorKind, Event, Gap, Hello, MAX_LINE, PROTO, RpcError, TORRENT_PART,
    TorrentData, TorrentPart, TorrentRef, Welcome,
};
use p2p_wire::metainfo::MAX_METAINFO_LEN;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, INTERRUPTED};
use crate::interrupt::Interrupts;
use crate::lines::{Head, broken, read_answer, read_message};
use crate::socket::Socket;

/// How p2pctl names itself to the daemon.
pub(crate) const CLIENT: &str = concat!("p2pctl ", env!("CARGO_PKG_VERSION"));

/// A greeted connection to p2pd.
pub(crate) struct Client {
    socket: Socket,
    stream: Arc<Stream>,
    incoming: Receiver<Incoming>,
    sender: SyncSender<Incoming>,
    last_id: u64,
    welcome: Welcome,
    verbose: bool,
}

/// What the waiting thread can be woken by.
pub(crate) enum Incoming {
    /// A line, without its end.
    Line(Vec<u8>),
    /// The connection ended.
    End,
    /// Ctrl-C.
    Interrupt,
}

/// A line, or why there is none.
enum Received {
    Line(Vec<u8>),
    Interrupted,
    TimedOut,
}

/// What [`Client::next`] returns.
pub(crate) enum Message {
    /// A request ended.
    Done {
        /// Of the request.
        id: u64,
        /// Its result, or the JSON-RPC error.
        answer: Result<Value, RpcError>,
    },
    /// A request goes on.
    Progress {
        /// Of the request.
        id: u64,
        /// What the method's row in the protocol's table says.
        value: Value,
    },
    /// Something happened.
    Event(Event),
    /// Events were lost.
    Gap(Gap),
    /// Ctrl-C.
    Interrupted,
    /// The deadline passed.
    TimedOut,
}

impl Client {
    /// Connects and greets within `timeout`. `verbose` says on standard error what is asked and how long it takes.
    pub(crate) fn connect(socket: Socket, timeout: Duration, verbose: bool) -> Result<Self, Error> {
        let stream = open(&socket, timeout).map_err(|error| socket.unreachable(&error))?;
        let stream = Arc::new(stream);
        let (sender, incoming) = sync_channel(64);
        let reader = Arc::clone(&stream);
        let lines = sender.clone();
        std::thread::spawn(move || read_lines(&reader, &lines));

        let mut client = Self {
            socket,
            stream,
            incoming,
            sender,
            last_id: 0,
            welcome: Welcome {
                proto: 0,
                server: String::new(),
                instance: String::new(),
                mode: String::new(),
                role: String::new(),
                caps: Vec::new(),
                unhealthy: None,
            },
            verbose,
        };
        client.greet(Instant::now() + timeout)?;
        Ok(client)
    }

    /// What the daemon said of itself.
    pub(crate) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// From now on Ctrl-C arrives as [`Message::Interrupted`].
    pub(crate) fn take_interrupts(&self, interrupts: Interrupts) {
        interrupts.deliver(self.sender.clone());
    }

    /// Asks and waits for the answer; what else arrives meanwhile is dropped.
    pub(crate) fn call<R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: impl Serialize,
    ) -> Result<R, Error> {
        self.call_until(method, params, None)
    }

    /// Sends a .torrent, for the next request that says `torrent: true`.
    pub(crate) fn send_torrent(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for part in bytes.chunks(TORRENT_PART) {
            let data = BASE64.encode(part);
            self.call::<()>("torrent.part", TorrentPart { data })?;
        }
        Ok(())
    }

    /// Asks for the .torrent of `item`, part by part.
    pub(crate) fn torrent_of(
        &mut self,
        item: &str,
        tracker: Option<String>,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        loop {
            let request = TorrentRef {
                item: item.to_owned(),
                offset: bytes.len() as u64,
                tracker: tracker.clone(),
            };
            let part: TorrentData = self.call("item.torrent", request)?;
            let data = BASE64.decode(part.data.as_bytes());
            let data = data.map_err(|error| broken("item.torrent", &error))?;
            bytes.extend_from_slice(&data);
            if bytes.len() as u64 >= part.size {
                return Ok(bytes);
            }
            if data.is_empty() || bytes.len() > MAX_METAINFO_LEN {
                return Err(broken("item.torrent", &"the parts do not make the whole"));
            }
        }
    }

    /// Asks and waits for the answer so long at most; a daemon that is silent is as good as gone.
    pub(crate) fn call_within<R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: impl Serialize,
        patience: Duration,
    ) -> Result<R, Error> {
        self.call_until(method, params, Some(Instant::now() + patience))
    }

    /// Asks, and leaves the answer to [`Client::next`]. Returns the id of the request.
    pub(crate) fn start(&mut self, method: &str, params: impl Serialize) -> Result<u64, Error> {
        self.last_id += 1;
        let params = serde_json::to_value(params).map_err(|error| broken(method, &error))?;
        let call = Call {
            jsonrpc: "2.0".to_owned(),
            id: Some(self.last_id),
            method: method.to_owned(),
            params,
        };
        self.send(&call)?;
        Ok(self.last_id)
    }

    /// Tells the daemon that nobody waits for `id` any more. The work itself goes on.
    pub(crate) fn cancel(&mut self, id: u64) -> Result<(), Error> {
        self.start("cancel", Cancel { id }).map(|_| ())
    }

    /// Waits for what comes next, at most until `deadline`.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Result<Message, Error> {
        loop {
            match self.receive(deadline)? {
                Received::Line(line) => {
                    if let Some(message) = read_message(&line)? {
                        return Ok(message);
                    }
                }
                Received::Interrupted => return Ok(Message::Interrupted),
                Received::TimedOut => return Ok(Message::TimedOut),
            }
        }
    }

    fn receive(&mut self, deadline: Option<Instant>) -> Result<Received, Error> {
        let incoming = match deadline {
            None => self.incoming.recv().map_err(|_| self.socket.lost())?,
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                match self.incoming.recv_timeout(left) {
                    Ok(incoming) => incoming,
                    Err(RecvTimeoutError::Timeout) => return Ok(Received::TimedOut),
                    Err(RecvTimeoutError::Disconnected) => return Err(self.socket.lost()),
                }
            }
        };
        match incoming {
            Incoming::Line(line) => Ok(Received::Line(line)),
            Incoming::End => Err(self.socket.lost()),
            Incoming::Interrupt => Ok(Received::Interrupted),
        }
    }

    fn greet(&mut self, deadline: Instant) -> Result<(), Error> {
        let hello = Hello {
            proto: [PROTO, PROTO],
            client: CLIENT.to_owned(),
        };
        let welcome: Welcome = self.call_until("hello", hello, Some(deadline))?;
        if welcome.proto != PROTO {
            return Err(Error::new(
                ErrorKind::Incompatible,
                "p2pctl and p2pd do not understand each other",
                format!(
                    "{} speaks version {} of the control protocol, {CLIENT} speaks {PROTO}.",
                    welcome.server, welcome.proto
                ),
                "Install both from one release, then:  p2pctl daemon restart",
            ));
        }
        self.welcome = welcome;
        Ok(())
    }

    fn call_until<R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: impl Serialize,
        deadline: Option<Instant>,
    ) -> Result<R, Error> {
        let asked = Instant::now();
        let id = self.start(method, params)?;
        loop {
            let line = match self.receive(deadline)? {
                Received::Line(line) => line,
                Received::TimedOut => return Err(self.socket.silent()),
                Received::Interrupted => return Err(Error::Quiet(INTERRUPTED)),
            };
            let head = Head::of(&line)?;
            if head.method.is_some() || head.id != Some(id) {
                // It ends the waiting only if the daemon could not read what we sent.
                read_message(&line)?;
                continue;
            }
            if self.verbose {
                eprintln!("p2pctl: {method} took {:.1?}", asked.elapsed());
            }
            return read_answer(method, &line);
        }
    }

    fn send(&mut self, call: &Call) -> Result<(), Error> {
        let mut line = serde_json::to_vec(call).map_err(|error| broken(&call.method, &error))?;
        line.push(b'\n');
        if line.len() > MAX_LINE {
            return Err(Error::new(
                ErrorKind::Usage,
                "this is too much for one request to p2pd",
                format!(
                    "It takes {} bytes; a request may have {MAX_LINE}.",
                    line.len()
                ),
                "Give fewer at a time",
            ));
        }
        (&*self.stream)
            .write_all(&line)
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => self.socket.lost(),
                _ => self.socket.unreachable(&error),
            })
    }
}

fn open(socket: &Socket, timeout: Duration) -> io::Result<Stream> {
    let name = socket.path.as_path().to_fs_name::<GenericFilePath>()?;
    let stream = ConnectOptions::new()
        .name(name)
        .wait_mode(ConnectWaitMode::Timeout(timeout))
        .connect_sync()?;
    // A daemon that reads nothing for so long is stuck. Pipes of Windows have no such limit: there Ctrl-C is what ends it.
    #[cfg(unix)]
    interprocess::local_socket::traits::Stream::set_send_timeout(
        &stream,
        Some(Duration::from_secs(30)),
    )?;
    Ok(stream)
}

fn read_lines(stream: &Stream, to: &SyncSender<Incoming>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let limit = MAX_LINE as u64 + 1;
        let read = (&mut reader).take(limit).read_until(b'\n', &mut line);
        let whole = read.is_ok() && line.pop() == Some(b'\n');
        let incoming = if whole {
            Incoming::Line(line)
        } else {
            Incoming::End
        };
        if to.send(incoming).is_err() || !whole {
            return;
        }
    }
}
