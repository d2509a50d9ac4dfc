//! One client: its greeting, its requests side by side, its answers in whatever order they come to be.
//!
//! Every direction is bounded: a line in length, requests in number, answers by a channel that a task writes from. When that is full
//! requests wait; a client that takes nothing for [`WRITE_TIMEOUT`] is dropped.
//!
//! When the connection ends, or a request is cancelled, the waiting ends and the work goes on: what a request changes is changed whole. Each
//! such request has a task of its own, which keeps the client's place until it is done.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use interprocess::local_socket::tokio::Stream;
use p2p_wire::control::{Call, Cancel, ErrorKind, Hello, MAX_LINE, PROTO, Subscribe, TorrentPart};
use serde_json::Value;
use tokio::io::BufReader;
use tokio::io::ReadHalf;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::answer::{self, INVALID_REQUEST, Outcome};
use super::caller::Caller;
use super::dispatch::{self, Request};
use super::lines::{Line, WRITE_TIMEOUT, line_of, parse, read_line, write_lines};
use super::places::Place;
use super::progress::Progress;
use super::torrent::Torrent;
use super::{Service, watch};
use crate::Fault;
use crate::hooks::Remote;

/// Until the first line is there.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests of one client that may be under way.
const MAX_REQUESTS: usize = 64;
/// Lines that wait to be written.
const QUEUE: usize = 32;

/// Serves a client until it goes, or breaks the protocol.
pub(super) async fn serve(
    stream: Stream,
    caller: Caller,
    service: Arc<Service>,
    place: Place,
    room: Arc<Semaphore>,
) {
    let (read, write) = tokio::io::split(stream);
    let (lines, queue) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write_lines(write, queue));
    let mut connection = Connection {
        reader: BufReader::new(read),
        line: Vec::new(),
        lines,
        caller: Arc::new(caller),
        service,
        place: Arc::new(place),
        running: JoinSet::new(),
        cancels: HashMap::new(),
        subscription: None,
        plugin: None,
        torrent: Torrent::default(),
        room,
    };
    tokio::pin!(writer);
    tokio::select! {
        // The client does not read, or is gone.
        _ = &mut writer => return,
        ended = connection.run() => {
            if let Err(error) = ended {
                tracing::debug!("control connection: {error}");
            }
        }
    }
    // What was answered last is still to be written; dropping the connection ends the queue.
    drop(connection);
    let _ = timeout(WRITE_TIMEOUT, writer).await;
}

