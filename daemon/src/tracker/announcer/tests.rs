use super::*;
use crate::net::LocalAddrs;
use crate::tracker::testing::{self, Server, eventually};
use p2p_wire::announce::{Peers, Reply};
use std::sync::atomic::AtomicU64;

struct Rig {
    commands: mpsc::Sender<AnnounceCommand>,
    announcer: Announcer,
    peers: mpsc::Receiver<(InfoHash, Vec<SocketAddr>)>,
}

fn rig() -> Rig {
    rig_that_trusts(|_| true)
}

fn rig_that_trusts(trusts: fn(&str) -> bool) -> Rig {
    let (commands, receiver) = mpsc::channel(64);
    let (sender, peers) = mpsc::channel(64);
    let (asks, queue) = mpsc::channel(16);
    let http = Arc::new(Http::new(LocalAddrs::default()));
    let mut task = Task::new(sender, http, Box::new(trusts));
    task.identity = Some(Identity {
        peer_id: PeerId(*b"-P20100-abcdefghijkl"),
        port: 7_000,
        engine: None,
    });
    tokio::spawn(task.run(receiver, queue));
    Rig {
        commands,
        announcer: Announcer { asks },
        peers,
    }
}

fn hash(n: u16) -> InfoHash {
    let mut hash = [0; 20];
    hash[..2].copy_from_slice(&n.to_be_bytes());
    InfoHash(hash)
}

async fn start(rig: &Rig, n: u16, left: u64, url: &str) {
    let counters = Counters {
        left: AtomicU64::new(left),
        ..Counters::default()
    };
    let command = AnnounceCommand::Start {
        info_hash: hash(n),
        tiers: vec![vec![url.to_owned()]],
        counters: Arc::new(counters),
    };
    rig.commands.send(command).await.unwrap();
}

fn announces(server: &Server) -> Vec<Request> {
    let query = |seen: &testing::Seen| {
        let (_, query) = seen.target.split_once('?').unwrap();
        Request::from_query(query).unwrap()
    };
    server.seen().iter().map(query).collect()
}

fn peers_reply(addrs: &[&str], leeches: u32) -> testing::Reply {
    let peers = addrs.iter().map(|addr| p2p_wire::announce::Peer {
        addr: addr.parse().unwrap(),
        peer_id: None,
    });
    let reply = Reply::Peers(Peers {
        interval: 1_800,
        complete: Some(3),
        incomplete: Some(leeches),
        peers: peers.collect(),
        ..Peers::default()
    });
    (200, "text/plain", reply.to_bytes(true, true))
}

#[tokio::test]
async fn announces_hands_peers_on_and_says_stopped_at_the_end() {
    let server =
        testing::serve(|_| peers_reply(&["10.0.0.1:5", "127.0.0.1:7000", "10.0.0.2:0"], 1)).await;
    let mut rig = rig();
    let url = format!("{}/announce/secretsecretsecret/announce", server.url);
    start(&rig, 1, 100, &url).await;
    let (item, addrs) = rig.peers.recv().await.unwrap();
    assert_eq!(
        (item, addrs),
        (hash(1), vec!["10.0.0.1:5".parse().unwrap()])
    );
    let rows = eventually("an answered row", async || {
        let rows = rig.announcer.rows(hash(1)).await;
        (rows.first()?.state == "ok").then_some(rows)
    })
    .await;
    assert!(rows[0].url.ends_with("/announce/***/announce"));
    assert_eq!((rows[0].seeds, rows[0].leeches), (Some(3), Some(1)));

    rig.commands
        .send(AnnounceCommand::Completed(hash(1)))
        .await
        .unwrap();
    eventually("completed", async || {
        (announces(&server).len() == 2).then_some(())
    })
    .await;
    rig.announcer.stop().await;
    let events: Vec<Event> = announces(&server).iter().map(|r| r.event).collect();
    assert_eq!(events, [Event::Started, Event::Completed, Event::Stopped]);
    assert_eq!(announces(&server)[0].numwant, Some(NUMWANT_LEECH));
    assert_eq!(announces(&server)[2].numwant, Some(0));
}

