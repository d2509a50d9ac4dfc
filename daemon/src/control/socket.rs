//! The socket file: where it is made, who may open it, and whose it is.
//!
//! Only who holds the lock on the state folder removes a socket file, and only one that nobody listens at: so a daemon can neither take
//! another's place nor be kept out by what a crash left behind.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName as _};
use interprocess::os::unix::local_socket::ListenerOptionsExt as _;
use interprocess::os::unix::uds_local_socket;
use nix::errno::Errno;
use nix::unistd::Group;

use crate::config::Mode;

/// Group whose members may use the system's daemon.
pub(super) const GROUP: &str = "p2p";

/// Why the socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A program listens there.
    #[error("control socket {} is in use by another program", .0.display())]
    InUse(PathBuf),
    /// There is a file of another kind.
    #[error("{} is there and is no socket; give another path with --socket", .0.display())]
    NotASocket(PathBuf),
    /// It was left behind, but without the state folder's lock it may not be removed.
    #[error("control socket {} was left by another daemon", .0.display())]
    LeftBehind(PathBuf),
    /// The one that the service manager gave cannot be used.
    #[error("the socket of the service manager: {0}")]
    Inherited(io::Error),
    /// The folder or the socket cannot be made.
    #[error("control socket {}: {source}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Listens at `path`: mode 0600 for a user's daemon, 0660 and group `p2p` for the system's. Folders that are missing are made, 0700 for
/// a user's. `may_remove`: the caller holds the lock on the state folder.
pub(super) fn listen(path: &Path, mode: Mode, may_remove: bool) -> Result<Listener, SocketError> {
    let io = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(dir) = path.parent() {
        let (dir_mode, recursive) = match mode {
            Mode::User => (0o700, true),
            Mode::System => (0o755, true),
        };
        let mut builder = DirBuilder::new();
        builder.recursive(recursive).mode(dir_mode);
        builder.create(dir).map_err(io)?;
    }
    clear(path, may_remove)?;
    let permissions: u16 = match mode {
        Mode::User => 0o600,
        Mode::System => 0o660,
    };
    let name = path.to_fs_name::<GenericFilePath>().map_err(io)?;
    let listener = ListenerOptions::new()
        .name(name)
        .mode(permissions.into())
        .create_tokio()
        .map_err(io)?;
    // The umask took its part of the mode, and connecting needs the right to write.
    fs::set_permissions(path, Permissions::from_mode(permissions.into())).map_err(io)?;
    if mode == Mode::System {
        match Group::from_name(GROUP) {
            // As when the service's own group is this one: then it need not be allowed to give files away.
            Ok(Some(group)) if owned_by(path).map_err(io)? == group.gid.as_raw() => {}
            Ok(Some(group)) => {
                let changed = nix::unistd::chown(path, None, Some(group.gid));
                changed.map_err(|errno| io(errno.into()))?;
            }
            // In a container from nothing not even the file of groups is there.
            Ok(None) | Err(Errno::ENOENT) => tracing::warn!(
                "there is no group {GROUP}: only the user p2pd runs as and root can reach it"
            ),
            Err(errno) => return Err(io(errno.into())),
        }
    }
    Ok(listener)
}

/// Listens at a socket that is bound already.
pub(super) fn inherited(socket: UnixListener) -> Result<Listener, SocketError> {
    let listener = uds_local_socket::tokio::Listener::try_from(OwnedFd::from(socket));
    listener.map(Listener::from).map_err(SocketError::Inherited)
}

/// The group of a file.
fn owned_by(path: &Path) -> io::Result<u32> {
    Ok(fs::symlink_metadata(path)?.gid())
}

/// Whether somebody listens at `path`: without waiting, as one that stands still with a full backlog would never answer.
#[cfg(target_os = "linux")]
fn knock(path: &Path) -> io::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd as _;
    let kind = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, kind, None)?;
    Ok(connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?)
}

/// Whether somebody listens at `path`. A full backlog refuses at once, where Linux lets wait: it looks as if nobody did, but only another
/// daemon, with another state folder, can have one here.
#[cfg(not(target_os = "linux"))]
fn knock(path: &Path) -> io::Result<()> {
    std::os::unix::net::UnixStream::connect(path).map(drop)
}

/// Makes way at `path`: what is left there is removed, what is in use is not.
fn clear(path: &Path, may_remove: bool) -> Result<(), SocketError> {
    let io = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match knock(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            if !may_remove {
                return Err(SocketError::LeftBehind(path.to_owned()));
            }
            fs::remove_file(path).map_err(io)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full backlog is somebody listening, too.
        _ => Err(SocketError::InUse(path.to_owned())),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
    };

    use super::*;

    #[test]
    fn a_daemon_that_stands_still_is_in_use_and_does_not_hold_up_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let kind = SockFlag::empty();
        let busy = socket(AddressFamily::Unix, SockType::Stream, kind, None).unwrap();
        bind(busy.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&busy, Backlog::new(0).unwrap()).unwrap();
        let kind = SockFlag::SOCK_NONBLOCK;
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let one = socket(AddressFamily::Unix, SockType::Stream, kind, None).unwrap();
                let connected = connect(one.as_raw_fd(), &UnixAddr::new(&path).unwrap());
                (one, connected)
            })
            .collect();
        assert!(
            waiting
                .iter()
                .any(|(_, connected)| *connected == Err(Errno::EAGAIN))
        );
        let (done, is_done) = std::sync::mpsc::channel();
        let at = path.clone();
        std::thread::spawn(move || done.send(clear(&at, true)));
        let cleared = is_done.recv_timeout(std::time::Duration::from_secs(10));
        assert!(
            matches!(cleared, Ok(Err(SocketError::InUse(_)))),
            "{cleared:?}"
        );
        drop((waiting, busy));
        clear(&path, true).unwrap();
        assert!(!path.exists());
    }
}
