use super::testing::{self, Reply, Seen, Server, eventually, json, problem};
use super::*;
use p2p_wire::api::ProblemType;
use p2p_wire::api::Publish;
use p2p_wire::control::ErrorKind;
use p2p_wire::control::{Credentials, Search};
use std::sync::atomic::{AtomicBool, Ordering};

fn entry(hash: InfoHash, name: &str) -> serde_json::Value {
    serde_json::json!({
        "info_hash": hash, "owner": "ann", "share": "Public", "entry": name, "version": 2, "newest": true,
        "size": 1, "pieces": 1, "piece_len": 16384, "files": 1, "tags": [], "visibility": "members",
        "published": "2026-01-01T00:00:00Z", "seeds": 1, "leeches": 0, "copies": 1.0,
    })
}

fn session(mode: &str) -> serde_json::Value {
    serde_json::json!({
        "token": "tok", "account": {"username": "ann", "admin": false, "created": "2026-01-01T00:00:00Z"},
        "node_id": "00112233445566778899aabbccddeeff", "node_name": "nas1",
        "announce_url": "http://127.0.0.1:1/announce/key/announce",
        "tracker": {"name": "home", "mode": mode, "server": "p2p-tracker 0"},
    })
}

/// A tracker with one account, ann, whose password is `good password`.
fn tracker(seen: &Seen) -> Reply {
    match seen.route().as_str() {
        "GET /healthz" => (200, "text/plain", b"ok".to_vec()),
        "POST /v1/login" => {
            let login: api::Login = serde_json::from_slice(&seen.body).unwrap();
            if login.password == "good password" {
                json(200, &session("listed"))
            } else {
                problem(ProblemType::BadCredentials, "wrong user name or password")
            }
        }
        _ if seen.authorization.as_deref() != Some("Bearer tok") => {
            problem(ProblemType::LoginRequired, "log in first")
        }
        "POST /v1/files" => {
            let request: Publish = serde_json::from_slice(&seen.body).unwrap();
            let name = request.name.unwrap();
            if name == "bad" {
                return problem(ProblemType::BadMetainfo, "not a torrent");
            }
            let file = entry(InfoHash([1; 20]), &name);
            json(201, &serde_json::json!({"file": file, "created": true}))
        }
        "POST /v1/logout" => (204, "text/plain", Vec::new()),
        route if route.starts_with("DELETE /v1/files/") => (204, "text/plain", Vec::new()),
        route => problem(ProblemType::NotFound, &format!("no {route}")),
    }
}

fn publish(name: &str) -> Publish {
    Publish {
        metainfo: "ZGU=".into(),
        share: Some("Public".into()),
        name: Some(name.into()),
        tags: Vec::new(),
        visibility: api::Visibility::Members,
        join: false,
    }
}

fn credentials(password: &str) -> Credentials {
    Credentials {
        tracker: None,
        username: "ann".into(),
        password: password.into(),
        invite: None,
    }
}

struct Rig {
    trackers: Trackers,
    events: Events,
    _lock: crate::state::StateLock,
}

async fn open(dir: &std::path::Path) -> Rig {
    let (state, lock) = State::open(dir).unwrap();
    let events = Events::default();
    let trackers = Trackers::open(state, events.clone(), vec![], LocalAddrs::default())
        .await
        .unwrap();
    Rig {
        trackers,
        events,
        _lock: lock,
    }
}

impl Rig {
    fn work(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(sending::work(self.trackers.inner.clone()))
    }

    fn topics(&self) -> Vec<(String, Option<String>)> {
        let (events, _) = self.events.subscribe(0);
        events.into_iter().map(|e| (e.topic, e.name)).collect()
    }
}

fn routes(server: &Server) -> Vec<String> {
    server.seen().iter().map(Seen::route).collect()
}

#[tokio::test]
async fn what_was_queued_before_a_login_and_a_restart_is_sent_after_them() {
    let server = testing::serve(tracker).await;
    let dir = tempfile::tempdir().unwrap();
    {
        let rig = open(dir.path()).await;
        rig.trackers
            .publish_later(None, InfoHash([1; 20]), publish("a"))
            .await
            .unwrap();
        rig.trackers
            .add("home".into(), server.url.clone(), None)
            .await
            .unwrap();
        rig.trackers
            .publish_later(None, InfoHash([2; 20]), publish("b"))
            .await
            .unwrap();
    }
    let rig = eventually("the lock is free", async || match State::open(dir.path()) {
        Ok(opened) => {
            drop(opened);
            Some(open(dir.path()).await)
        }
        Err(_) => None,
    })
    .await;
    assert_eq!(rig.trackers.list().await[0].queued, 2);
    let (sender, mut outcomes) = mpsc::channel(8);
    rig.trackers.listen(sender);
    let _work = rig.work();
    rig.trackers
        .login(credentials("good password"))
        .await
        .unwrap();
    let mut names = Vec::new();
    for _ in 0..2 {
        let outcome = outcomes.recv().await.unwrap();
        assert_eq!(outcome.kind, OutcomeKind::Published);
        names.extend(outcome.entry);
    }
    names.sort();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(rig.trackers.list().await[0].queued, 0);
    assert!(
        rig.topics()
            .contains(&("published".into(), Some("a".into())))
    );
}

