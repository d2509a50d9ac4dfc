//! What goes wrong: the exit code and the text of each.

use std::os::unix::net::UnixListener;
use std::path::Path;

use p2p_wire::control::ErrorKind;
use serde_json::json;

use crate::fake::{Fake, tracker, welcome};
use crate::run::{alone, p2pctl, piped};

#[test]
fn without_a_daemon_every_command_says_how_to_start_it() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("p2pd/control.sock");
    let expected = format!(
        "p2pctl: cannot reach p2pd: no socket at {}\n  The daemon is not running for your user.\n  Start it:  p2pctl daemon enable\n",
        socket.display()
    );
    let commands: &[&[&str]] = &[
        &["share", "/"],
        &["unshare", "x"],
        &["rescan"],
        &["link", "3f2a"],
        &["fetch", "3f2a"],
        &["fetch", "3f2a", "--detach"],
        &["ls"],
        &["show", "3f2a"],
        &["pause", "3f2a"],
        &["resume", "--all"],
        &["announce", "3f2a"],
        &["verify", "3f2a"],
        &["verify", "--all", "--detach"],
        &["set", "3f2a", "down=1MiB"],
        &["mv", "3f2a", "/tmp"],
        &["rm", "3f2a"],
        &["rm", "3f2a", "--delete-data"],
        &["tracker", "ls"],
        &["tracker", "add", "home", "http://nas:6969"],
        &["register"],
        &["login"],
        &["logout"],
        &["whoami"],
        &["publish", "3f2a"],
        &["unpublish", "3f2a"],
        &["search"],
        &["online"],
        &["status"],
        &["watch"],
        &["log"],
        &["history"],
        &["limit"],
        &["config", "get"],
        &["config", "set", "a", "b"],
        &["config", "unset", "a"],
    ];
    for args in commands {
        let ran = alone(home.path(), &[&["--user"], *args].concat());
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (3, expected.as_str()),
            "{args:?}"
        );
        assert_eq!(ran.out, "", "{args:?}");
    }
}

#[test]
fn a_socket_that_nobody_listens_at_is_told_from_none() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("left.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let ran = alone(
        home.path(),
        &[Path::new("--socket"), &socket, Path::new("ls")],
    );
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("nobody listens at"), "{}", ran.err);
    assert!(ran.err.contains("daemon start"), "{}", ran.err);
}

#[test]
fn a_command_line_that_is_wrong_is_two() {
    let home = tempfile::tempdir().unwrap();
    let wrong: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["ls", "--frobnicate"],
        &["ls", "--user", "--system"],
        &["share"],
        &["share", "/", "--each", "byte"],
        &["share", "/", "--piece-size", "100KiB"],
        &["share", "/", "/tmp", "--name", "x"],
        &["fetch"],
        &["fetch", "magnet:?dn=x"],
        &["fetch", "magnet:?xt=urn:btih:zz"],
        &["fetch", "-"],
        &["fetch", "3f2a", "--timeout", "10"],
        &["fetch", "3f2a", "--timeout", "10s", "--detach"],
        &["fetch", "3f2a", "--peer", "nas1"],
        &["pause"],
        &["pause", "x", "--all"],
        &["set", "3f2a"],
        &["set", "3f2a", "down"],
        &["create", "/tmp"],
        &[
            "create",
            "/tmp",
            "-o",
            "x",
            "--announce",
            "file:///etc/passwd",
        ],
        &["create", "/tmp", "-o", "x", "--piece-size", "17"],
        &["inspect", "magnet:?nothing"],
        &["tracker", "add", "home", "nas:6969"],
        &["tracker", "add", "home", "http://ann:pw@nas:6969"],
        &["limit", "down"],
        &["limit", "down=fast"],
        &["limit", "left=1MiB"],
        &["ls", "--connect-timeout", "soon"],
        &["completions", "tcsh"],
        &["help", "frobnicate"],
        &["log", "-n", "x"],
        &["register", "--password-file", "-", "--invite-file", "-"],
    ];
    for args in wrong {
        let ran = alone(home.path(), args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{args:?}");
        assert!(!ran.err.is_empty(), "{args:?}");
    }
}

