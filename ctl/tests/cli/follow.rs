//! `fetch` and `share`: adding, waiting, and what ends the waiting.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

use p2p_wire::control::{Call, ErrorKind};
use serde_json::{Value, json};

use crate::fake::{Fake, Peer, item, share};
use crate::run::{finish, interrupted, p2pctl, piped, terminal};

/// Adds what is asked for as a new item, named by its target.
fn add(call: &Call, peer: &mut Peer) {
    let target = call.params["target"].as_str().unwrap_or("3f2a");
    let hash: String = target.chars().filter(char::is_ascii_hexdigit).collect();
    let item = item(&hash, target, json!({"state": "fetching", "done": 0}));
    peer.answer(call, json!({"item": item, "added": true}));
}

fn added_and_waited(ended: impl Fn(&Call, &mut Peer) + Send + Sync + 'static) -> Fake {
    Fake::scripted(move |call, peer| match call.method.as_str() {
        "fetch.add" => add(call, peer),
        "item.wait" => ended(call, peer),
        _ => peer.answer(call, Value::Null),
    })
}

#[test]
fn fetch_waits_and_says_that_it_is_done() {
    let fake = added_and_waited(|call, peer| {
        peer.progress(
            call,
            item(
                "3f2a",
                "big.iso",
                json!({"state": "fetching", "done": 500, "peers": 3}),
            ),
        );
        peer.answer(call, item("3f2a", "big.iso", json!({})));
    });
    let ran = terminal(&fake, &["fetch", "3f2a"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(
        ran.out,
        "Done: /srv/big.iso, 1000 B in 0s, every piece verified\n"
    );
    let asked = &fake.heard("item.wait")[0]["item"];
    assert_eq!(
        asked, "3f2a000000000000000000000000000000000000",
        "the whole hash"
    );

    let ran = piped(&fake, &["fetch", "3f2a"]);
    assert_eq!(
        ran.out,
        "3f2a000000000000000000000000000000000000\tbig.iso\tseeding\t1000\t1000\t/srv/big.iso\n"
    );
    let ran = piped(&fake, &["fetch", "3f2a", "--json"]);
    let items: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(items[0]["state"], "seeding");
}

#[test]
fn fetch_says_what_it_waits_for_where_there_is_no_progress_line() {
    let fake = added_and_waited(|call, peer| {
        for _ in 0..2 {
            let waiting = json!({"state": "fetching", "done": 500, "reason": "no peers"});
            peer.progress(call, item("3f2a", "big.iso", waiting));
        }
        peer.answer(call, item("3f2a", "big.iso", json!({})));
    });
    assert_eq!(
        piped(&fake, &["fetch", "3f2a"]).err,
        "big.iso (3f2a0000): no peers\n"
    );
    assert_eq!(piped(&fake, &["fetch", "3f2a", "-q"]).err, "");
}

#[test]
fn fetch_hands_on_its_options_with_absolute_paths() {
    let fake = added_and_waited(|call, peer| peer.answer(call, item("3f2a", "x", json!({}))));
    let args = [
        "fetch",
        "ann/Public/big.iso@2",
        "-o",
        "sub",
        "--only",
        "*.iso",
        "--sequential",
    ];
    let mut command = p2pctl(fake.dir.path());
    command
        .env("P2PD_SOCKET", &fake.socket)
        .current_dir(fake.dir.path());
    command
        .args(args)
        .args(["--from", "nas1", "--tracker", "home", "--detach"]);
    let ran = finish(command);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let expected = json!({
        "target": "ann/Public/big.iso@2", "torrent": false, "dir": fake.dir.path().join("sub"), "data": null,
        "only": ["*.iso"], "sequential": true, "peers": [], "from": "nas1", "tracker": "home"
    });
    assert_eq!(fake.heard("fetch.add"), [expected]);
    assert!(fake.heard("item.wait").is_empty(), "--detach does not wait");

    let mut command = p2pctl(fake.dir.path());
    command
        .env("P2PD_SOCKET", &fake.socket)
        .args(["fetch", "3f2a", "--detach", "--data"]);
    command.arg(std::ffi::OsStr::from_bytes(b"/d/\xff"));
    assert_eq!(finish(command).code, 0);
    assert_eq!(
        fake.heard("fetch.add")[1]["data"],
        json!({"bytes": "L2Qv/w=="})
    );
}

#[test]
fn fetch_reads_targets_from_standard_input_and_follows_them_together() {
    let fake = added_and_waited(|call, peer| {
        let hash = call.params["item"].as_str().unwrap();
        peer.answer(call, item(hash, "x", json!({})));
    });
    let mut command = p2pctl(fake.dir.path());
    command
        .env("P2PD_SOCKET", &fake.socket)
        .args(["fetch", "aaaa", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"bbbb\n\n  cccc\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let hashes: Vec<&str> = text.lines().map(|line| &line[..5]).collect();
    assert_eq!(hashes, ["aaaa0", "bbbb0", "cccc0"]);
}

#[test]
fn one_target_that_fails_does_not_stop_the_others() {
    let fake = Fake::scripted(|call, peer| match call.method.as_str() {
        "fetch.add" if call.params["target"] == "dddd" => {
            peer.refuse(
                call,
                ErrorKind::NotFound,
                "nothing is known of dddd",
                "No tracker has it.",
                "",
            );
        }
        "fetch.add" => add(call, peer),
        _ => peer.answer(call, item("aaaa", "x", json!({}))),
    });
    let ran = piped(&fake, &["fetch", "dddd", "aaaa"]);
    assert_eq!(ran.code, 4);
    assert_eq!(
        ran.err,
        "p2pctl: nothing is known of dddd\n  No tracker has it.\n"
    );
    assert!(ran.out.starts_with("aaaa"), "{}", ran.out);
}

#[test]
fn an_item_that_stops_for_good_is_an_error() {
    let stopping = |change: Value| {
        added_and_waited(move |call, peer| peer.answer(call, item("3f2a", "big", change.clone())))
    };
    let ran = piped(
        &stopping(json!({"state": "error", "done": 5, "reason": "the disk failed"})),
        &["fetch", "3f2a"],
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("big (3f2a0000) stopped\n  The disk failed.\n"),
        "{}",
        ran.err
    );
    let full = json!({"state": "error", "done": 5, "reason": "disk full", "error_kind": "disk"});
    let ran = piped(&stopping(full), &["fetch", "3f2a"]);
    assert_eq!(ran.code, 11);
    assert!(
        ran.err.contains("\n  Disk full.\n") && ran.err.contains("goes on by itself"),
        "{}",
        ran.err
    );
    let ran = piped(
        &stopping(json!({"state": "paused", "done": 500})),
        &["fetch", "3f2a"],
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("is paused\n  50% are here.\n"),
        "{}",
        ran.err
    );
    let full = added_and_waited(|call, peer| {
        peer.refuse(call, ErrorKind::Disk, "the disk is full", "", "")
    });
    assert_eq!(piped(&full, &["fetch", "3f2a"]).code, 11);
}

#[test]
fn a_timeout_ends_the_waiting_and_not_the_work() {
    let fake = added_and_waited(|_, _| {});
    let ran = piped(&fake, &["fetch", "3f2a", "--timeout", "100ms"]);
    assert_eq!(ran.code, 7);
    assert!(
        ran.err
            .starts_with("p2pctl: not complete after 0s: 3f2a (3f2a0000)\n"),
        "{}",
        ran.err
    );
    fake.wait_for("cancel", 1);
}

#[test]
fn ctrl_c_says_that_the_work_goes_on() {
    let fake = added_and_waited(|_, _| {});
    let ran = interrupted(&fake, &["fetch", "3f2a"], "item.wait");
    assert_eq!(ran.code, 8, "{}", ran.err);
    assert!(
        ran.err.starts_with("3f2a (3f2a0000) goes on in p2pd."),
        "{}",
        ran.err
    );
    fake.wait_for("cancel", 1);
    assert_eq!(fake.heard("cancel").len(), 1);

    let fake = Fake::scripted(|call, peer| {
        if call.method == "share.add" {
            peer.answer(call, share("tmp", "/tmp", json!({"state": "hashing"})));
        }
    });
    let ran = interrupted(&fake, &["share", "/tmp"], "share.wait");
    assert_eq!(ran.code, 8, "{}", ran.err);
    assert!(ran.err.contains("Hashing goes on in p2pd."), "{}", ran.err);
}

#[test]
fn ctrl_c_before_the_answer_says_that_what_was_begun_goes_on() {
    for (args, method) in [
        (["fetch", "3f2a"], "fetch.add"),
        (["share", "/tmp"], "share.add"),
    ] {
        let ran = interrupted(&Fake::scripted(|_, _| {}), &args, method);
        assert_eq!(ran.code, 8, "{}", ran.err);
        assert!(ran.err.contains("goes on in p2pd"), "{}", ran.err);
    }
}

#[test]
fn one_share_that_is_refused_does_not_hide_the_others() {
    let fake = Fake::scripted(|call, peer| match call.params["path"].as_str() {
        Some("/") => peer.refuse(
            call,
            ErrorKind::Conflict,
            "cannot share /",
            "it is all",
            "no",
        ),
        _ => peer.answer(call, share("tmp", "/tmp", json!({"published": 3}))),
    });
    let ran = piped(&fake, &["share", "/", "/tmp"]);
    assert_eq!(ran.code, 6, "{}", ran.err);
    assert!(ran.err.contains("cannot share /"), "{}", ran.err);
    assert!(ran.out.contains("/tmp"), "{}", ran.out);
}

#[test]
fn ctrl_c_ends_a_command_at_once_where_nothing_goes_on() {
    let fake = Fake::scripted(|_, _| {});
    // By the signal itself, for which shells say 130.
    assert_eq!(interrupted(&fake, &["watch"], "events.subscribe").code, -1);
}

#[test]
fn share_waits_until_all_is_hashed_and_sums_up() {
    let fake = Fake::scripted(|call, peer| match call.method.as_str() {
        "share.add" => peer.answer(
            call,
            share(
                "Public",
                "/home/ann/Public",
                json!({"state": "scanning", "items": 0}),
            ),
        ),
        _ => {
            let hashing = share(
                "Public",
                "/home/ann/Public",
                json!({"state": "hashing", "items": 3}),
            );
            peer.progress(
                call,
                json!({"share": hashing, "current": "big.iso", "hashed": 5, "size": 10, "rate": 5}),
            );
            peer.answer(
                call,
                share(
                    "Public",
                    "/home/ann/Public",
                    json!({"left_out": {"hidden": 2, "empty": 1}}),
                ),
            );
        }
    });
    let ran = terminal(
        &fake,
        &[
            "share",
            "/tmp",
            "--exclude",
            "*.o",
            "--piece-size",
            "1MiB",
            "-y",
        ],
    );
    assert_eq!(
        ran.out,
        "Sharing /home/ann/Public: 17 items, 2.4 GiB, published to home, watching for changes\n"
    );
    assert_eq!(ran.err, "Left out of /home/ann/Public: 1 empty, 2 hidden\n");
    let asked = &fake.heard("share.add")[0];
    assert_eq!(
        (
            &asked["path"],
            &asked["piece_len"],
            &asked["publish"],
            &asked["force"],
            &asked["exclude"]
        ),
        (
            &json!("/tmp"),
            &json!(1 << 20),
            &json!(true),
            &json!(true),
            &json!(["*.o"])
        )
    );
    assert_eq!(
        fake.heard("share.wait"),
        [json!({"share": "/home/ann/Public"})]
    );
}

#[test]
fn a_share_without_a_tracker_or_with_a_fault_says_so() {
    let fake = |change: Value| {
        Fake::scripted(move |call, peer| peer.answer(call, share("P", "/p", change.clone())))
    };
    let ran = terminal(
        &fake(json!({"tracker": null, "published": 0, "state": "once"})),
        &["share", "/tmp"],
    );
    assert!(ran.out.contains("not published: no tracker"), "{}", ran.out);
    assert!(
        ran.out.ends_with("not watched for changes\n"),
        "{}",
        ran.out
    );
    let ran = terminal(&fake(json!({"published": 3})), &["share", "/tmp"]);
    assert!(ran.out.contains("3 of 17 published to home"), "{}", ran.out);
    let ran = piped(
        &fake(json!({"state": "error", "reason": "no room for watches"})),
        &["share", "/tmp"],
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("/p is not shared\n  No room for watches.\n"),
        "{}",
        ran.err
    );
    let refused = json!({"state": "error", "refused": 1, "reason": "the tracker refuses to publish 1 of 17: taken"});
    let ran = piped(&fake(refused), &["share", "/tmp"]);
    assert_eq!(ran.code, 13);
    let told = "/p is shared, but not all of it is published\n  The tracker refuses to publish 1 of 17: taken.\n";
    assert!(ran.err.contains(told), "{}", ran.err);
}

#[test]
fn a_share_is_named_by_name_or_by_path() {
    let fake = Fake::scripted(|call, peer| match call.params["share"].as_str() {
        Some("Public" | "/srv/x") => {
            let one = share("Public", "/srv/x", json!({}));
            let many = call.method == "share.rescan";
            peer.answer(call, if many { json!([one]) } else { one });
        }
        _ => peer.refuse(call, ErrorKind::NotFound, "no such share", "", ""),
    });
    let ran = terminal(&fake, &["unshare", "Public"]);
    assert_eq!(ran.out, "No longer sharing /srv/x; its files stay\n");
    assert_eq!(piped(&fake, &["rescan", "/srv/x", "Public"]).code, 0);
    assert_eq!(piped(&fake, &["unshare", "Other"]).code, 4);
    // A folder here, which is no share's name: then its path is meant.
    let mut command = p2pctl(fake.dir.path());
    std::fs::create_dir(fake.dir.path().join("here")).unwrap();
    command
        .env("P2PD_SOCKET", &fake.socket)
        .current_dir(fake.dir.path())
        .args(["unshare", "here"]);
    assert_eq!(finish(command).code, 4);
    let last = fake.heard("share.remove").pop().unwrap();
    assert_eq!(last["share"], json!(fake.dir.path().join("here")));
}

#[test]
fn a_progress_line_is_drawn_on_a_terminal() {
    let fake = added_and_waited(|call, peer| {
        let change = json!({
            "state": "fetching", "done": 1_185_411_072_u64, "size": 2_576_980_378_u64, "down_rate": 117_440_512, "peers": 3, "eta_s": 12
        });
        peer.progress(call, item("3f2a", "big\u{1b}[2J.iso", change));
    });
    let expected = "big\\x1b[2J.iso  2.4 GiB  [###########.............]  46%  112 MiB/s  from 3 peers  ETA 12s";
    let (drawn, code) = crate::run::drawn_until(&fake, &["fetch", "3f2a"], "ETA");
    assert!(drawn.contains(expected), "{drawn:?}");
    assert!(!drawn.contains("100%"), "{drawn:?}");
    assert_eq!(code, 8);
    let (drawn, _) = crate::run::drawn_until(&fake, &["fetch", "3f2a", "--no-progress"], "goes on");
    assert!(!drawn.contains("46%"), "{drawn:?}");
}