#[tokio::test]
async fn a_refusal_is_an_event_and_does_not_hold_up_the_rest() {
    let server = testing::serve(tracker).await;
    let dir = tempfile::tempdir().unwrap();
    let rig = open(dir.path()).await;
    rig.trackers
        .add("home".into(), server.url.clone(), None)
        .await
        .unwrap();
    rig.trackers
        .login(credentials("good password"))
        .await
        .unwrap();
    let _work = rig.work();
    for (n, name) in [(1, "bad"), (2, "good")] {
        rig.trackers
            .publish_later(Some("home"), InfoHash([n; 20]), publish(name))
            .await
            .unwrap();
    }
    eventually("both settled", async || {
        let topics = rig.topics();
        let has = |topic: &str, name: &str| topics.contains(&(topic.into(), Some(name.into())));
        (has("published", "good") && has("tracker.error", "bad")).then_some(())
    })
    .await;
    assert_eq!(rig.trackers.list().await[0].queued, 0);
}

#[tokio::test]
async fn a_withdrawal_makes_a_waiting_publish_pointless_and_keeps_order_with_a_later_one() {
    let server = testing::serve(tracker).await;
    let dir = tempfile::tempdir().unwrap();
    let rig = open(dir.path()).await;
    rig.trackers
        .add("home".into(), server.url.clone(), None)
        .await
        .unwrap();
    let item = InfoHash([1; 20]);
    for name in ["old", "new"] {
        rig.trackers.withdraw_later(None, item).await.unwrap();
        rig.trackers
            .publish_later(None, item, publish(name))
            .await
            .unwrap();
    }
    rig.trackers
        .login(credentials("good password"))
        .await
        .unwrap();
    let _work = rig.work();
    eventually("published", async || {
        rig.topics()
            .contains(&("published".into(), Some("new".into())))
            .then_some(())
    })
    .await;
    let sent: Vec<String> = routes(&server)
        .into_iter()
        .filter(|route| route.contains("/v1/files"))
        .collect();
    assert_eq!(
        sent,
        [format!("DELETE /v1/files/{item}"), "POST /v1/files".into()]
    );
    let withdrawal = server
        .seen()
        .into_iter()
        .find(|seen| seen.method == "DELETE");
    let target = withdrawal.unwrap().target;
    assert!(
        target.ends_with("?part=mine"),
        "never more than this machine's part: {target}"
    );
}

#[tokio::test]
async fn a_tracker_that_hangs_holds_up_no_other() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let asked = Arc::new(AtomicBool::new(false));
    let ask = asked.clone();
    let slow = testing::serve(move |seen: &Seen| {
        if seen.route() == "POST /v1/files" {
            ask.store(true, Ordering::Relaxed);
            // Until the sender is dropped.
            let _ = wait.lock().unwrap().recv();
        }
        tracker(seen)
    })
    .await;
    let quick = testing::serve(tracker).await;
    let dir = tempfile::tempdir().unwrap();
    let rig = open(dir.path()).await;
    for (name, server) in [("slow", &slow), ("quick", &quick)] {
        let added = rig.trackers.add(name.into(), server.url.clone(), None);
        added.await.unwrap();
        let login = Credentials {
            tracker: Some(name.into()),
            ..credentials("good password")
        };
        rig.trackers.login(login).await.unwrap();
    }
    let _work = rig.work();
    let later = |to: &'static str, name: &str| {
        rig.trackers
            .publish_later(Some(to), InfoHash([1; 20]), publish(name))
    };
    later("slow", "a").await.unwrap();
    eventually("the slow one asked", async || {
        asked.load(Ordering::Relaxed).then_some(())
    })
    .await;
    // Twice, so that the second comes while a round of the slow one goes on in any case.
    for name in ["b", "c"] {
        later("quick", name).await.unwrap();
        eventually("published", async || {
            let topic = ("published".to_owned(), Some(name.to_owned()));
            rig.topics().contains(&topic).then_some(())
        })
        .await;
    }
    drop(release);
}

