//! Where the two meet.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where the system's daemon listens.
pub const SYSTEM_SOCKET: &str = "/run/p2pd/control.sock";

/// Where a user's daemon listens: candidates in order of preference, for the environment `env` and the user id `uid`.
///
/// `$XDG_RUNTIME_DIR/p2pd/control.sock` where that variable holds an absolute path, and nothing else. Otherwise
/// `/run/user/UID/p2pd/control.sock`, then `$XDG_STATE_HOME/p2p/control.sock` (`~/.local/state/p2p/control.sock`).
/// p2pd listens at the first whose folder's parent (`/run/user/UID`) exists, or else at the last, making its folders; p2pctl connects
/// to the first socket that exists. Both look at the environment through this function, so that they meet.
pub fn user_sockets(env: impl Fn(&str) -> Option<OsString>, uid: u32) -> Vec<PathBuf> {
    let absolute = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(runtime) = absolute("XDG_RUNTIME_DIR") {
        return vec![runtime.join("p2pd/control.sock")];
    }
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("p2p/control.sock"));
    let run = PathBuf::from(format!("/run/user/{uid}/p2pd/control.sock"));
    std::iter::once(run).chain(state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(env: &[(&str, &str)]) -> Vec<String> {
        let find = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let paths = user_sockets(find, 1000);
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
}
