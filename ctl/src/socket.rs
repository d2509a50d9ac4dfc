//! Which daemon is meant: the choice of the control socket, and what to say when nobody answers there.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use p2p_wire::control::{ErrorKind, Platform, SYSTEM_SOCKET, user_sockets};

use crate::error::{Error, plain_io};

/// The socket of the daemon that is meant.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Whose daemon that is.
    pub(crate) whose: Whose,
}

/// Whose daemon is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The user's.
    User,
    /// The system's.
    System,
    /// The one at a path that was given, by `--socket` or `$P2PD_SOCKET`.
    Given,
}

/// What the command line says about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// `--socket`.
    pub(crate) socket: Option<PathBuf>,
    /// `--user`.
    pub(crate) user: bool,
    /// `--system`.
    pub(crate) system: bool,
}

impl Socket {
    /// The wish, else `$P2PD_SOCKET`, else the user's socket if there is one, else the system's if there is one, else the user's.
    pub(crate) fn choose(wish: &Wish, env: impl Fn(&str) -> Option<OsString>, uid: u32) -> Self {
        let given = |path: PathBuf| Self {
            path,
            whose: Whose::Given,
        };
        let system = || Self {
            path: SYSTEM_SOCKET.into(),
            whose: Whose::System,
        };
        if let Some(path) = &wish.socket {
            return given(path.clone());
        }
        if wish.system {
            return system();
        }
        if !wish.user
            && let Some(path) = env("P2PD_SOCKET").filter(|path| !path.is_empty())
        {
            return given(path.into());
        }
        let candidates = user_sockets(Platform::HERE, env, uid);
        let there = candidates.iter().find(|path| exists(path));
        if there.is_none() && !wish.user && exists(Path::new(SYSTEM_SOCKET)) {
            return system();
        }
        let path = there
            .or(candidates.first())
            .cloned()
            .unwrap_or_else(|| SYSTEM_SOCKET.into());
        Self {
            path,
            whose: Whose::User,
        }
    }

    /// The three lines for a connection that failed.
    pub(crate) fn unreachable(&self, error: &io::Error) -> Error {
        let at = self.path.display();
        let (reason, why) = match error.kind() {
            io::ErrorKind::NotFound => (format!("no socket at {at}"), self.not_running()),
            io::ErrorKind::ConnectionRefused => (
                format!("nobody listens at {at}"),
                "The daemon ended and left its socket behind.",
            ),
            io::ErrorKind::PermissionDenied => return self.forbidden(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => return self.silent(),
            _ => (format!("{} at {at}", plain_io(error)), self.not_running()),
        };
        Error::new(
            ErrorKind::Unreachable,
            format!("cannot reach p2pd: {reason}"),
            why,
            self.how_to_start(),
        )
    }

    /// The three lines for a daemon that does not answer in time.
    pub(crate) fn silent(&self) -> Error {
        Error::new(
            ErrorKind::Unreachable,
            format!("cannot reach p2pd: no answer at {}", self.path.display()),
            "The daemon is there, but too busy to answer, or stuck.",
            "Wait longer with --connect-timeout 30s, or restart it:  p2pctl daemon restart",
        )
    }

    /// The three lines for a connection that ends in the middle of something.
    pub(crate) fn lost(&self) -> Error {
        Error::new(
            ErrorKind::Unreachable,
            format!("p2pd closed the connection at {}", self.path.display()),
            "The daemon stopped or was restarted. Nothing that it had verified is lost.",
            "Look:  p2pctl status   start it:  p2pctl daemon start   and repeat the command",
        )
    }

    fn forbidden(&self) -> Error {
        let (why, fix) = match self.whose {
            Whose::System => (
                "The system's daemon serves root and the members of group p2p.",
                "Join the group, then log in anew:  sudo usermod -aG p2p $USER",
            ),
            Whose::User | Whose::Given => (
                "A user's daemon serves that user and root alone.",
                "Run p2pctl as the user whose daemon it is, or use your own:  p2pctl --user ...",
            ),
        };
        Error::new(
            ErrorKind::Permission,
            format!(
                "cannot reach p2pd: permission denied at {}",
                self.path.display()
            ),
            why,
            fix,
        )
    }

    fn not_running(&self) -> &'static str {
        match self.whose {
            Whose::User => "The daemon is not running for your user.",
            Whose::System => "The system's daemon is not running.",
            Whose::Given => "No daemon runs at the socket that --socket or P2PD_SOCKET names.",
        }
    }

    fn how_to_start(&self) -> String {
        match self.whose {
            Whose::User => "Start it:  p2pctl daemon enable".to_owned(),
            Whose::System => "Start it:  sudo p2pctl --system daemon enable".to_owned(),
            Whose::Given => format!(
                "Start it:  p2pctl --socket {} daemon start",
                self.path.display()
            ),
        }
    }
}

/// A socket in a folder that may not be looked into is there as far as the choice goes: the error will say so. So is a pipe of Windows:
/// to look at one is to connect to it.
fn exists(path: &Path) -> bool {
    if cfg!(windows) {
        return true;
    }
    match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a Path)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.as_os_str().to_owned())
        }
    }

    #[test]
    fn what_was_asked_for_wins_over_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let given = Path::new("/given");
        let pairs = [("P2PD_SOCKET", given), ("XDG_RUNTIME_DIR", dir.path())];
        let choose = |wish: Wish| Socket::choose(&wish, env(&pairs), 1000);

        assert_eq!(choose(Wish::default()).path, given);
        let user = choose(Wish {
            user: true,
            ..Wish::default()
        });
        assert_eq!(
            (user.path, user.whose),
            (dir.path().join("p2pd/control.sock"), Whose::User)
        );
        let system = choose(Wish {
            system: true,
            ..Wish::default()
        });
        assert_eq!(
            (system.path.as_path(), system.whose),
            (Path::new(SYSTEM_SOCKET), Whose::System)
        );
        let named = choose(Wish {
            socket: Some("/x".into()),
            ..Wish::default()
        });
        assert_eq!((named.path, named.whose), ("/x".into(), Whose::Given));
    }

    #[test]
    fn the_socket_in_the_state_folder_is_found_where_there_is_no_runtime_folder() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("p2p/control.sock");
        std::fs::create_dir(dir.path().join("p2p")).unwrap();
        std::fs::write(&socket, "").unwrap();
        let pairs = [("XDG_STATE_HOME", dir.path())];
        let chosen = Socket::choose(&Wish::default(), env(&pairs), 4_000_000);
        assert_eq!(chosen.path, socket);
    }
}