#[tokio::test]
async fn the_queue_drains_once_the_tracker_answers_again() {
    let well = Arc::new(AtomicBool::new(false));
    let switch = well.clone();
    let server = testing::serve(move |seen| {
        if switch.load(Ordering::Relaxed) || !seen.target.starts_with("/v1/files") {
            tracker(seen)
        } else {
            problem(ProblemType::Unavailable, "the disk is full")
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let rig = open(dir.path()).await;
    rig.trackers
        .add("home".into(), server.url.clone(), None)
        .await
        .unwrap();
    rig.trackers
        .login(credentials("good password"))
        .await
        .unwrap();
    let _work = rig.work();
    rig.trackers
        .publish_later(None, InfoHash([1; 20]), publish("a"))
        .await
        .unwrap();
    eventually("a first try", async || {
        routes(&server)
            .contains(&"POST /v1/files".into())
            .then_some(())
    })
    .await;
    assert_eq!(rig.trackers.list().await[0].queued, 1);
    well.store(true, Ordering::Relaxed);
    rig.trackers
        .login(credentials("good password"))
        .await
        .unwrap();
    eventually("it drains", async || {
        (rig.trackers.list().await[0].queued == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn errors_say_what_why_and_what_to_do() {
    let server = testing::serve(tracker).await;
    let dir = tempfile::tempdir().unwrap();
    let rig = open(dir.path()).await;
    let fault = rig.trackers.whoami(None).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Tracker);
    assert!(fault.fix.contains("p2pctl tracker add"), "{fault:?}");

    rig.trackers
        .add("home".into(), server.url.clone(), None)
        .await
        .unwrap();
    let fault = rig.trackers.search(Search::default()).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.fix.contains("p2pctl login home")),
        (ErrorKind::Tracker, true)
    );

    let fault = rig
        .trackers
        .login(credentials("wrong one"))
        .await
        .unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Tracker);
    assert_eq!(fault.what, "cannot log in as ann at tracker home");
    assert_eq!(fault.why, "Wrong user name or password.");

    rig.trackers
        .login(credentials("good password"))
        .await
        .unwrap();
    let fault = rig
        .trackers
        .find(None, "ann/Public/none")
        .await
        .unwrap_err();
    assert_eq!(fault.kind, ErrorKind::NotFound);
    let fault = rig.trackers.find(None, "zzz").await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::NotFound);
    let fault = rig.trackers.test(Some("lab".into())).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn an_unreachable_tracker_is_added_and_shown_as_such() {
    let url = testing::closed_url();
    let dir = tempfile::tempdir().unwrap();
    let rig = open(dir.path()).await;
    let added = rig.trackers.add("home".into(), url, None).await.unwrap();
    assert_eq!(added.state, "unreachable");
    let fault = rig.trackers.test(None).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Tracker);
    assert!(fault.why.contains("cannot be reached"), "{fault:?}");
}

#[tokio::test]
async fn a_session_that_ended_asks_for_a_login_once() {
    let ended = Arc::new(AtomicBool::new(false));
    let switch = ended.clone();
    let server = testing::serve(move |seen| {
        if switch.load(Ordering::Relaxed) && seen.target.starts_with("/v1/files") {
            problem(ProblemType::LoginRequired, "the session ended")
        } else {
            tracker(seen)
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let rig = open(dir.path()).await;
    rig.trackers
        .add("home".into(), server.url.clone(), None)
        .await
        .unwrap();
    rig.trackers
        .login(credentials("good password"))
        .await
        .unwrap();
    ended.store(true, Ordering::Relaxed);
    let _work = rig.work();
    rig.trackers
        .publish_later(None, InfoHash([1; 20]), publish("a"))
        .await
        .unwrap();
    eventually("login needed", async || {
        (rig.trackers.list().await[0].state == "login needed").then_some(())
    })
    .await;
    ended.store(false, Ordering::Relaxed);
    rig.trackers
        .login(credentials("good password"))
        .await
        .unwrap();
    eventually("published", async || {
        rig.topics()
            .iter()
            .any(|(topic, _)| topic == "published")
            .then_some(())
    })
    .await;
    let errors = rig
        .topics()
        .iter()
        .filter(|(topic, _)| topic == "tracker.error")
        .count();
    assert_eq!(errors, 1);
}

#[tokio::test]
async fn logging_out_ends_the_session_here_and_there() {
    let server = testing::serve(tracker).await;
    let dir = tempfile::tempdir().unwrap();
    let rig = open(dir.path()).await;
    rig.trackers
        .add("home".into(), server.url.clone(), None)
        .await
        .unwrap();
    let logged_in = rig
        .trackers
        .login(credentials("good password"))
        .await
        .unwrap();
    assert_eq!(
        (logged_in.state.as_str(), logged_in.username.as_deref()),
        ("ok", Some("ann"))
    );
    assert!(rig.trackers.announce_url(None).await.is_some());
    let out = rig.trackers.logout(None).await.unwrap();
    assert_eq!((out.state.as_str(), out.username), ("login needed", None));
    assert_eq!(rig.trackers.announce_url(None).await, None);
    assert!(routes(&server).contains(&"POST /v1/logout".into()));
}
