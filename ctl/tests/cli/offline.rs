//! What needs no daemon: `create`, `inspect`, `help`, `completions`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::fake::{Fake, share, tracker};
use crate::run::{alone, piped, terminal};

fn sha1(bytes: &[u8]) -> [u8; 20] {
    Sha1::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn inspect(home: &Path, target: &str) -> Value {
    let ran = alone(home, &["inspect", target, "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

/// The info-hash that BEP 3 gives, put together by hand.
fn info_hash(prefix: &str, bytes: &[u8], piece_len: usize) -> String {
    let pieces: Vec<u8> = bytes.chunks(piece_len).flat_map(sha1).collect();
    let mut info = format!(
        "d{prefix}12:piece lengthi{piece_len}e6:pieces{}:",
        pieces.len()
    )
    .into_bytes();
    info.extend(pieces);
    info.push(b'e');
    hex(&sha1(&info))
}

#[test]
fn create_gives_the_info_hash_that_the_standard_says() {
    let home = tempfile::tempdir().unwrap();
    let (file, out) = (
        home.path().join("data.bin"),
        home.path().join("data.torrent"),
    );
    let bytes = content(100_000);
    std::fs::write(&file, &bytes).unwrap();
    let ran = alone(home.path(), &["create", &text(&file), "-o", &text(&out)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let expected = info_hash("6:lengthi100000e4:name8:data.bin", &bytes, 16_384);
    assert!(ran.out.contains(&expected), "{}", ran.out);
    let inspected = inspect(home.path(), &text(&out));
    assert_eq!(inspected["info_hash"], json!(expected));
    assert_eq!(
        inspected["files"],
        json!([{"path": "data.bin", "size": 100_000, "padding": false}])
    );
    assert_eq!(inspected["private"], json!(false));

    // The same content gives the same file, whenever it is made.
    let first = std::fs::read(&out).unwrap();
    let again = alone(home.path(), &["create", &text(&file), "-o", &text(&out)]);
    assert_eq!(again.code, 6, "what is there is not replaced unasked");
    let again = alone(
        home.path(),
        &["create", &text(&file), "-o", &text(&out), "-y"],
    );
    assert_eq!(again.code, 0, "{}", again.err);
    assert_eq!(std::fs::read(&out).unwrap(), first);
    let left = std::fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, 2, "nothing else is left behind");
}

#[test]
fn create_sorts_files_by_the_bytes_of_their_paths_and_masks_passkeys() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("set");
    std::fs::create_dir_all(folder.join("b")).unwrap();
    // As bytes: "B" < "a" < "b-" < "b/x", which is not the order of the folders' own names.
    for (name, bytes) in [("b/x", "four"), ("b-", "three"), ("a", "two"), ("B", "one")] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    std::fs::write(folder.join(".hidden"), "zero").unwrap();
    std::os::unix::fs::symlink("a", folder.join("link")).unwrap();
    let out = folder.join("set.torrent");
    let announce = "http://nas:6969/announce/0123456789abcdef0123456789abcdef/announce";
    let path = text(&folder);
    let mut args = vec![
        "create",
        &path,
        "--piece-size",
        "32KiB",
        "--private",
        "--announce",
        announce,
        "-o",
    ];
    let shown = text(&out);
    args.push(&shown);
    let ran = alone(home.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.err, format!("Left out: {path}/link (a link)\n"));

    let inspected = inspect(home.path(), &shown);
    let names: Vec<&str> = inspected["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["set/.hidden", "set/B", "set/a", "set/b-", "set/b/x"]
    );
    let pieces = sha1(b"zeroonetwothreefour");
    let mut info = b"d5:filesld6:lengthi4e4:pathl7:.hiddeneed6:lengthi3e4:pathl1:Beed6:lengthi3e4:pathl1:aeed6:lengthi5e4:pathl2:b-eed6:lengthi4e4:pathl1:b1:xeee4:name3:set12:piece lengthi32768e6:pieces20:".to_vec();
    info.extend(pieces);
    info.extend(b"7:privatei1ee");
    assert_eq!(inspected["info_hash"], json!(hex(&sha1(&info))));
    assert_eq!(
        inspected["trackers"],
        json!([["http://nas:6969/announce/***/announce"]])
    );
    assert!(!ran.out.contains("0123456789"), "{}", ran.out);
    assert!(
        std::fs::read(&out)
            .unwrap()
            .windows(16)
            .any(|w| w == b"0123456789abcdef"),
        "the file itself has it"
    );

    // Made again, it does not hold itself.
    args.push("-y");
    assert_eq!(alone(home.path(), &args).code, 0);
    assert_eq!(
        inspect(home.path(), &shown)["info_hash"],
        inspected["info_hash"]
    );
}

#[test]
fn create_refuses_names_that_no_torrent_can_hold() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("set");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(OsStr::from_bytes(b"caf\xe9\x1b")), "x").unwrap();
    let ran = alone(
        home.path(),
        &[
            "create",
            &text(&folder),
            "-o",
            &text(&home.path().join("o")),
        ],
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("set/caf\\xe9\\x1b into a torrent\n  Its name is not UTF-8"),
        "{}",
        ran.err
    );
    assert!(!home.path().join("o").exists());
}

#[test]
fn inspect_reads_magnet_links() {
    let home = tempfile::tempdir().unwrap();
    let hash = "3f2a0b6c9d1e4f7081a2b3c4d5e6f708192a3b4c";
    let magnet = format!(
        "magnet:?xt=urn:btih:{hash}&dn=big.iso&tr=http%3A%2F%2Ft%2Fannounce&x.pe=10.0.0.2%3A6881"
    );
    let inspected = inspect(home.path(), &magnet);
    assert_eq!(inspected["info_hash"], json!(hash));
    assert_eq!(inspected["trackers"], json!([["http://t/announce"]]));
    assert_eq!(inspected["peers"], json!(["10.0.0.2:6881"]));
    assert_eq!(inspected["size"], Value::Null);
    let fake = Fake::answering(&[]);
    let ran = terminal(&fake, &["inspect", &magnet]);
    assert_eq!(
        ran.out,
        format!(
            "Name     big.iso\nHash     {hash}\nTracker  http://t/announce\nPeer     10.0.0.2:6881\n"
        )
    );
}

#[test]
fn link_keeps_the_secret_torrent_out_of_the_output() {
    let links = json!({"magnet": "magnet:?xt=urn:btih:3f2a", "name": "ann/Public/big.iso@1"});
    let here = crate::fake::item("3f2a", "big.iso", json!({}));
    let fake = Fake::answering(&[
        ("item.link", links),
        ("item.torrent", json!({"data": "c2VjcmV0", "size": 6})),
        ("item.list", json!({"items": [here], "next": null})),
    ]);
    for args in [
        &["link", "3f2a"][..],
        &["link", "3f2a", "--json"],
        &["link", "3f2a", "--magnet"],
    ] {
        let ran = piped(&fake, args);
        assert!(
            ran.out.contains("magnet:?xt") && !ran.out.contains("c2VjcmV0"),
            "{}",
            ran.out
        );
    }
    let out = fake.dir.path().join("o.torrent");
    let ran = piped(&fake, &["link", "3f2a", "--torrent", &text(&out)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(std::fs::read(&out).unwrap(), b"secret");
    let mode = std::os::unix::fs::PermissionsExt::mode(&out.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "nobody else may read it");
    assert_eq!(
        piped(&fake, &["link", "3f2a", "--torrent", &text(&out)]).code,
        6
    );
    assert_eq!(
        piped(&fake, &["link", "3f2a", "--torrent", "-"]).out,
        "secret"
    );
}

#[test]
fn link_finds_an_item_by_the_path_of_its_data() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("big.iso");
    std::fs::write(&data, "x").unwrap();
    let here = crate::fake::item("3f2a", "other", json!({"path": data}));
    let fake = Fake::answering(&[
        ("item.list", json!({"items": [here], "next": null})),
        ("item.link", json!({"magnet": "m"})),
    ]);
    assert_eq!(piped(&fake, &["link", &text(&data)]).code, 0);
    assert_eq!(
        fake.heard("item.link"),
        [json!({"item": "3f2a000000000000000000000000000000000000"})]
    );
}

#[test]
fn help_and_completions_are_printed() {
    let home = tempfile::tempdir().unwrap();
    let ran = alone(home.path(), &["help", "exit-codes"]);
    assert_eq!(ran.code, 0);
    for line in [
        "    3  daemon not reachable",
        "   13  tracker refused",
        "  130  interrupted",
    ] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    let ran = alone(home.path(), &["help", "daemon", "enable"]);
    assert!(ran.out.contains("--linger"), "{}", ran.out);
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef p2pctl"),
        ("fish", "complete -c p2pctl"),
    ] {
        let ran = alone(home.path(), &["completions", shell]);
        assert_eq!(ran.code, 0);
        assert!(
            ran.out.contains(word) && ran.out.contains("unpublish"),
            "{shell}"
        );
    }
    for (topic, word) in [("json", "--fields"), ("filters", "share:NAME")] {
        let ran = alone(home.path(), &["help", topic]);
        assert!(
            ran.code == 0 && ran.out.contains(word),
            "{topic}: {}",
            ran.out
        );
    }
}

#[test]
fn p2pctl_alone_says_what_to_do_next() {
    let none = &[] as &[&str];
    let home = tempfile::tempdir().unwrap();
    let ran = alone(home.path(), none);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("p2pctl daemon enable"), "{}", ran.err);

    let said = |change: Value| {
        let mut status = json!({
            "server": "p2pd 9.9.9", "pid": 7, "mode": "user", "uptime_s": 61, "port": 5, "items": 0, "seeding": 0, "fetching": 0,
            "paused": 0, "errors": 0, "peers": 0, "down_rate": 0, "up_rate": 0, "downloaded": 0, "uploaded": 0, "shares": [],
            "trackers": [], "download_dir": "/d", "limits": {}, "warnings": []
        });
        for (key, value) in change.as_object().unwrap() {
            status[key] = value.clone();
        }
        piped(&Fake::answering(&[("status", status)]), none).err
    };
    let fresh = said(json!({}));
    for step in [
        "tracker add",
        "p2pctl register",
        "p2pctl login",
        "p2pctl share",
    ] {
        assert!(fresh.contains(step), "{step}: {fresh}");
    }
    let known = said(json!({"trackers": [tracker(json!({"username": null}))]}));
    assert!(
        known.contains("p2pctl login") && !known.contains("tracker add"),
        "{known}"
    );
    let logged_in = said(json!({"trackers": [tracker(json!({}))]}));
    assert!(
        logged_in.contains("p2pctl search") && !logged_in.contains("login"),
        "{logged_in}"
    );
    let sharing = json!({"trackers": [tracker(json!({}))], "shares": [share("s", "/s", json!({}))], "items": 3});
    let sharing = said(sharing);
    assert!(
        sharing.contains("3 items, 1 share") && !sharing.contains("p2pctl share"),
        "{sharing}"
    );
}

#[test]
fn manual_pages_are_written() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("man");
    let ran = alone(home.path(), &["man", dir.to_str().unwrap()]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    std::fs::create_dir(&dir).unwrap();
    let ran = alone(home.path(), &["man", dir.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let page = std::fs::read_to_string(dir.join("p2pctl-share.1")).unwrap();
    assert!(page.contains("\\-\\-each"), "{page}");
    let page = std::fs::read_to_string(dir.join("p2pctl.1")).unwrap();
    assert!(page.contains("EXIT STATUS"), "{page}");
}
