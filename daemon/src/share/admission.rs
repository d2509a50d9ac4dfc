//! Whether a share may be made beside those there are.

use std::path::Path;

use p2p_wire::control::ErrorKind;
use p2p_wire::metainfo::safe_component;

use super::holder::Holder;
use super::hub::Hub;
use super::ignore::Rules;
use super::store::NewShare;
use crate::Fault;

impl<H: Holder> Hub<H> {
    /// Whether what is asked for makes sense.
    pub(super) fn check_options(&self, path: &Path, new: &NewShare) -> Result<(), Fault> {
        let add = &new.add;
        let what = format!("cannot share {}", path.display());
        let bad =
            |why: String, fix: &str| Err(Fault::new(ErrorKind::Usage, what.clone(), why, fix));
        if let Some(name) = &add.name
            && safe_component(name.as_bytes()) != *name
        {
            return bad(
                format!("{name:?} is no name for a share."),
                "A name is one part of a path, without control characters.",
            );
        }
        if let Some(len) = add.piece_len
            && !(len.is_power_of_two() && (16 * 1024..=64 * 1024 * 1024).contains(&len))
        {
            return bad(
                format!("{len} bytes cannot be the size of a piece."),
                "Give a power of two from 16KiB to 64MiB, or auto.",
            );
        }
        check_globs(&add.exclude)?;
        match &add.tracker {
            Some(tracker) => {
                let trackers = self.trackers.of(new.owner);
                trackers.name_of(Some(tracker)).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Whether the other shares leave room for it.
    pub(super) fn check_others(&self, path: &Path, name: &str, owner: u32) -> Result<(), Fault> {
        let what = format!("cannot share {}", path.display());
        for other in self.folders().iter() {
            let there = other.path.display();
            let overlaps = other.path.starts_with(path) || path.starts_with(&other.path);
            let why = if other.owner != owner {
                if !overlaps {
                    continue;
                }
                // What another user shares is not told.
                return Err(Fault::new(
                    ErrorKind::Conflict,
                    what,
                    "Another user of this machine shares it, or a part of it.",
                    "Share another folder, or ask an administrator:  p2pctl status",
                ));
            } else if other.path == path {
                format!("It is shared already, as {}.", other.name)
            } else if other.path.starts_with(path) {
                format!("It contains {there}, which is shared as {}.", other.name)
            } else if path.starts_with(&other.path) {
                format!("It lies in {there}, which is shared as {}.", other.name)
            } else if other.name == name {
                let why = format!("{there} is shared under the name {name}.");
                let fix = "Give it another name with --name.";
                return Err(Fault::new(ErrorKind::Conflict, what, why, fix));
            } else {
                continue;
            };
            let fix = format!("Stop sharing that first:  p2pctl unshare {}", other.name);
            return Err(Fault::new(ErrorKind::Conflict, what, why, fix));
        }
        Ok(())
    }
}

/// Whether these can be read as globs.
pub(super) fn check_globs(globs: &[String]) -> Result<(), Fault> {
    Rules::new(globs.iter().map(String::as_str))
        .map(drop)
        .map_err(|why| {
            Fault::new(
                ErrorKind::Usage,
                "cannot leave that out",
                format!("{why}."),
                "Write a glob such as \"*.tmp\" or \"build/\".",
            )
        })
}