#[test]
fn files_that_cannot_be_used_say_which_and_why() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    let cut = path("cut.torrent");
    std::fs::write(&cut, "d4:infod6:lengthi5e4:na").unwrap();
    let empty = path("empty");
    std::fs::write(&empty, "").unwrap();
    let missing = path("missing.torrent");
    let out = path("out.torrent");
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &["inspect", &cut],
            10,
            "cut.torrent is no .torrent that can be used",
        ),
        (
            &["fetch", &cut],
            10,
            "cut.torrent is no .torrent that can be used",
        ),
        (
            &["publish", &cut],
            10,
            "cut.torrent is no .torrent that can be used",
        ),
        (&["inspect", &missing], 4, "missing.torrent\n  No such file"),
        (&["fetch", &missing], 4, "missing.torrent\n  No such file"),
        (&["share", &missing], 4, "missing.torrent\n  No such file"),
        (
            &["create", &missing, "-o", &out],
            4,
            "missing.torrent\n  No such file",
        ),
        (&["create", &empty, "-o", &out], 2, "empty is empty"),
        (&["create", &cut, "-o", &cut], 6, "cut.torrent exists"),
        (
            &["create", &cut, "-o", &path("no/dir/x")],
            4,
            "cannot write",
        ),
        (
            &["create", "/dev/null", "-o", &out],
            2,
            "neither a file nor a folder",
        ),
    ];
    for (args, code, text) in cases {
        let ran = alone(home.path(), args);
        assert_eq!(ran.code, *code, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(text), "{args:?}: {}", ran.err);
        assert!(ran.err.starts_with("p2pctl: "), "{args:?}: {}", ran.err);
    }
}

#[test]
fn every_kind_of_error_has_its_exit_code() {
    let kinds = [
        (ErrorKind::Failed, 1),
        (ErrorKind::Usage, 2),
        (ErrorKind::Unreachable, 3),
        (ErrorKind::NotFound, 4),
        (ErrorKind::Permission, 5),
        (ErrorKind::Conflict, 6),
        (ErrorKind::TimedOut, 7),
        (ErrorKind::StillRunning, 8),
        (ErrorKind::Refused, 9),
        (ErrorKind::BadData, 10),
        (ErrorKind::Disk, 11),
        (ErrorKind::Incompatible, 12),
        (ErrorKind::Tracker, 13),
    ];
    for (kind, code) in kinds {
        let fake = Fake::scripted(move |call, peer| {
            peer.refuse(
                call,
                kind,
                "no \u{1b}[2Jitem x",
                "There is none.",
                "See:  p2pctl ls",
            );
        });
        let ran = piped(&fake, &["show", "x"]);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (
                code,
                "p2pctl: no \\x1b[2Jitem x\n  There is none.\n  See:  p2pctl ls\n"
            ),
            "{kind:?}"
        );
    }
}

#[test]
fn versions_that_do_not_match_are_twelve() {
    let later = Fake::raw(|call, peer| {
        let mut hello = welcome();
        hello["proto"] = json!(7);
        peer.answer(call, hello);
    });
    let refusing = Fake::raw(|call, peer| {
        let why = "p2pd speaks 3 to 4, you speak 1 to 1.";
        peer.refuse(
            call,
            ErrorKind::Incompatible,
            "no common version",
            why,
            "Update p2pctl.",
        );
    });
    let unknown = Fake::scripted(|call, peer| {
        let error = json!({"jsonrpc": "2.0", "id": call.id, "error": {"code": -32601, "message": "unknown"}});
        peer.write(format!("{error}\n").as_bytes());
    });
    let babble = Fake::raw(|_, peer| peer.write(b"220 mail.example.org ESMTP\n"));
    let shape = Fake::answering(&[("status", json!({"pid": "x"}))]);
    for (fake, text) in [
        (later, "p2pd 9.9.9 speaks version 7"),
        (refusing, "p2pd speaks 3 to 4, you speak 1 to 1."),
        (unknown, "it does not know status"),
        (babble, "is no p2pd"),
        (shape, "the answer to status cannot be read"),
    ] {
        let ran = piped(&fake, &["status"]);
        assert_eq!(ran.code, 12, "{}", ran.err);
        assert!(ran.err.contains(text), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 3, "{}", ran.err);
    }
}

