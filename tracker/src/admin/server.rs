//! The administration socket of a running tracker.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::execute::{Output, execute};
use super::{Answer, Request};
use crate::tracker::Tracker;

/// Commands at once.
const MAX_CLIENTS: usize = 32;
/// Bytes of a request.
const MAX_REQUEST: u64 = 64 * 1_024;
/// A request must come within this time.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// Takes commands on the socket at `path` until `stop` is true. The caller holds the lock of the state folder, so a socket that is there
/// is stale.
pub fn serve(
    tracker: Arc<Tracker>,
    path: &Path,
    stop: watch::Receiver<bool>,
) -> io::Result<impl Future<Output = ()> + use<>> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(path)?;
    // The folder is private already; this holds should someone open it.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(accept(tracker, socket, path.to_owned(), stop))
}

async fn accept(
    tracker: Arc<Tracker>,
    socket: UnixListener,
    path: PathBuf,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let scratch = path.parent().unwrap_or(Path::new(".")).to_owned();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // More than that are closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (tracker, scratch, mut stop) = (Arc::clone(&tracker), scratch.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = client(&tracker, stream, &scratch) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop(place);
        });
    }
    let _ = std::fs::remove_file(&path);
}

async fn client(tracker: &Tracker, stream: UnixStream, scratch: &Path) {
    let (read, write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(MAX_REQUEST));
    let Ok(Ok(_)) = tokio::time::timeout(REQUEST_TIME, read.read_line(&mut line)).await else {
        return;
    };
    let Ok(request) = serde_json::from_str::<Request>(&line) else {
        tracing::warn!(
            "an administration command could not be read; are both programs of the same version?"
        );
        return;
    };
    let mut output = SocketOutput { socket: write };
    let gone = async {
        // The client sends nothing more: the end of its side means that it is gone.
        let mut rest = [0; 1];
        while matches!(read.read(&mut rest).await, Ok(1..)) {}
    };
    tokio::select! {
        () = execute(tracker, request, scratch, &mut output) => {}
        () = gone => {}
    }
}

struct SocketOutput {
    socket: OwnedWriteHalf,
}

impl Output for SocketOutput {
    async fn send(&mut self, answer: Answer) -> bool {
        let mut line = serde_json::to_vec(&answer).expect("answers are JSON");
        line.push(b'\n');
        self.socket.write_all(&line).await.is_ok()
    }

    async fn send_file(&mut self, path: &Path) -> io::Result<()> {
        let mut file = tokio::fs::File::open(path).await?;
        self.send(Answer::Database(file.metadata().await?.len()))
            .await;
        tokio::io::copy(&mut file, &mut self.socket).await?;
        Ok(())
    }
}
