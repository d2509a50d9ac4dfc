//! `top` on a terminal.

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::fake::{Fake, item};
use crate::run::{piped, played, played_until};

fn status() -> Value {
    json!({
        "server": "p2pd 9.9.9", "pid": 7, "mode": "user", "uptime_s": 61, "port": 5, "items": 1, "seeding": 1, "fetching": 0,
        "paused": 0, "errors": 0, "peers": 0, "down_rate": 0, "up_rate": 0, "downloaded": 0, "uploaded": 0, "shares": [],
        "trackers": [], "download_dir": "/d", "limits": {}, "warnings": []
    })
}

fn fake() -> Fake {
    let big = item("3f2a", "big.iso", json!({}));
    Fake::answering(&[
        ("status", status()),
        ("item.list", json!({"items": [big.clone()], "next": null})),
        (
            "item.show",
            json!({"item": big, "peers": [], "pieces": null}),
        ),
        ("item.pause", json!({"items": []})),
        ("log.tail", json!([])),
    ])
}

#[test]
fn the_terminal_is_left_as_it_was_found() {
    for keys in ["q", "\u{3}"] {
        let (drawn, code, same) = played(&fake(), &["top"], "big.iso", keys.as_bytes());
        assert_eq!(code, 0, "{drawn}");
        assert!(same, "the terminal is not as it was");
        assert!(
            drawn.contains("\u{1b}[?1049h"),
            "no screen of its own: {drawn:?}"
        );
        assert!(drawn.contains("\u{1b}[?1049l"), "{drawn:?}");
        assert!(
            drawn.contains("q quit"),
            "the keys are not shown: {drawn:?}"
        );
    }
}

#[test]
fn the_terminal_is_given_back_when_it_is_told_to_end() {
    let (drawn, code, same) = played_until(&fake(), &["top"], "big.iso", |_, pid| {
        kill(pid, Signal::SIGTERM).unwrap();
    });
    assert_eq!(code, 128 + Signal::SIGTERM as i32, "{drawn}");
    assert!(same, "the terminal is not as it was");
    assert!(drawn.contains("\u{1b}[?1049l"), "{drawn:?}");
}

#[test]
fn keys_act_on_the_selected_item() {
    let fake = fake();
    let (_, code, _) = played(&fake, &["top"], "big.iso", b"pq");
    assert_eq!(code, 0);
    let asked: Vec<Value> = fake.heard("item.pause");
    assert_eq!(asked.len(), 1);
    assert!(asked[0]["items"][0].as_str().unwrap().starts_with("3f2a"));
}

#[test]
fn a_daemon_that_goes_away_ends_it_cleanly() {
    let fake = Fake::scripted({
        let answers = std::sync::atomic::AtomicU32::new(0);
        move |call, peer| match call.method.as_str() {
            "status" if answers.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 => {
                peer.close();
            }
            "status" => peer.answer(call, status()),
            "item.list" => peer.answer(call, json!({"items": [], "next": null})),
            _ => peer.answer(call, json!([])),
        }
    });
    let (drawn, code, same) = played(&fake, &["top", "--every", "10ms"], "no such text", b"");
    assert_eq!(code, 3, "{drawn}");
    assert!(same && drawn.contains("\u{1b}[?1049l"), "{drawn:?}");
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let ran = piped(&fake(), &["top"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("p2pctl --json status"), "{}", ran.err);
}
