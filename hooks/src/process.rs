//! One run of one hook: started, fed, listened to, ended in time.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::confine::Confines;
use crate::output::Output;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// What a hook printed is still waited for after it ended, for this long: a child that left its group may hold the pipe open.
const DRAIN: Duration = Duration::from_millis(300);
/// Where programs are looked for; ours may come from anywhere.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// In its folder: what a gate allows more exactly, as JSON.
const ANSWER: &str = "answer";
/// Bytes of an answer that are read.
const MOST_ANSWER: u64 = 1024 * 1024;

/// What is to be run.
pub struct Job<'a> {
    /// The hook.
    pub program: &'a Path,
    /// The one argument: the event.
    pub event: &'a str,
    /// For standard input.
    pub stdin: String,
    /// Variables beside those that every hook has.
    pub env: BTreeMap<&'static str, OsString>,
    /// After it the hook is ended.
    pub limit: Duration,
    /// Folders it may write in besides its own.
    pub writable: Vec<PathBuf>,
}

/// How a run went.
pub struct Ran {
    /// Its end.
    pub end: End,
    /// From start to end.
    pub took: Duration,
    /// What it printed.
    pub output: Output,
    /// What the hook wrote into the file [`ANSWER`]; empty without one.
    pub answer: Vec<u8>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// By us, when its time was over.
    TimedOut,
    /// the daemon stops.
    Stopped,
    /// With the reason.
    NotStarted(String),
}

/// Starts hooks. The program that makes one must call [`crate::become_hook`] first thing, for it is started again as the hook.
pub struct Runner {
    /// This program, which becomes the hook.
    helper: PathBuf,
    /// Where each run gets a folder of its own.
    scratch: PathBuf,
    /// True once the daemon stops.
    stopping: watch::Receiver<bool>,
}

impl Runner {
    /// A runner whose folders are made below the state folder `state`; `stopping` turns true when hooks are to be ended. What an earlier daemon left of them is removed.
    pub fn new(state: &Path, stopping: watch::Receiver<bool>) -> Self {
        let scratch = state.join("hook-runs");
        // Left behind by a daemon that was killed, if at all.
        let _ = std::fs::remove_dir_all(&scratch);
        Self {
            helper: helper(),
            scratch,
            stopping,
        }
    }

    /// Runs a hook to its end, or to that of its time.
    pub async fn run(&self, job: Job<'_>) -> Ran {
        let output = Output::default();
        let begin = Instant::now();
        let mut answer = Vec::new();
        let end = match self.folder() {
            Ok(folder) => {
                let end = self.run_in(&folder, job, output.clone()).await;
                answer = read_answer(&folder);
                end
            }
            Err(error) => Err(error),
        };
        Ran {
            end: end.unwrap_or_else(|error| End::NotStarted(error.to_string())),
            took: begin.elapsed(),
            output,
            answer,
        }
    }

    /// A private folder for one run.
    pub fn folder(&self) -> io::Result<Folder> {
        Folder::new(&self.scratch)
    }

    async fn run_in(&self, folder: &Folder, job: Job<'_>, output: Output) -> io::Result<End> {
        let mut child = self.command(folder, &job).spawn()?;
        let reading = listen(&mut child, output.clone());
        let feeding = child.stdin.take().map(|stdin| feed(stdin, job.stdin));
        let end = watch_over(&mut child, job.limit, self.stopping.clone()).await;
        for task in reading {
            let abort = task.abort_handle();
            if timeout(DRAIN, task).await.is_err() {
                abort.abort();
            }
        }
        if let Some(feeding) = feeding {
            feeding.abort();
        }
        end
    }

    fn command(&self, folder: &Folder, job: &Job<'_>) -> Command {
        let mut writable = job.writable.clone();
        writable.push(folder.0.clone());
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let confines = Confines {
            cpu_seconds: job.limit.as_secs().max(1).saturating_mul(cores) + GRACE.as_secs(),
            writable,
        };
        let mut command = self.confined(&confines, job.program, &[job.event], folder);
        command.envs(&job.env);
        command
    }

