//! The side of the commands: to a running tracker over its socket, else on the database itself.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::execute::{Output, execute};
use super::{Answer, Request};
use crate::config::Config;
use crate::service::{StartError, open};
use crate::state::{StateDir, admin_socket};

/// Why a command could not be brought to a tracker.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The running tracker's socket may not be opened.
    #[error(
        "cannot speak to the running tracker at {path}: {error}\n  Run this as root or as the tracker's user (sudo -u p2p-tracker ...)."
    )]
    Socket {
        /// Its socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No tracker runs, and its state cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The connection broke.
    #[error(
        "the connection to the tracker broke: {0}\n  Look into its log for why (journalctl -u p2p-tracker), and try again."
    )]
    Broken(io::Error),
    /// It needs a running tracker.
    #[error(
        "no tracker runs on {0}\n  Only a running tracker has a log to follow; start it, or leave -f out."
    )]
    NotRunning(PathBuf),
    /// The backup's file cannot be written.
    #[error("cannot write {path}: {error}\n  Name a new file, in a folder that you may write to.")]
    Target {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Brings `request` to the tracker of `state_dir` and gives each answer to `take`; a backup is written to `target`.
pub async fn call(
    config: Config,
    state_dir: &Path,
    request: Request,
    target: Option<&Path>,
    take: impl FnMut(Answer) + Send,
) -> Result<(), AdminError> {
    // Not after minutes of copying.
    if let Some(target) = target.filter(|target| target.symlink_metadata().is_ok()) {
        return Err(AdminError::Target {
            path: target.to_owned(),
            error: io::Error::new(io::ErrorKind::AlreadyExists, "it exists already"),
        });
    }
    let path = admin_socket(state_dir);
    match UnixStream::connect(&path).await {
        Ok(stream) => remote(stream, &request, target, take).await,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            local(config, state_dir, request, target, take).await
        }
        Err(error) => Err(AdminError::Socket { path, error }),
    }
}

async fn remote(
    mut stream: UnixStream,
    request: &Request,
    target: Option<&Path>,
    mut take: impl FnMut(Answer) + Send,
) -> Result<(), AdminError> {
    let mut line = serde_json::to_vec(request).expect("requests are JSON");
    line.push(b'\n');
    stream.write_all(&line).await.map_err(AdminError::Broken)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream
            .read_line(&mut line)
            .await
            .map_err(AdminError::Broken)?
            == 0
        {
            return Ok(());
        }
        let answer =
            serde_json::from_str(&line).map_err(|error| AdminError::Broken(error.into()))?;
        if let (Answer::Database(len), Some(target)) = (&answer, target) {
            write_new(target, &mut (&mut stream).take(*len), *len).await?;
        }
        take(answer);
    }
}

async fn local(
    config: Config,
    state_dir: &Path,
    request: Request,
    target: Option<&Path>,
    take: impl FnMut(Answer) + Send,
) -> Result<(), AdminError> {
    if matches!(request, Request::Log { follow: true, .. }) {
        return Err(AdminError::NotRunning(state_dir.to_owned()));
    }
    let lock = StateDir::lock(state_dir, "administration").map_err(StartError::from)?;
    let tracker = open(config, &lock).await?;
    let mut output = LocalOutput {
        take,
        target,
        failed: None,
    };
    execute(&tracker, request, state_dir, &mut output).await;
    let failed = output.failed.take();
    tracker.close().await;
    failed.map_or(Ok(()), Err)
}

struct LocalOutput<'a, F> {
    take: F,
    target: Option<&'a Path>,
    failed: Option<AdminError>,
}

impl<F: FnMut(Answer) + Send> Output for LocalOutput<'_, F> {
    async fn send(&mut self, answer: Answer) -> bool {
        (self.take)(answer);
        true
    }

    async fn send_file(&mut self, path: &Path) -> io::Result<()> {
        let Some(target) = self.target else {
            return Ok(());
        };
        let mut file = tokio::fs::File::open(path).await?;
        let len = file.metadata().await?.len();
        match write_new(target, &mut file, len).await {
            Ok(()) => (self.take)(Answer::Database(len)),
            Err(error) => self.failed = Some(error),
        }
        Ok(())
    }
}

/// Writes a new private file, whole and synced; a file that is there is not overwritten, a broken one does not stay.
async fn write_new(
    target: &Path,
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    len: u64,
) -> Result<(), AdminError> {
    let failed = |error| AdminError::Target {
        path: target.to_owned(),
        error,
    };
    let file = tokio::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .await;
    let mut file = file.map_err(failed)?;
    let written = async {
        let copied = tokio::io::copy(from, &mut file).await?;
        if copied != len {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the copy ended early",
            ));
        }
        file.sync_all().await
    };
    let written = written.await;
    if written.is_err() {
        let _ = tokio::fs::remove_file(target).await;
    }
    written.map_err(failed)
}