#[test]
fn a_daemon_that_says_nothing_or_goes_away_is_three() {
    let silent = Fake::raw(|_, _| {});
    let ran = piped(&silent, &["ls", "--connect-timeout", "50ms"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("no answer at"), "{}", ran.err);

    let leaving = Fake::scripted(|_, peer| peer.close());
    let ran = piped(&leaving, &["ls"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("closed the connection"), "{}", ran.err);

    let endless = Fake::scripted(|_, peer| peer.write(&vec![b' '; 5 << 20]));
    let ran = piped(&endless, &["ls"]);
    assert_eq!(ran.code, 3, "a line without end is not read without end");
}

#[test]
fn what_cannot_be_undone_wants_a_yes() {
    let fake = Fake::answering(&[("item.remove", json!([]))]);
    let ran = piped(&fake, &["rm", "3f2a", "--delete-data"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("Add --yes"), "{}", ran.err);
    assert!(fake.heard("item.remove").is_empty());
    assert_eq!(piped(&fake, &["rm", "3f2a", "--delete-data", "-y"]).code, 0);
    assert_eq!(
        fake.heard("item.remove"),
        [json!({"items": ["3f2a"], "delete_data": true})]
    );
}

#[test]
fn passwords_come_from_a_file_and_register_logs_in() {
    let fake = Fake::answering(&[
        ("account.register", tracker(json!({"username": null}))),
        ("account.login", tracker(json!({}))),
    ]);
    let file = fake.dir.path().join("pw");
    std::fs::write(&file, "correct horse\r\nsecond line\n").unwrap();
    let file = file.display().to_string();
    let ran = piped(
        &fake,
        &[
            "register",
            "home",
            "--username",
            "ann",
            "--password-file",
            &file,
            "-v",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let expected =
        json!({"tracker": "home", "username": "ann", "password": "correct horse", "invite": null});
    assert_eq!(
        fake.heard("account.register"),
        std::slice::from_ref(&expected)
    );
    assert_eq!(fake.heard("account.login"), [expected]);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(!said.contains("horse"), "{said}");

    let ran = piped(
        &fake,
        &["login", "--username", "ann", "--password-file", "/nowhere"],
    );
    assert_eq!(ran.code, 4);
    let ran = piped(&fake, &["login"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("--username"), "{}", ran.err);
    let empty = fake.dir.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let empty = empty.display().to_string();
    let ran = piped(
        &fake,
        &["login", "--username", "ann", "--password-file", &empty],
    );
    assert_eq!(ran.code, 2);
    assert_eq!(fake.heard("account.login").len(), 1);
}

#[test]
fn a_tracker_that_cannot_be_used_is_thirteen() {
    let fake = Fake::answering(&[
        (
            "account.whoami",
            tracker(json!({"username": null, "state": "login needed"})),
        ),
        (
            "tracker.test",
            tracker(json!({"state": "unreachable", "reason": "connection refused"})),
        ),
    ]);
    let ran = piped(&fake, &["whoami"]);
    assert_eq!(ran.code, 13);
    assert!(ran.err.contains("p2pctl login home"), "{}", ran.err);
    let ran = piped(&fake, &["tracker", "test"]);
    assert_eq!(ran.code, 13);
    assert!(ran.err.contains("\n  Connection refused.\n"), "{}", ran.err);
}

#[test]
fn a_full_disk_behind_standard_output_is_eleven() {
    let fake = Fake::answering(&[("tracker.list", json!([tracker(json!({}))]))]);
    let mut command = p2pctl(fake.dir.path());
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    command
        .env("P2PD_SOCKET", &fake.socket)
        .args(["tracker", "ls"])
        .stdout(full);
    let ran = crate::run::finish(command);
    assert_eq!(ran.code, 11);
    assert!(
        ran.err
            .starts_with("p2pctl: cannot write to standard output\n"),
        "{}",
        ran.err
    );
}
