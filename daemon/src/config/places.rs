//! Where things are, by mode: a user's daemon follows the XDG folders (on macOS those of `~/Library`, where they are not set), the system's
//! the folders that systemd names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use p2p_wire::control::{Platform, SYSTEM_SOCKET, user_sockets};

/// Whose daemon this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One user's: that user and root may use it.
    User,
    /// The machine's: group `p2p` may use it, administrators may change it.
    System,
}

impl Mode {
    /// `user` or `system`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
        }
    }

    /// User id of whom that belongs to which the configuration file names: the user, or root for the machine's daemon.
    pub fn owner(self) -> u32 {
        match self {
            Self::User => nix::unistd::geteuid().as_raw(),
            Self::System => 0,
        }
    }
}

/// Where the files of a daemon are. Absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Whose daemon.
    pub mode: Mode,
    /// Home of the user it runs as, if there is one.
    pub home: Option<PathBuf>,
    /// The configuration file.
    pub config: PathBuf,
    /// True if the user named it: then it must exist.
    pub config_named: bool,
    /// The state folder.
    pub state: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
}

/// What the command line says of places; each wins over the environment.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--state-dir`
    pub state: Option<PathBuf>,
    /// `--socket`
    pub socket: Option<PathBuf>,
}

/// Why there is no place for something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// There is no such daemon here.
    #[error("the machine's daemon (--system) is there on Linux alone; run your own (--user)")]
    NoSystem,
    /// Neither the environment nor the command line says where.
    #[error(
        "no folder for {what}: neither {variable} nor HOME is set to an absolute path; give {option}"
    )]
    NoHome {
        /// What has no place.
        what: &'static str,
        /// Variable that would say.
        variable: &'static str,
        /// Option that would say.
        option: &'static str,
    },
}

impl Places {
    /// Places for `mode` in the environment `env`, for the user `uid`.
    pub fn find(
        mode: Mode,
        given: Given,
        env: impl Fn(&str) -> Option<OsString>,
        uid: u32,
    ) -> Result<Self, PlaceError> {
        if mode == Mode::System && Platform::HERE != Platform::Linux {
            return Err(PlaceError::NoSystem);
        }
        let folder = |name: &str| absolute(&env, name);
        let home = folder("HOME");
        let xdg = |what, variable, below: &str, option| {
            let in_home = || home.as_ref().map(|home| home.join(below));
            let found = folder(variable).or_else(in_home);
            found.ok_or(PlaceError::NoHome {
                what,
                variable,
                option,
            })
        };
        let system = |variable: &str, fallback: &str| {
            folder(variable).unwrap_or_else(|| PathBuf::from(fallback))
        };
        let config_named = given.config.is_some();
        let config = match (given.config, mode) {
            (Some(path), _) => path,
            (None, Mode::User) => xdg(
                "the configuration",
                "XDG_CONFIG_HOME",
                Platform::HERE.config(),
                "--config",
            )?
            .join("p2p/p2pd.toml"),
            (None, Mode::System) => system("CONFIGURATION_DIRECTORY", "/etc/p2p").join("p2pd.toml"),
        };
        let state = match (given.state, mode) {
            (Some(path), _) => path,
            (None, Mode::User) => {
                let below = Platform::HERE.state();
                xdg("the state", "XDG_STATE_HOME", below, "--state-dir")?.join("p2p")
            }
            (None, Mode::System) => system("STATE_DIRECTORY", "/var/lib/p2pd"),
        };
        let socket = match (given.socket, mode) {
            (Some(path), _) => path,
            (None, Mode::User) => user_socket(&env, uid),
            (None, Mode::System) => match folder("RUNTIME_DIRECTORY") {
                Some(dir) => dir.join("control.sock"),
                None => PathBuf::from(SYSTEM_SOCKET),
            },
        };
        Ok(Self {
            mode,
            home,
            config,
            config_named,
            state,
            socket,
        })
    }
}

/// The first candidate whose folder's parent exists, or else the last: p2pctl looks in the same places.
fn user_socket(env: impl Fn(&str) -> Option<OsString>, uid: u32) -> PathBuf {
    let mut candidates = user_sockets(Platform::HERE, env, uid);
    let usable = candidates.iter().position(|path| {
        let parent = path.parent().and_then(Path::parent);
        parent.is_some_and(Path::is_dir)
    });
    candidates.swap_remove(usable.unwrap_or(candidates.len() - 1))
}

/// A folder in the environment; systemd lists several with colons, the first is ours.
fn absolute(env: impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    let value = env(name)?;
    let first = std::env::split_paths(&value).next()?;
    first.is_absolute().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(mode: Mode, env: &[(&str, &str)]) -> Result<Places, PlaceError> {
        let look = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Places::find(mode, Given::default(), look, 4_000_000)
    }

    #[test]
    fn a_user_has_the_xdg_folders() {
        let places = find(
            Mode::User,
            &[("HOME", "/home/ann"), ("XDG_STATE_HOME", "/s")],
        )
        .unwrap();
        assert_eq!(places.config, Path::new("/home/ann/.config/p2p/p2pd.toml"));
        assert_eq!(places.state, Path::new("/s/p2p"));
        // No runtime folder for this user id exists, so the socket is beside the state.
        assert_eq!(places.socket, Path::new("/s/p2p/control.sock"));
    }

    #[test]
    fn the_system_has_the_folders_that_systemd_names() {
        let named = [
            ("STATE_DIRECTORY", "/v/one:/v/two"),
            ("RUNTIME_DIRECTORY", "/r"),
            ("CONFIGURATION_DIRECTORY", "/e"),
        ];
        let places = find(Mode::System, &named).unwrap();
        assert_eq!(places.state, Path::new("/v/one"));
        assert_eq!(places.socket, Path::new("/r/control.sock"));
        assert_eq!(places.config, Path::new("/e/p2pd.toml"));
        let places = find(Mode::System, &[]).unwrap();
        assert_eq!(places.state, Path::new("/var/lib/p2pd"));
        assert_eq!(places.socket, Path::new("/run/p2pd/control.sock"));
        assert_eq!(places.config, Path::new("/etc/p2p/p2pd.toml"));
    }

    #[test]
    fn without_a_home_the_error_says_what_to_give() {
        let error = find(Mode::User, &[("HOME", "not/absolute")]).unwrap_err();
        assert!(error.to_string().contains("--config"), "{error}");
    }
}
