//! The three forms of output.

use serde_json::{Value, json};

use crate::fake::{Fake, item, share, tracker};
use crate::run::{piped, terminal};

fn two_items() -> Fake {
    let seeding = json!({
        "done": 2_576_980_378_u64, "size": 2_576_980_378_u64, "up_rate": 1_258_291, "peers": 4, "copies": 9.0
    });
    let fetching = json!({
        "state": "fetching", "done": 64_211_637_862_u64, "size": 139_586_437_120_u64, "down_rate": 117_440_512,
        "up_rate": 32_505_856, "peers": 12, "copies": 0.997
    });
    let items = json!({"items": [item("3f2a", "big.iso", seeding), item("91c0", "model.bin", fetching)], "next": null});
    Fake::answering(&[("item.list", items)])
}

#[test]
fn ls_on_a_terminal_is_the_table_of_the_manual() {
    let ran = terminal(&two_items(), &["ls"]);
    assert_eq!(
        ran.out,
        "\
HASH  NAME       STATE     DONE     SIZE       DOWN         UP  PEERS  COPIES
3f2a  big.iso    seeding   100%  2.4 GiB          -  1.2 MiB/s      4     9.0
91c0  model.bin  fetching   46%  130 GiB  112 MiB/s   31 MiB/s     12    0.99
"
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn ls_in_a_pipe_has_exact_values_between_tabs() {
    let ran = piped(&two_items(), &["ls"]);
    assert_eq!(
        ran.out,
        "3f2a000000000000000000000000000000000000\tbig.iso\tseeding\t2576980378\t2576980378\t0\t1258291\t4\t9.0\n\
         91c0000000000000000000000000000000000000\tmodel.bin\tfetching\t64211637862\t139586437120\t117440512\t32505856\t12\t0.997\n"
    );
}

#[test]
fn ls_as_json_is_what_the_daemon_said() {
    let fake = two_items();
    let ran = piped(&fake, &["ls", "--json"]);
    let items: Value = serde_json::from_str(&ran.out).unwrap();
    let change = json!({
        "state": "fetching", "done": 64_211_637_862_u64, "size": 139_586_437_120_u64, "down_rate": 117_440_512,
        "up_rate": 32_505_856, "peers": 12, "copies": 0.997
    });
    assert_eq!(
        items[1],
        item("91c0", "model.bin", change),
        "every field, and of its type"
    );
    let ran = piped(&fake, &["--json", "ls", "--fields", "name,size"]);
    assert_eq!(
        serde_json::from_str::<Value>(&ran.out).unwrap(),
        json!([{"name": "big.iso", "size": 2_576_980_378_u64}, {"name": "model.bin", "size": 139_586_437_120_u64}])
    );
}

#[test]
fn fields_pick_and_order_what_is_printed() {
    let fake = two_items();
    let ran = piped(&fake, &["ls", "--fields", "size,name"]);
    assert_eq!(ran.out, "2576980378\tbig.iso\n139586437120\tmodel.bin\n");
    let ran = terminal(&fake, &["ls", "--fields", "path,done"]);
    assert_eq!(
        ran.out,
        "PATH            DONE\n/srv/big.iso    100%\n/srv/model.bin   46%\n"
    );
    let ran = piped(&fake, &["ls", "--fields", "nmae"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err
            .starts_with("p2pctl: no field \"nmae\" here\n  The fields are: added, "),
        "{}",
        ran.err
    );
}

#[test]
fn ls_asks_for_every_page_and_tells_hashes_apart() {
    let fake = Fake::scripted(|call, peer| {
        let page = match call.params.get("after").and_then(Value::as_u64) {
            None => json!({"items": [item("3f2a1", "a", json!({}))], "next": 7}),
            Some(_) => json!({"items": [item("3f2a2", "b", json!({}))], "next": null}),
        };
        peer.answer(call, page);
    });
    let ran = terminal(&fake, &["ls"]);
    let hashes: Vec<&str> = ran
        .out
        .lines()
        .skip(1)
        .filter_map(|l| l.split(' ').next())
        .collect();
    assert_eq!(hashes, ["3f2a1", "3f2a2"]);
    assert_eq!(fake.heard("item.list").len(), 2);
}

#[test]
fn names_of_strangers_cannot_steer_the_terminal() {
    let name = "x\u{1b}]0;owned\u{7}\n\u{9b}2J\u{202e}";
    let items = json!({"items": [item("3f2a", name, json!({"path": {"bytes": "L2H/GyI="}}))], "next": null});
    let fake = Fake::answering(&[("item.list", items)]);
    for args in [
        &["ls"][..],
        &["ls", "--json"],
        &["ls", "--fields", "name,path"],
    ] {
        for ran in [piped(&fake, args), terminal(&fake, args)] {
            let hostile = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
            assert!(!ran.out.contains(hostile), "{args:?}: {:?}", ran.out);
            assert_eq!(ran.code, 0);
        }
    }
    let ran = piped(&fake, &["ls", "--fields", "name,path"]);
    assert_eq!(
        ran.out,
        "x\\x1b]0;owned\\x07\\n\\u{9b}2J\\u{202e}\t/a\\xff\\x1b\"\n"
    );
}

#[test]
fn show_sums_up_an_item() {
    let change = json!({
        "state": "fetching", "done": 500, "reason": "no peers", "missing": 3, "eta_s": 200, "peers": 2, "seeds": 1,
        "copies": 0.5, "share": "Public", "downloaded": 700, "wasted": 200
    });
    let detail = json!({"item": item("3f2a", "big.iso", change)});
    let fake = Fake::answering(&[("item.show", detail)]);
    let ran = terminal(&fake, &["show", "3f2a"]);
    assert_eq!(
        ran.out,
        "\
Name     big.iso
Hash     3f2a000000000000000000000000000000000000
State    fetching: no peers
Done     50%, 500 B of 1000 B
Pieces   1 of 1, 16 KiB each
Rates    down -, up -
Peers    2 connected, 1 of them complete; 0.50 copies known
Moved    700 B received, 0 B sent, 200 B thrown away
Path     /srv/big.iso
Added    0 s ago
Missing  3 pieces nobody is known to hold
Left     3m 20s
Share    Public
Private  peers come from its tracker alone
"
    );
    assert_eq!(
        fake.heard("item.show"),
        [json!({"item": "3f2a", "parts": []})]
    );
    let ran = piped(&fake, &["show", "3f2a", "--fields", "done,reason"]);
    assert_eq!(ran.out, "done\t500\nreason\tno peers\n");
}

#[test]
fn show_pieces_says_who_holds_what() {
    let pieces = json!({
        "pieces": 8_320, "piece_len": 16_777_216, "here": [[0, 3_826]], "holders": [[812, 12], [29, 0], [7_479, 3]],
        "unknown": 3, "source": "tracker", "missing": [
            {"first": 812, "last": 840, "last_held_by": "nas2", "last_held": "2999-01-01T00:00:00Z"},
            {"first": 900, "last": 900, "last_held_by": "nas2", "last_held": "2999-01-01T00:00:00Z"}]
    });
    let detail = json!({"item": item("91c0", "model.bin", json!({})), "pieces": pieces});
    let fake = Fake::answering(&[("item.show", detail)]);
    let ran = terminal(&fake, &["show", "91c0", "--pieces"]);
    assert_eq!(
        ran.out,
        "8,320 pieces of 16 MiB; here 3,827. Known holders: least 0, most 12; 3 peers do not report\n\
         0 known holders: 812-840, 900; last held by nas2 (0 s ago)\n"
    );
    let ran = piped(&fake, &["show", "91c0", "--pieces", "--json"]);
    let detail: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(detail["pieces"]["holders"][1], json!([29, 0]));
}

#[test]
fn show_prints_several_parts_below_headings() {
    let detail = json!({
        "item": item("3f2a", "big", json!({"pieces": 4})),
        "files": [{"path": "a/b", "size": 2048, "done": 1024, "wanted": true}],
        "peers": [{"addr": "10.0.0.2:6881", "client": "p2pd 1", "direction": "out", "pieces": 2, "down_rate": 2048, "up_rate": 0,
            "downloaded": 4096, "uploaded": 0, "choking_us": false, "choked": true, "interesting": true,
            "interested": true, "requests": 1, "window": 8}]
    });
    let fake = Fake::answering(&[("item.show", detail)]);
    let ran = terminal(&fake, &["show", "big", "--files", "--peers"]);
    assert_eq!(
        ran.out,
        "\
files
PATH   SIZE  DONE  WANTED
a/b   2 KiB   50%  yes

peers
ADDRESS        CLIENT  DIR  HAS     DOWN  UP  RECEIVED  SENT  FLAGS
10.0.0.2:6881  p2pd 1  out  50%  2 KiB/s   -     4 KiB     -  serves us, choked
"
    );
}

#[test]
fn show_knows_what_is_in_the_catalogue_alone() {
    let entry = json!({
        "info_hash": "3f2a000000000000000000000000000000000000", "owner": "ann", "share": "Public", "entry": "big.iso",
        "version": 2, "newest": true, "size": 1024, "pieces": 1, "piece_len": 16384, "files": 1, "tags": ["os"],
        "visibility": "members", "published": "2999-01-01T00:00:00Z", "seeds": 3, "leeches": 1, "copies": 3.5
    });
    let fake = Fake::answering(&[
        ("item.show", json!({"item": null, "catalogue": entry})),
        ("catalogue.search", json!({"items": [entry]})),
    ]);
    let ran = terminal(&fake, &["show", "ann/Public/big.iso"]);
    assert!(
        ran.out.starts_with("Name       ann/Public/big.iso@2\n"),
        "{}",
        ran.out
    );
    assert_eq!(
        ran.err,
        "It is not here. Fetch it:  p2pctl fetch ann/Public/big.iso@2\n"
    );
    let ran = terminal(&fake, &["search", "big", "iso", "--owner", "ann"]);
    assert_eq!(
        ran.out,
        "HASH      OWNER  SHARE   ENTRY    VERSION   SIZE  SEEDS  LEECHES  COPIES  PUBLISHED\n\
         3f2a0000  ann    Public  big.iso        2  1 KiB      3        1     3.5  0 s ago\n"
    );
    let asked = &fake.heard("catalogue.search")[0];
    assert_eq!(
        (&asked["text"], &asked["owner"]),
        (&json!("big iso"), &json!("ann"))
    );
}

/// What `status` tells of a daemon with one share.
pub(crate) fn status() -> Value {
    json!({
        "server": "p2pd 9.9.9", "pid": 42, "mode": "user", "uptime_s": 7_500, "port": 6881, "items": 17, "seeding": 15,
        "fetching": 1, "paused": 1, "held": 0, "errors": 0, "peers": 12, "down_rate": 117_440_512, "up_rate": 0,
        "downloaded": 2_576_980_378_u64, "uploaded": 1024, "download_dir": "/srv/p2p", "limits": {"down": null, "up": 5_242_880},
        "shares": [share("Public", "/home/ann/Public", json!({}))], "trackers": [tracker(json!({"queued": 2}))],
        "warnings": ["the clock is wrong"]
    })
}

#[test]
fn status_is_the_daemon_at_a_glance() {
    let fake = Fake::answering(&[("status", status())]);
    let ran = terminal(&fake, &["status"]);
    assert_eq!(
        ran.out,
        "\
Daemon      p2pd 9.9.9, user mode, pid 42, up 2h 5m
Items       17 items: 15 seeding, 1 fetching, 1 paused
Peers       12 connected, port 6881
Rates       down 112 MiB/s, up -
Moved       2.4 GiB received, 1 KiB sent since the start
Limits      down no limit, up 5 MiB/s
Fetched to  /srv/p2p
Share       Public  /home/ann/Public  17 items, 2.4 GiB, watching, 17 published to home
Tracker     home  http://nas:6969  ann on nas1, ok, 2 waiting to be sent
"
    );
    assert_eq!(ran.err, "Warning: the clock is wrong\n");
    let ran = piped(&fake, &["status"]);
    assert!(ran.out.starts_with("down_rate\t117440512\n"), "{}", ran.out);
    let ran = piped(&fake, &["status", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), status());
}

#[test]
fn streams_are_lines_of_their_own_in_every_form() {
    let fake = || {
        Fake::scripted(|call, peer| {
            peer.answer(call, Value::Null);
            peer.notify(
                "event",
                json!({"seq": 7, "time": "2026-01-02T03:04:05Z", "topic": "item.finished", "name": "big.iso", "text": "big.iso is complete"}),
            );
            peer.notify("gap", json!({"from": 8, "to": 9}));
            peer.close();
        })
    };
    let ran = terminal(&fake(), &["watch", "item"]);
    assert_eq!(
        ran.out,
        "2026-01-02 03:04:05  item.finished     big.iso is complete\n"
    );
    assert!(ran.err.contains("events 8 to 9 were lost"), "{}", ran.err);
    assert_eq!(ran.code, 3, "the daemon went away");
    let ran = piped(&fake(), &["watch", "--json"]);
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["seq"], &lines[1]),
        (&json!(7), &json!({"gap": {"from": 8, "to": 9}}))
    );
    let ran = piped(&fake(), &["watch"]);
    assert_eq!(
        ran.out,
        "7\t2026-01-02T03:04:05Z\titem.finished\t\tbig.iso\tbig.iso is complete\n"
    );
}

#[test]
fn the_log_is_followed_past_its_last_lines() {
    let line = |text: &str| json!({"time": "2026-01-02T03:04:05Z", "level": "info", "text": text});
    let fake = Fake::scripted(move |call, peer| {
        peer.answer(call, json!([line("one"), line("two")]));
        if call.params["follow"] == json!(true) {
            peer.progress(call, line("three"));
            peer.close();
        }
    });
    let ran = piped(&fake, &["log", "-n", "2", "--fields", "text"]);
    assert_eq!((ran.out.as_str(), ran.code), ("one\ntwo\n", 0));
    let ran = piped(&fake, &["log", "-f", "--fields", "text"]);
    assert_eq!((ran.out.as_str(), ran.code), ("one\ntwo\nthree\n", 3));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let many: Vec<Value> = (0..900)
        .map(|i| item(&format!("{i:04}"), "name", json!({})))
        .collect();
    let fake = Fake::answering(&[("item.list", json!({"items": many, "next": null}))]);
    let mut command = crate::run::p2pctl(fake.dir.path());
    command
        .env("P2PD_SOCKET", &fake.socket)
        .args(["ls", "--json"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = crate::run::finish({
        command.stdout(writer);
        command
    });
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn settings_say_where_they_come_from() {
    let value = |origin: &str| json!({"key": "limits.download", "value": "\"5MiB/s\"", "origin": origin, "restart": true});
    let fake = Fake::answering(&[
        ("config.get", json!([value("file")])),
        ("config.set", value("set")),
    ]);
    let ran = piped(&fake, &["config", "get", "limits.download"]);
    assert_eq!(ran.out, "limits.download\t\"5MiB/s\"\tfile\ttrue\n");
    let ran = terminal(&fake, &["config", "set", "limits.download", "5MiB/s"]);
    assert_eq!(
        ran.out,
        "limits.download = \"5MiB/s\" (set); takes effect after  p2pctl daemon restart\n"
    );
    assert_eq!(
        fake.heard("config.set"),
        [json!({"key": "limits.download", "value": "5MiB/s"})]
    );
}

#[test]
fn limits_are_set_in_bytes_and_lifted_with_none() {
    let fake = Fake::answering(&[("limits.set", json!({"down": 1024, "up": null}))]);
    let ran = terminal(&fake, &["limit", "down=1KiB/s", "up=none"]);
    assert_eq!(ran.out, "Limits  down 1 KiB/s, up no limit\n");
    assert_eq!(fake.heard("limits.set"), [json!({"down": 1024, "up": 0})]);
}

#[test]
fn a_daemon_that_is_unwell_says_so_and_is_used() {
    let fake = Fake::raw(|call, peer| {
        let mut hello = crate::fake::welcome();
        hello["unhealthy"] = json!("the disk is full");
        match call.method.as_str() {
            "hello" => peer.answer(call, hello),
            _ => peer.answer(call, status()),
        }
    });
    let ran = piped(&fake, &["status"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, "p2pctl: p2pd is unwell: the disk is full\n")
    );
}