#[tokio::test]
async fn a_seed_dials_nobody_in_a_swarm_of_seeds() {
    let answers = Arc::new(AtomicU64::new(0));
    let server = testing::serve(move |_| {
        let leeches = answers.fetch_add(1, Ordering::Relaxed);
        peers_reply(&["10.0.0.1:5"], leeches as u32)
    })
    .await;
    let mut rig = rig();
    let url = format!("{}/announce", server.url);
    start(&rig, 1, 0, &url).await;
    eventually("the first announce", async || {
        (announces(&server).len() == 1).then_some(())
    })
    .await;
    start(&rig, 2, 0, &url).await;
    assert_eq!(rig.peers.recv().await.unwrap().0, hash(2));
}

#[tokio::test]
async fn many_items_are_all_announced_each_once() {
    let server = testing::serve(|_| peers_reply(&[], 1)).await;
    let rig = rig();
    for n in 0..200 {
        start(
            &rig,
            n,
            u64::from(n % 2),
            &format!("{}/announce", server.url),
        )
        .await;
    }
    eventually("200 announces", async || {
        (server.seen().len() >= 200).then_some(())
    })
    .await;
    let mut hashes: Vec<InfoHash> = announces(&server).iter().map(|r| r.info_hash).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!((hashes.len(), server.seen().len()), (200, 200));
}

#[tokio::test]
async fn an_unreachable_host_is_an_error_row_and_others_go_on() {
    let server = testing::serve(|_| peers_reply(&[], 1)).await;
    let closed = testing::closed_url();
    let rig = rig();
    for n in 0..50 {
        start(&rig, n, 1, &format!("{closed}/announce")).await;
    }
    start(&rig, 99, 1, &format!("{}/announce", server.url)).await;
    eventually("the good one", async || {
        (server.seen().len() == 1).then_some(())
    })
    .await;
    eventually("an error row", async || {
        let rows = rig.announcer.rows(hash(0)).await;
        (rows[0].state == "error").then_some(())
    })
    .await;
    // Nobody knows of the failed ones, so ending is quick and says nothing about them.
    rig.announcer.stop().await;
    assert_eq!(announces(&server).last().unwrap().event, Event::Stopped);
}

#[tokio::test]
async fn a_refusal_is_shown_with_the_trackers_words() {
    let server = testing::serve(|_| {
        let reply = Reply::Failure {
            reason: "unknown info-hash\x1b[2J".into(),
            retry_in: Some(10),
        };
        (200, "text/plain", reply.to_bytes(true, true))
    })
    .await;
    let rig = rig();
    start(&rig, 1, 1, &format!("{}/announce", server.url)).await;
    let row = eventually("an error row", async || {
        let rows = rig.announcer.rows(hash(1)).await;
        rows.into_iter().find(|row| row.state == "error")
    })
    .await;
    assert_eq!(row.message.as_deref(), Some("unknown info-hash[2J"));
    assert!(row.next_s.is_some_and(|next| next > 590));
}

#[tokio::test]
async fn a_name_that_means_this_machine_is_announced_to_only_where_the_user_added_a_tracker() {
    let server = testing::serve(|_| peers_reply(&["10.0.0.1:5"], 1)).await;
    let named = server.url.replace("127.0.0.1", "localhost");
    let rig = rig_that_trusts(|url| url.contains("/mine/"));
    start(&rig, 1, 100, &format!("{named}/theirs/announce")).await;
    let row = eventually("the refusal", async || {
        let rows = rig.announcer.rows(hash(1)).await;
        rows.into_iter().find(|row| row.state == "error")
    })
    .await;
    let why = row.message.unwrap_or_default();
    assert!(why.contains("this machine or a private network"), "{why}");
    assert!(server.seen().is_empty());

    let mut rig = rig_that_trusts(|url| url.contains("/mine/"));
    start(&rig, 2, 100, &format!("{named}/mine/announce")).await;
    assert_eq!(rig.peers.recv().await.unwrap().0, hash(2));
}
