//! Who is at the other end of the socket, by the kernel's word, and what that allows: the one place where this is decided.
//!
//! A user's daemon is for that user and root, and both do everything, as that user. On the system's daemon the members of the group `p2p`
//! do what they like with what is theirs: items, shares, logins, what happens to those. Root and the groups that administer the machine see
//! and change everything. What is nobody's in particular (limits, configuration, which trackers there are) only they change.

use std::io;

use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::StreamCommon as _;
use nix::unistd::{Group, Uid, User, geteuid};
use p2p_wire::control::ErrorKind;

use super::socket::GROUP;
use crate::Fault;
use crate::config::Mode;
use crate::rights::{self, Rights};

/// Groups whose members administer the machine, by the custom of the distributions.
const ADMIN_GROUPS: &[&str] = &["sudo", "wheel"];

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Use the daemon for what is theirs.
    Use,
    /// Everything.
    Admin,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// User id: whom that belongs to which this caller makes, and whose logins are used.
    pub(super) uid: u32,
    role: Role,
    rights: Rights,
}

impl Caller {
    /// `use` or `admin`.
    pub(super) fn role(&self) -> &'static str {
        match self.role {
            Role::Use => "use",
            Role::Admin => "admin",
        }
    }

    /// Whether this caller sees and changes what belongs to the user `owner`.
    pub(super) fn has(&self, owner: u32) -> bool {
        self.whose().is_none_or(|uid| uid == owner)
    }

    /// The user to whose things this caller is confined; nobody for administrators.
    pub(super) fn whose(&self) -> Option<u32> {
        match self.role {
            Role::Use => Some(self.uid),
            Role::Admin => None,
        }
    }

    /// The rights with which to open what this caller names; `None` where the daemon's own count.
    pub(super) fn rights(&self) -> Option<&Rights> {
        match self.role {
            Role::Use => Some(&self.rights),
            Role::Admin => None,
        }
    }

    /// Whether this is root or the user that p2pd runs as.
    pub(super) fn is_owner(&self) -> bool {
        self.rights.uid == 0 || self.rights.uid == geteuid().as_raw()
    }

    /// Refuses who is no administrator; `what` is what was asked for.
    pub(super) fn admin(&self, what: &str) -> Result<(), Fault> {
        match self.role {
            Role::Admin => Ok(()),
            Role::Use => Err(Fault::new(
                ErrorKind::Permission,
                format!("you may not {what}"),
                "On the system's daemon that is for root and the groups sudo and wheel",
                "Ask an administrator, or run a daemon of your own:  p2pctl --user daemon start",
            )),
        }
    }
}

/// User and group id of who connected.
pub(super) fn peer(stream: &Stream) -> io::Result<(u32, u32)> {
    let peer = stream.peer_creds()?;
    let ids = peer.euid().zip(peer.egid());
    ids.ok_or_else(|| io::Error::other("the kernel does not say who connected"))
}

/// The caller with these user and group ids; `None` if they may not use the daemon. The user database, which may be on another machine, is
/// asked on a blocking thread, and not at all for root and the daemon's own user.
pub(super) async fn caller((uid, gid): (u32, u32), mode: Mode) -> Option<Caller> {
    let daemon = geteuid().as_raw();
    let known = if uid == 0 || uid == daemon || mode == Mode::User {
        (Vec::new(), Vec::new())
    } else {
        let groups = tokio::task::spawn_blocking(move || groups_of(uid, gid));
        groups.await.unwrap_or_default()
    };
    let (groups, names) = known;
    judge(Rights { uid, gid, groups }, &names, mode, daemon)
}

