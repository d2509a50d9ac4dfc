//! A daemon for tests: a socket that speaks the control protocol and answers as the test says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use p2p_wire::control::{Answer, Call, ErrorData, ErrorKind, RpcError};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A listening fake.
pub(crate) struct Fake {
    /// Its folder; the socket is in it.
    pub(crate) dir: TempDir,
    /// Where it listens.
    pub(crate) socket: PathBuf,
    heard: Arc<Mutex<Vec<Call>>>,
}

/// The side of the fake in one connection.
pub(crate) struct Peer {
    stream: UnixStream,
}

impl Fake {
    /// Answers each request but `hello` as `script` says.
    pub(crate) fn scripted(script: impl Fn(&Call, &mut Peer) + Send + Sync + 'static) -> Self {
        Self::raw(move |call, peer| match call.method.as_str() {
            "hello" => peer.answer(call, welcome()),
            _ => script(call, peer),
        })
    }

    /// Answers these methods with these results, and everything else with `null`.
    pub(crate) fn answering(answers: &[(&str, Value)]) -> Self {
        let answers: Vec<(String, Value)> = answers
            .iter()
            .map(|(method, value)| ((*method).to_owned(), value.clone()))
            .collect();
        Self::scripted(move |call, peer| {
            let known = answers.iter().find(|(method, _)| *method == call.method);
            peer.answer(call, known.map_or(Value::Null, |(_, value)| value.clone()));
        })
    }

    /// Leaves `hello` to the script, too.
    pub(crate) fn raw(script: impl Fn(&Call, &mut Peer) + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (script, record) = (Arc::new(script), Arc::clone(&heard));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, record) = (Arc::clone(&script), Arc::clone(&record));
                std::thread::spawn(move || {
                    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let mut peer = Peer { stream };
                    for line in lines.map_while(Result::ok) {
                        let call: Call = serde_json::from_str(&line).unwrap();
                        record.lock().unwrap().push(call.clone());
                        script(&call, &mut peer);
                    }
                });
            }
        });
        Self { dir, socket, heard }
    }

    /// The parameters of each call of `method` so far.
    pub(crate) fn heard(&self, method: &str) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        let calls = heard.iter().filter(|call| call.method == method);
        calls.map(|call| call.params.clone()).collect()
    }

    /// Waits until `method` was called so many times.
    pub(crate) fn wait_for(&self, method: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.heard(method).len() < times {
            let seen: Vec<String> = {
                let heard = self.heard.lock().unwrap();
                heard.iter().map(|call| call.method.clone()).collect()
            };
            assert!(Instant::now() < deadline, "no {method}; heard {seen:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Peer {
    /// Ends a request well.
    pub(crate) fn answer(&mut self, call: &Call, result: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": call.id, "result": result}));
    }

    /// Ends a request with an error of this kind.
    pub(crate) fn refuse(
        &mut self,
        call: &Call,
        kind: ErrorKind,
        what: &str,
        why: &str,
        fix: &str,
    ) {
        let error = RpcError {
            code: kind as i32,
            message: what.to_owned(),
            data: Some(ErrorData {
                kind,
                why: why.to_owned(),
                fix: fix.to_owned(),
            }),
        };
        let answer = Answer {
            jsonrpc: "2.0".to_owned(),
            id: call.id,
            result: None,
            error: Some(error),
        };
        self.send(&serde_json::to_value(answer).unwrap());
    }

    /// Says how a request goes on.
    pub(crate) fn progress(&mut self, call: &Call, progress: Value) {
        self.notify("progress", json!({"id": call.id, "progress": progress}));
    }

    /// Sends a notification.
    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // The client may have gone, which some tests want.
        let _gone = self.stream.write_all(bytes);
    }

    /// Ends the connection.
    pub(crate) fn close(&mut self) {
        let _gone = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn send(&mut self, value: &Value) {
        self.write(format!("{value}\n").as_bytes());
    }
}

/// A usual answer to `hello`.
pub(crate) fn welcome() -> Value {
    json!({"proto": 1, "server": "p2pd 9.9.9", "instance": "i", "mode": "user", "role": "admin", "caps": []})
}

/// An item; `change` overrides fields.
pub(crate) fn item(hash: &str, name: &str, change: Value) -> Value {
    let mut item = json!({
        "info_hash": format!("{hash:0<40}"), "name": name, "state": "seeding", "done": 1_000, "size": 1_000,
        "pieces_done": 1, "pieces": 1, "piece_len": 16_384, "down_rate": 0, "up_rate": 0, "downloaded": 0,
        "uploaded": 0, "wasted": 0, "peers": 0, "seeds": 0, "copies": 1.0, "missing": null, "eta_s": null,
        "path": format!("/srv/{name}"), "share": null, "reason": null, "added": "2999-01-01T00:00:00Z",
        "completed": null, "private": true, "owner_uid": 1_000
    });
    for (key, value) in change.as_object().unwrap() {
        item[key] = value.clone();
    }
    item
}

/// A share; `change` overrides fields.
pub(crate) fn share(name: &str, path: &str, change: Value) -> Value {
    let mut share = json!({
        "name": name, "path": path, "each": "entry", "state": "watching", "reason": null, "items": 17,
        "size": 2_576_980_378_u64, "published": 17, "refused": 0, "pending": 0, "left_out": {}, "tracker": "home", "visibility": "members",
        "owner_uid": 1_000
    });
    for (key, value) in change.as_object().unwrap() {
        share[key] = value.clone();
    }
    share
}

/// A tracker; `change` overrides fields.
pub(crate) fn tracker(change: Value) -> Value {
    let mut tracker = json!({
        "name": "home", "url": "http://nas:6969", "username": "ann", "node": "nas1", "fingerprint": null, "state": "ok", "reason": null, "queued": 0
    });
    for (key, value) in change.as_object().unwrap() {
        tracker[key] = value.clone();
    }
    tracker
}