struct Connection {
    reader: BufReader<ReadHalf<Stream>>,
    /// What is read of the next line.
    line: Vec<u8>,
    lines: mpsc::Sender<String>,
    caller: Arc<Caller>,
    service: Arc<Service>,
    /// Held by each request under way as well.
    place: Arc<Place>,
    running: JoinSet<u64>,
    /// By request under way: ends its waiting.
    cancels: HashMap<u64, oneshot::Sender<()>>,
    subscription: Option<AbortHandle>,
    plugin: Option<Remote>,
    /// Parts of a .torrent for the request that follows them.
    torrent: Torrent,
    /// For the parts of all connections.
    room: Arc<Semaphore>,
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        match timeout(HELLO_TIMEOUT, self.read_line()).await {
            Err(_) => {
                let why = format!("nothing came for {} s", HELLO_TIMEOUT.as_secs());
                self.refuse("the first line must be `hello`", why).await;
                return Ok(());
            }
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Line::End)) => return Ok(()),
            Ok(Ok(Line::TooLong)) => return self.too_long().await,
            Ok(Ok(Line::Whole)) => {}
        }
        if !self.greet().await {
            return Ok(());
        }
        loop {
            tokio::select! {
                Some(done) = self.running.join_next() => {
                    if let Ok(id) = done {
                        self.cancels.remove(&id);
                    }
                }
                line = read_line(&mut self.reader, &mut self.line) => match line? {
                    Line::Whole => self.take_line().await,
                    Line::TooLong => return self.too_long().await,
                    Line::End => return Ok(()),
                }
            }
        }
    }

    async fn read_line(&mut self) -> io::Result<Line> {
        read_line(&mut self.reader, &mut self.line).await
    }

    /// Answers the first line. False if the connection ends with that.
    async fn greet(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        let call = match parse(&line) {
            Ok(call) if call.method == "hello" => call,
            Ok(call) => {
                let why = format!("it was `{}`", call.method);
                self.refuse("the first line must be `hello`", why).await;
                return false;
            }
            Err(outcome) => {
                self.send(None, outcome).await;
                return false;
            }
        };
        let greeting = answer::params::<Hello>(call.params).and_then(|hello| {
            let [low, high] = hello.proto;
            if (low..=high).contains(&PROTO) {
                answer::value(Ok(self.service.welcome(self.caller.role())))
            } else {
                Err(answer::fault(Fault::new(
                    ErrorKind::Incompatible,
                    "p2pd and its client do not understand each other",
                    format!(
                        "p2pd speaks version {PROTO} of the control protocol, {} speaks {low} to {high}",
                        hello.client
                    ),
                    "Install both from one release, then:  p2pctl daemon restart",
                )))
            }
        });
        let greeted = greeting.is_ok();
        self.send(call.id, greeting).await;
        greeted
    }

    async fn take_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.trim_ascii().is_empty() {
            return;
        }
        let call = match parse(&line) {
            Ok(call) => call,
            Err(outcome) => {
                // What is no request may be a plugin's answer.
                match (&self.plugin, serde_json::from_slice(&line)) {
                    (Some(plugin), Ok(reply)) => plugin.hear(reply),
                    _ => self.send(None, outcome).await,
                }
                return;
            }
        };
        match (call.method.as_str(), call.id) {
            ("cancel", id) => {
                let outcome = answer::params::<Cancel>(call.params).map(|cancel| {
                    if let Some(cancel) = self.cancels.remove(&cancel.id) {
                        // It may just have ended.
                        let _ = cancel.send(());
                    }
                    answer::null()
                });
                if id.is_some() {
                    self.send(id, outcome).await;
                }
            }
            ("torrent.part", Some(id)) => {
                let outcome = answer::params(call.params)
                    .and_then(|part| answer::value(self.keep_part(&part)));
                self.send(Some(id), outcome).await;
            }
            ("events.subscribe", Some(id)) => self.subscribe(id, call.params).await,
            ("plugin.register", Some(id)) => self.register(id, call.params).await,
            (_, Some(id)) => self.start(id, call).await,
            (method, None) => tracing::debug!("notification {method} is not known"),
        }
    }

    /// Runs a request beside the others.
    async fn start(&mut self, id: u64, call: Call) {
        let refused = if self.cancels.contains_key(&id) {
            Some("a request with this id is under way")
        } else if Arc::strong_count(&self.place) > MAX_REQUESTS {
            // What was cancelled counts as long as it goes on.
            Some("too many requests are under way")
        } else {
            None
        };
        if let Some(why) = refused {
            let error = answer::protocol_error(INVALID_REQUEST, why, format!("id {id}"));
            return self.send(Some(id), Err(error)).await;
        }
        let (cancel, cancelled) = oneshot::channel();
        self.cancels.insert(id, cancel);
        let (lines, service) = (self.lines.clone(), Arc::clone(&self.service));
        let place = Arc::clone(&self.place);
        let request = Request {
            caller: Arc::clone(&self.caller),
            torrent: match call.params.get("torrent") {
                Some(Value::Bool(true)) => std::mem::take(&mut self.torrent),
                _ => Torrent::default(),
            },
            progress: Progress::new(id, &lines),
        };
        let method = call.method.clone();
        let work = async move {
            let outcome = dispatch::call(&service, &call.method, call.params, request).await;
            drop(place);
            outcome
        };
        // Begun here and now: the connection may end before the task that waits for it is run at all.
        let done = to_the_end(&method, work);
        self.running.spawn(async move {
            let outcome = tokio::select! {
                outcome = done => outcome,
                Ok(()) = cancelled => Err(answer::fault(Fault::new(
                    ErrorKind::StillRunning,
                    format!("stopped waiting for {method}"),
                    "The client asked for that",
                    "What was begun goes on in p2pd:  p2pctl status",
                ))),
            };
            let _ = lines.send(line_of(Some(id), outcome)).await;
            id
        });
    }

    /// Keeps a part of a .torrent; after a fault the client begins anew.
    fn keep_part(&mut self, part: &TorrentPart) -> Result<(), Fault> {
        let mut torrent = std::mem::take(&mut self.torrent);
        torrent.add(part, &self.room)?;
        self.torrent = torrent;
        Ok(())
    }

    /// The answer goes first, then the events; a second subscription takes the place of the first.
    async fn subscribe(&mut self, id: u64, params: Value) {
        let subscribe = match answer::params::<Subscribe>(params) {
            Ok(subscribe) => subscribe,
            Err(error) => return self.send(Some(id), Err(error)).await,
        };
        if let Err(fault) = watch::check(&subscribe.topics) {
            return self.send(Some(id), Err(answer::fault(fault))).await;
        }
        let daemon = match &*self.service {
            Service::Running(daemon) => daemon,
            Service::Unhealthy(unhealthy) => {
                let error = answer::fault(unhealthy.fault("events.subscribe"));
                return self.send(Some(id), Err(error)).await;
            }
        };
        if let Some(before) = self.subscription.take() {
            before.abort();
        }
        let events = watch::events(
            daemon.events.clone(),
            subscribe,
            self.caller.whose(),
            self.lines.clone(),
        );
        self.send(Some(id), Ok(answer::null())).await;
        let task = self.running.spawn(async move {
            events.await;
            id
        });
        self.subscription = Some(task);
    }

    /// Makes this connection a plugin; a second registration takes the place of the first.
    async fn register(&mut self, id: u64, params: Value) {
        self.plugin = None;
        let outcome = match (&*self.service, answer::params(params)) {
            (_, Err(error)) => Err(error),
            (Service::Unhealthy(unhealthy), _) => {
                Err(answer::fault(unhealthy.fault("plugin.register")))
            }
            (Service::Running(daemon), Ok(manifest)) => {
                // It hears of everybody's items.
                let may = self.caller.admin("register a plugin");
                let (is_owner, lines) = (self.caller.is_owner(), self.lines.clone());
                let plugin = may.and_then(|()| daemon.hooks.connect(manifest, is_owner, lines));
                plugin.map_err(answer::fault).map(|plugin| {
                    self.plugin = Some(plugin);
                    answer::null()
                })
            }
        };
        self.send(Some(id), outcome).await;
    }

    async fn refuse(&self, message: &str, why: String) {
        let error = answer::protocol_error(INVALID_REQUEST, message, why);
        self.send(None, Err(error)).await;
    }

    async fn too_long(&self) -> io::Result<()> {
        let why = format!("a line has at most {MAX_LINE} bytes");
        self.refuse("the line is too long", why).await;
        Ok(())
    }

    async fn send(&self, id: Option<u64>, outcome: Outcome) {
        // Fails only when the writer ended, and then the connection ends too.
        let _ = self.lines.send(line_of(id, outcome)).await;
    }
}

/// Begins a request, and waits for it. Whoever stops waiting ends only what does nothing but wait.
fn to_the_end(
    method: &str,
    work: impl Future<Output = Outcome> + Send + 'static,
) -> impl Future<Output = Outcome> + Send + 'static {
    let failed = format!("p2pd failed at {method}");
    let begun = match dispatch::only_waits(method) {
        true => Err(work),
        false => Ok(tokio::spawn(work)),
    };
    async move {
        match begun {
            Err(work) => work.await,
            Ok(task) => task.await.unwrap_or_else(|error| {
                Err(answer::fault(Fault::new(
                    ErrorKind::Failed,
                    failed,
                    error.to_string(),
                    "Report it with the daemon's log:  p2pctl log",
                )))
            }),
        }
    }
}
