//! Where the two meet.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where the system's daemon listens. There is one on Linux alone.
pub const SYSTEM_SOCKET: &str = if cfg!(windows) {
    r"\\.\pipe\p2pd"
} else {
    "/run/p2pd/control.sock"
};

/// By what customs files are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// The folders of XDG.
    Linux,
    /// `~/Library`.
    MacOs,
    /// A named pipe; p2pd has no folders there, for there is none.
    Windows,
}

impl Platform {
    /// That of this program.
    pub const HERE: Self = if cfg!(target_os = "macos") {
        Self::MacOs
    } else if cfg!(windows) {
        Self::Windows
    } else {
        Self::Linux
    };

    /// What stands for `$XDG_CONFIG_HOME` in a home folder where that variable is not set.
    pub fn config(self) -> &'static str {
        match self {
            Self::MacOs => "Library/Application Support",
            Self::Linux | Self::Windows => ".config",
        }
    }

    /// What stands for `$XDG_STATE_HOME` in a home folder where that variable is not set.
    pub fn state(self) -> &'static str {
        match self {
            Self::MacOs => "Library/Application Support",
            Self::Linux | Self::Windows => ".local/state",
        }
    }
}

/// Where a user's daemon listens: candidates in order of preference, for the environment `env` and the user id `uid`.
///
/// `$XDG_RUNTIME_DIR/p2pd/control.sock` where that variable holds an absolute path, and nothing else. Otherwise
/// `/run/user/UID/p2pd/control.sock`, except on macOS, then `p2p/control.sock` in `$XDG_STATE_HOME` or what stands for it. On Windows a
/// named pipe with the user's name, and nothing else.
/// p2pd listens at the first whose folder's parent (`/run/user/UID`) exists, or else at the last, making its folders; p2pctl connects
/// to the first socket that exists. Both look at the environment through this function, so that they meet.
pub fn user_sockets(
    platform: Platform,
    env: impl Fn(&str) -> Option<OsString>,
    uid: u32,
) -> Vec<PathBuf> {
    if platform == Platform::Windows {
        let mut pipe = OsString::from(r"\\.\pipe\p2pd-");
        pipe.push(env("USERNAME").unwrap_or_default());
        return vec![pipe.into()];
    }
    let absolute = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(runtime) = absolute("XDG_RUNTIME_DIR") {
        return vec![runtime.join("p2pd/control.sock")];
    }
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(platform.state())))
        .map(|state| state.join("p2p/control.sock"));
    let run = PathBuf::from(format!("/run/user/{uid}/p2pd/control.sock"));
    // Without a home there must be some candidate, if only to be named in an error.
    let run = (platform == Platform::Linux || state.is_none()).then_some(run);
    run.into_iter().chain(state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(env: &[(&str, &str)]) -> Vec<String> {
        sockets_on(Platform::Linux, env)
    }

    fn sockets_on(platform: Platform, env: &[(&str, &str)]) -> Vec<String> {
        let find = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let paths = user_sockets(platform, find, 1000);
        paths.iter().map(|p| p.display().to_string()).collect()
    }

    #[test]
    fn the_runtime_folder_decides_where_a_user_listens() {
        let env = [("XDG_RUNTIME_DIR", "/run/user/7"), ("HOME", "/home/ann")];
        assert_eq!(sockets(&env), ["/run/user/7/p2pd/control.sock"]);
    }

    #[test]
    fn without_a_runtime_folder_the_state_folder_is_the_fallback() {
        let run = "/run/user/1000/p2pd/control.sock";
        let home = ("HOME", "/home/ann");
        let state = ("XDG_STATE_HOME", "/s");
        let relative = ("XDG_RUNTIME_DIR", "run");
        assert_eq!(
            sockets(&[home, relative]),
            [run, "/home/ann/.local/state/p2p/control.sock"]
        );
        assert_eq!(sockets(&[home, state]), [run, "/s/p2p/control.sock"]);
        assert_eq!(sockets(&[]), [run]);
    }

    #[test]
    fn on_a_mac_the_socket_is_beside_the_state_in_the_library() {
        let env = [("HOME", "/Users/ann")];
        assert_eq!(
            sockets_on(Platform::MacOs, &env),
            ["/Users/ann/Library/Application Support/p2p/control.sock"]
        );
        assert_eq!(sockets_on(Platform::MacOs, &[]).len(), 1);
    }

    #[test]
    fn on_windows_a_user_has_a_pipe_of_their_own() {
        let env = [("USERNAME", "ann"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        assert_eq!(sockets_on(Platform::Windows, &env), [r"\\.\pipe\p2pd-ann"]);
    }
}