/// PURE. What the user with these rights and names of groups may do on a daemon of `mode` that runs as `daemon`.
fn judge(rights: Rights, names: &[String], mode: Mode, daemon: u32) -> Option<Caller> {
    let uid = rights.uid;
    let in_one_of = |groups: &[&str]| names.iter().any(|name| groups.contains(&name.as_str()));
    let trusted = uid == 0 || uid == daemon;
    let (uid, role) = match mode {
        // Root acts for the user whose daemon it is: there is one account, and one owner.
        Mode::User if trusted => (daemon, Role::Admin),
        Mode::User => return None,
        Mode::System if trusted || in_one_of(ADMIN_GROUPS) => (uid, Role::Admin),
        Mode::System if in_one_of(&[GROUP]) => (uid, Role::Use),
        Mode::System => return None,
    };
    Some(Caller { uid, role, rights })
}

/// Groups of a user as the user database has them now, `gid` among them; and the names of those that count here.
fn groups_of(uid: u32, gid: u32) -> (Vec<u32>, Vec<String>) {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let mut groups = user.as_ref().map(rights::groups_of).unwrap_or_default();
    // The group it runs as need not be one of the user database.
    if !groups.contains(&gid) {
        groups.push(gid);
    }
    let named = ADMIN_GROUPS.iter().copied().chain([GROUP]);
    let names = named.filter(|name| {
        let group = Group::from_name(name).ok().flatten();
        group.is_some_and(|group| groups.contains(&group.gid.as_raw()))
    });
    let names = names.map(str::to_owned).collect();
    (groups, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAEMON: u32 = 990;
    const ANN: u32 = 1_000;
    const BEN: u32 = 1_001;

    fn judged(uid: u32, groups: &[&str], mode: Mode) -> Option<Caller> {
        let rights = Rights {
            uid,
            gid: uid,
            groups: Vec::new(),
        };
        let names: Vec<String> = groups.iter().map(|name| (*name).to_owned()).collect();
        judge(rights, &names, mode, DAEMON)
    }

    #[test]
    fn a_users_daemon_is_for_that_user_and_root_and_both_are_that_user() {
        for uid in [0, DAEMON] {
            let caller = judged(uid, &[], Mode::User).unwrap();
            assert_eq!((caller.uid, caller.role()), (DAEMON, "admin"));
        }
        assert_eq!(judged(ANN, &["p2p", "sudo"], Mode::User), None);
    }

    #[test]
    fn the_systems_daemon_is_for_its_group_and_administrators() {
        let role = |uid, groups: &[&str]| judged(uid, groups, Mode::System).map(|c| c.role());
        assert_eq!(role(0, &[]), Some("admin"));
        assert_eq!(role(DAEMON, &[]), Some("admin"));
        assert_eq!(role(ANN, &["wheel"]), Some("admin"));
        assert_eq!(role(ANN, &["p2p", "sudo"]), Some("admin"));
        assert_eq!(role(ANN, &["p2p"]), Some("use"));
        assert_eq!(role(ANN, &["users"]), None);
        assert_eq!(role(ANN, &[]), None);
    }

    #[test]
    fn a_member_has_what_is_theirs_and_an_administrator_everything() {
        let ann = judged(ANN, &["p2p"], Mode::System).unwrap();
        assert!(ann.has(ANN) && !ann.has(BEN) && !ann.has(0));
        assert_eq!(ann.whose(), Some(ANN));
        let root = judged(0, &[], Mode::System).unwrap();
        assert!(root.has(ANN) && root.has(BEN) && root.has(0));
        assert_eq!(root.whose(), None);
    }

    #[test]
    fn what_a_member_names_is_opened_with_their_rights() {
        let ann = judged(ANN, &["p2p"], Mode::System).unwrap();
        assert_eq!(ann.rights().map(|rights| rights.uid), Some(ANN));
        assert_eq!(judged(0, &[], Mode::System).unwrap().rights(), None);
    }

    #[test]
    fn what_is_nobodys_only_administrators_change() {
        let fault = judged(ANN, &["p2p"], Mode::System)
            .unwrap()
            .admin("stop p2pd")
            .unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Permission);
        assert!(
            judged(ANN, &["sudo"], Mode::System)
                .unwrap()
                .admin("stop p2pd")
                .is_ok()
        );
    }
}
