//! `daemon` and what else concerns the daemon as a program.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::fake::Fake;
use crate::run::{Ran, alone, finish, p2pctl, piped};

/// Puts a program of this name into `folder`.
fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a copy of p2pctl in `folder`, so that the p2pd it finds beside itself and in its PATH is the one there, if any.
fn installed(folder: &Path, args: &[&str]) -> Ran {
    let copy = folder.join("p2pctl");
    if !copy.exists() {
        std::fs::hard_link(env!("CARGO_BIN_EXE_p2pctl"), &copy)
            .or_else(|_| std::fs::copy(env!("CARGO_BIN_EXE_p2pctl"), &copy).map(|_| ()))
            .unwrap();
    }
    let mut command = std::process::Command::new(copy);
    command
        .env_clear()
        .env("PATH", folder)
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder);
    command.args(args);
    finish(command)
}

#[test]
fn the_version_names_both_programs() {
    let fake = Fake::answering(&[]);
    let ran = piped(&fake, &["-V"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "p2pctl 0.1.0\np2pd 9.9.9\n")
    );
    let ran = piped(&fake, &["-V", "--json"]);
    let versions: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        versions,
        json!({"client": "p2pctl 0.1.0", "server": "p2pd 9.9.9"})
    );
    let home = tempfile::tempdir().unwrap();
    let ran = alone(home.path(), &["--user", "-V"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "p2pctl 0.1.0\n"));
    assert!(ran.err.contains("cannot reach p2pd"), "{}", ran.err);
}

#[test]
fn reload_says_what_took_effect() {
    let reload = json!({"applied": ["limits.download"], "needs_restart": ["network.port"]});
    let fake = Fake::answering(&[("daemon.reload", reload)]);
    let ran = crate::run::terminal(&fake, &["daemon", "reload"]);
    assert_eq!(
        ran.out,
        "Took effect      limits.download\nNeeds a restart  network.port\n"
    );
}

#[test]
fn stop_waits_until_the_daemon_is_gone() {
    let fake = Fake::scripted(|call, peer| {
        assert_eq!(call.method, "daemon.stop");
        peer.answer(call, Value::Null);
        peer.close();
    });
    // As the daemon would when it ends.
    let socket = fake.socket.clone();
    let remover = std::thread::spawn({
        let heard = std::time::Instant::now();
        move || {
            while heard.elapsed() < std::time::Duration::from_millis(200) {
                std::thread::yield_now();
            }
            std::fs::remove_file(socket).unwrap();
        }
    });
    let ran = piped(&fake, &["daemon", "stop"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, "Stopped p2pd\n"));
    assert!(!fake.socket.exists(), "it waited for the end");
    remover.join().unwrap();
    assert_eq!(piped(&fake, &["daemon", "stop"]).code, 3);
}

#[test]
fn start_finds_a_daemon_that_runs_or_says_why_it_cannot() {
    let fake = Fake::answering(&[]);
    let ran = piped(&fake, &["daemon", "start"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, "p2pd 9.9.9 runs already\n")
    );

    let folder = tempfile::tempdir().unwrap();
    let ran = installed(folder.path(), &["--user", "daemon", "start"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("cannot find p2pd"), "{}", ran.err);

    program(folder.path(), "p2pd", "echo \"$@\" >&2; exit 78");
    let ran = installed(folder.path(), &["--user", "daemon", "start"]);
    assert_eq!((ran.code, ran.err.as_str()), (78, "--user --daemonize\n"));
    let ran = installed(folder.path(), &["--socket", "/x/y", "daemon", "start"]);
    assert_eq!(ran.err, "--user --socket /x/y --daemonize\n");
}

#[test]
fn enable_without_systemd_says_what_to_do_instead() {
    let folder = tempfile::tempdir().unwrap();
    let ran = installed(folder.path(), &["--user", "daemon", "enable"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("p2pctl daemon start"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 3);
}

#[test]
fn systemd_is_used_where_it_knows_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    program(
        folder.path(),
        "systemctl",
        "echo \"$@\" >> $HOME/asked; [ \"$2\" != restart ] || { echo no bus >&2; exit 1; }",
    );
    program(folder.path(), "loginctl", "echo \"$@\" >> $HOME/asked");
    let ran = installed(folder.path(), &["--user", "daemon", "enable", "--linger"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
    assert_eq!(
        asked,
        "--user cat p2pd.service\n--user enable --now p2pd.service\nenable-linger\n"
    );
    let ran = installed(folder.path(), &["--user", "daemon", "restart"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("\n  No bus.\n  Look:  journalctl --user -u p2pd"),
        "{}",
        ran.err
    );
}

#[test]
fn questions_about_the_file_are_p2pds_to_answer() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "p2pd", "echo \"$@\"; exit 78");
    let ran = installed(
        folder.path(),
        &["--user", "config", "check", "--config", "/f"],
    );
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (78, "--config /f --user config check\n")
    );
    let ran = installed(folder.path(), &["--system", "config", "defaults"]);
    assert_eq!(ran.out, "--system config defaults\n");
}

#[test]
fn the_file_in_question_is_that_of_the_daemon_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "p2pd", "echo \"$@\"");
    let mut told = crate::output::status();
    told["mode"] = "system".into();
    told["config"] = "/etc/other.toml".into();
    let fake = Fake::answering(&[("status", told)]);
    let socket = fake.socket.to_str().unwrap();
    let ran = installed(folder.path(), &["--socket", socket, "config", "path"]);
    assert_eq!(ran.out, "--config /etc/other.toml --system config path\n");

    let gone = folder.path().join("gone.sock");
    let gone = gone.to_str().unwrap();
    let ran = installed(folder.path(), &["--socket", gone, "config", "check"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    let fix = "\n  Start it, or name its file with --config FILE.\n";
    assert!(ran.err.ends_with(fix), "{}", ran.err);
}

#[test]
fn the_users_daemon_is_found_in_the_runtime_folder() {
    let fake = Fake::answering(&[("limits.get", json!({"down": 1, "up": null}))]);
    let folder = fake.dir.path().join("p2pd");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(&fake.socket, folder.join("control.sock")).unwrap();
    let mut command = p2pctl(fake.dir.path());
    command.args(["limit", "--fields", "down"]);
    assert_eq!(finish(command).out, "down\t1\n");
}