    /// A program in its confines, in a group and with an environment of its own, with pipes for its streams.
    pub fn confined(
        &self,
        confines: &Confines,
        program: &Path,
        args: &[&str],
        folder: &Folder,
    ) -> Command {
        let mut command = Command::new(&self.helper);
        command
            .args(confines.args(program, args))
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("TMPDIR", &folder.0)
            .envs(std::env::var_os("HOME").map(|home| ("HOME", home)))
            .current_dir(&folder.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// This program. The link in /proc leads to the very file that runs, also when an upgrade has put another in its place.
fn helper() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    match link.exists() {
        true => link,
        false => std::env::current_exe().unwrap_or(link),
    }
}

/// Reads what a hook answered. A file and not its output: output may begin with a name that a stranger chose.
fn read_answer(folder: &Folder) -> Vec<u8> {
    let mut answer = Vec::new();
    let open = || {
        let mut options = File::options();
        let nofollow = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let file = options.read(true).custom_flags(nofollow);
        file.open(folder.0.join(ANSWER))
    };
    let read = open().and_then(|file| file.take(MOST_ANSWER).read_to_end(&mut answer));
    match read {
        Ok(_) => answer,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        // No JSON, so a gate that wanted to say something fails.
        Err(error) => error.to_string().into_bytes(),
    }
}

/// Waits for the end of a child; ends it and its group when its time is over or the daemon stops.
async fn watch_over(
    child: &mut Child,
    limit: Duration,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<End> {
    let group = child.id().and_then(|pid| i32::try_from(pid).ok());
    let group = group.map(Pid::from_raw);
    let end = tokio::select! {
        status = child.wait() => Ok(end_of(status?)),
        () = sleep(limit) => Err(End::TimedOut),
        () = stops(&mut stopping) => Err(End::Stopped),
    };
    let end = match end {
        Ok(end) => end,
        Err(end) => {
            signal(group, Signal::SIGTERM);
            // Either it ends by itself or it is killed below.
            let _ = timeout(GRACE, child.wait()).await;
            end
        }
    };
    // What it started ends with it. The number of the group is not given to another as long as one of it lives.
    signal(group, Signal::SIGKILL);
    let _ = child.wait().await;
    Ok(end)
}

/// Until the daemon stops.
pub async fn stops(stopping: &mut watch::Receiver<bool>) {
    // That the other end is gone means the same.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Sends a signal to all that a hook started, if there are any left.
pub fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // There may be none left.
        let _ = killpg(group, signal);
    }
}

fn end_of(status: ExitStatus) -> End {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, signal) => End::Killed(signal.unwrap_or_default()),
    }
}

fn listen(child: &mut Child, output: Output) -> Vec<JoinHandle<()>> {
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let stdout = stdout.map(|stream| tokio::spawn(output.clone().read(stream, true)));
    let stderr = stderr.map(|stream| tokio::spawn(output.read(stream, false)));
    stdout.into_iter().chain(stderr).collect()
}

fn feed(mut stdin: ChildStdin, text: String) -> JoinHandle<()> {
    tokio::spawn(async move {
        // A hook need not read.
        let _ = stdin.write_all(text.as_bytes()).await;
        let _ = stdin.write_all(b"\n").await;
    })
}

/// A private folder that is removed with all that is in it.
pub struct Folder(
    /// Where it is.
    pub PathBuf,
);

impl Folder {
    fn new(parent: &Path) -> io::Result<Self> {
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700).create(parent)?;
        let path = parent.join(format!("{:016x}", rand::random::<u64>()));
        private.recursive(false).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.0);
        // A hook may have put much into it.
        let remove = move || std::fs::remove_dir_all(path);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => drop(remove()),
        }
    }
}
