//! Who is at the other end of the socket, by the kernel's word, and what that allows.

use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::StreamCommon as _;
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use p2p_wire::control::ErrorKind;

use super::socket::GROUP;
use crate::Fault;
use crate::config::Mode;

/// Groups whose members administer the machine, by the custom of the distributions.
const ADMIN_GROUPS: &[&str] = &["sudo", "wheel"];

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// See everything, fetch into the download folder, pause and resume.
    Use,
    /// Everything.
    Admin,
}

impl Role {
    /// `use` or `admin`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Admin => "admin",
        }
    }

    /// Refuses who is no administrator; `what` is what was asked for.
    pub(super) fn admin(self, what: &str) -> Result<(), Fault> {
        match self {
            Self::Admin => Ok(()),
            Self::Use => Err(Fault::new(
                ErrorKind::Permission,
                format!("you may not {what}"),
                "On the system's daemon that is for root and the groups sudo and wheel",
                "Ask an administrator, or run a daemon of your own:  p2pctl --user daemon start",
            )),
        }
    }

    /// Refuses who may not name files: the daemon would open them with its own rights, which may exceed the caller's.
    pub(super) fn may_name_paths(self, option: &str) -> Result<(), Fault> {
        match self {
            Self::Admin => Ok(()),
            Self::Use => Err(Fault::new(
                ErrorKind::Permission,
                format!("you may not give {option} here"),
                "The system's daemon opens files as its own user, so only administrators may name them",
                "Leave it out, ask an administrator, or run a daemon of your own:  p2pctl --user daemon start",
            )),
        }
    }
}

/// The role of who connected; `None` if it may not connect at all.
pub(super) fn role(stream: &Stream, mode: Mode) -> std::io::Result<Option<Role>> {
    let uid = stream.peer_creds()?.euid();
    Ok(uid.and_then(|uid| role_of(Uid::from_raw(uid), mode)))
}

/// Whether root or the user that p2pd runs as is at the other end.
pub(super) fn is_owner(stream: &Stream) -> bool {
    let uid = stream.peer_creds().ok().and_then(|creds| creds.euid());
    uid.map(Uid::from_raw)
        .is_some_and(|uid| uid.is_root() || uid == geteuid())
}

fn role_of(uid: Uid, mode: Mode) -> Option<Role> {
    if uid.is_root() || uid == geteuid() {
        return Some(Role::Admin);
    }
    if mode == Mode::User {
        return None;
    }
    let groups = groups_of(uid);
    let member = |name: &&str| {
        let group = Group::from_name(name).ok().flatten();
        group.is_some_and(|group| groups.contains(&group.gid))
    };
    if ADMIN_GROUPS.iter().any(member) {
        Some(Role::Admin)
    } else if member(&GROUP) {
        Some(Role::Use)
    } else {
        None
    }
}

/// Groups of a user as the user database has them now. Empty for a user it does not know.
fn groups_of(uid: Uid) -> Vec<Gid> {
    let user = User::from_uid(uid).ok().flatten();
    let groups = user.and_then(|user| {
        let name = std::ffi::CString::new(user.name).ok()?;
        getgrouplist(&name, user.gid).ok()
    });
    groups.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_daemon_is_for_that_user_and_root() {
        let stranger = Uid::from_raw(geteuid().as_raw().wrapping_add(4_000_000));
        for mode in [Mode::User, Mode::System] {
            assert_eq!(role_of(geteuid(), mode), Some(Role::Admin));
            assert_eq!(role_of(Uid::from_raw(0), mode), Some(Role::Admin));
            assert_eq!(role_of(stranger, mode), None);
        }
    }

    #[test]
    fn who_only_uses_the_daemon_cannot_change_it_or_name_files() {
        assert!(Role::Admin.admin("stop p2pd").is_ok());
        let fault = Role::Use.admin("stop p2pd").unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Permission);
        assert!(Role::Use.may_name_paths("--data").is_err());
    }
}
