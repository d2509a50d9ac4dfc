//! Running p2pctl: in a pipe, and on a terminal.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::tcgetattr;
use nix::unistd::Pid;

use crate::fake::Fake;

const PROGRAM: &str = env!("CARGO_BIN_EXE_p2pctl");

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// p2pctl with an environment of its own: home, state and runtime folder are `home`.
pub(crate) fn p2pctl(home: &Path) -> Command {
    at_home(Command::new(PROGRAM), home)
}

/// The same, also where Ctrl-C is ignored, as it is in all that a shell runs in the background.
fn interruptible(home: &Path) -> Command {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    if ignored.unwrap_or(0) >> (Signal::SIGINT as u32 - 1) & 1 == 0 {
        return p2pctl(home);
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", PROGRAM]);
    at_home(command, home)
}

fn at_home(mut command: Command, home: &Path) -> Command {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .env("TZ", "UTC")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// Runs it in a pipe, against `fake`.
pub(crate) fn piped<S: AsRef<OsStr>>(fake: &Fake, args: &[S]) -> Ran {
    let mut command = p2pctl(fake.dir.path());
    command.env("P2PD_SOCKET", &fake.socket).args(args);
    finish(command)
}

/// Runs it in a pipe, where no daemon is.
pub(crate) fn alone<S: AsRef<OsStr>>(home: &Path, args: &[S]) -> Ran {
    let mut command = p2pctl(home);
    command.args(args);
    finish(command)
}

/// Runs a prepared command to its end.
pub(crate) fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it with standard output on a terminal of 120 columns, against `fake`; standard error stays a pipe.
pub(crate) fn terminal<S: AsRef<OsStr>>(fake: &Fake, args: &[S]) -> Ran {
    let pty = pty();
    let mut command = p2pctl(fake.dir.path());
    let child = command
        .env("P2PD_SOCKET", &fake.socket)
        .args(args)
        .stdout(pty.slave)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command holds our side of the terminal's end, without which reading would not end.
    drop(command);
    let mut master = std::fs::File::from(pty.master);
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    // At the end a terminal gives an error, not an end of file.
    while let Ok(read @ 1..) = master.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..read]);
    }
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(bytes).unwrap().replace("\r\n", "\n"),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Starts p2pctl, sends Ctrl-C once the fake has heard `method`, and waits.
pub(crate) fn interrupted(fake: &Fake, args: &[&str], method: &str) -> Ran {
    let mut command = interruptible(fake.dir.path());
    command.env("P2PD_SOCKET", &fake.socket).args(args);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    fake.wait_for(method, 1);
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it with standard error on a terminal until `text` is drawn there, or until it waits and draws nothing; then sends Ctrl-C.
/// Returns what was drawn and the exit code.
pub(crate) fn drawn_until<S: AsRef<OsStr>>(fake: &Fake, args: &[S], text: &str) -> (String, i32) {
    let pty = pty();
    let before = fake.heard("item.wait").len();
    let mut command = p2pctl(fake.dir.path());
    let mut child = command
        .env("P2PD_SOCKET", &fake.socket)
        .env("TERM", "xterm")
        .args(args)
        .stdout(Stdio::null())
        .stderr(pty.slave)
        .spawn()
        .unwrap();
    drop(command);
    fake.wait_for("item.wait", before + 1);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let mut master = std::fs::File::from(pty.master);
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    let mut sent = text == "goes on";
    if sent {
        kill(pid, Signal::SIGINT).unwrap();
    }
    while let Ok(read @ 1..) = master.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..read]);
        if !sent && String::from_utf8_lossy(&bytes).contains(text) {
            kill(pid, Signal::SIGINT).unwrap();
            sent = true;
        }
    }
    let drawn = String::from_utf8(bytes).unwrap();
    (drawn, child.wait().unwrap().code().unwrap_or(-1))
}

/// Runs it wholly on a terminal, types `keys` once `text` is drawn, and waits for the end. Returns what was drawn, the exit code, and
/// whether the terminal was left as it was found.
pub(crate) fn played<S: AsRef<OsStr>>(
    fake: &Fake,
    args: &[S],
    text: &str,
    keys: &[u8],
) -> (String, i32, bool) {
    played_until(fake, args, text, |terminal, _| {
        terminal.write_all(keys).unwrap();
    })
}

/// The same, with something else to do once `text` is drawn: with the terminal's other end, or to the process.
pub(crate) fn played_until<S: AsRef<OsStr>>(
    fake: &Fake,
    args: &[S],
    text: &str,
    act: impl Fn(&mut std::fs::File, Pid),
) -> (String, i32, bool) {
    let pty = pty();
    let found = tcgetattr(&pty.slave).unwrap();
    let kept = pty.slave.try_clone().unwrap();
    let mut command = p2pctl(fake.dir.path());
    let mut child = command
        .env("P2PD_SOCKET", &fake.socket)
        .env("TERM", "xterm")
        .args(args)
        .stdin(pty.slave.try_clone().unwrap())
        .stdout(pty.slave)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(command);
    let mut master = std::fs::File::from(pty.master);
    let mut typing = master.try_clone().unwrap();
    let (drawn, drawing) = std::sync::mpsc::channel();
    // Our end of the terminal stays open to look at it, so reading has no end of its own.
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = master.read(&mut chunk) {
            if drawn.send(chunk[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut bytes = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut typed = false;
    let code = loop {
        bytes.extend(drawing.try_iter().flatten());
        if !typed && String::from_utf8_lossy(&bytes).contains(text) {
            act(&mut typing, Pid::from_raw(child.id().cast_signed()));
            typed = true;
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        if Instant::now() > deadline {
            let _gone = child.kill();
            panic!("no end; drawn: {}", String::from_utf8_lossy(&bytes));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    // What was written before the end has arrived when nothing comes any more.
    while let Ok(more) = drawing.recv_timeout(Duration::from_millis(200)) {
        bytes.extend(more);
    }
    let left = tcgetattr(&kept).unwrap();
    let same = (found.local_flags, found.input_flags) == (left.local_flags, left.input_flags);
    (String::from_utf8_lossy(&bytes).into_owned(), code, same)
}

/// A terminal of 120 columns.
fn pty() -> OpenptyResult {
    let size = Winsize {
        ws_row: 40,
        ws_col: 120,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    openpty(Some(&size), None).unwrap()
}
