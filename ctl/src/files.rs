//! Files that p2pctl itself reads and writes: .torrent files.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::Path;

use p2p_wire::control::ErrorKind;
use p2p_wire::metainfo::{MAX_METAINFO_LEN, Metainfo};
use p2p_wire::units::Size;

use crate::error::Error;
use crate::text;

/// Reads a .torrent file: its bytes, and what they say.
pub(crate) fn read_torrent(path: &Path) -> Result<(Vec<u8>, Metainfo), Error> {
    let shown = text::show_os(path.as_os_str());
    let fault = |error: io::Error| Error::file(format!("cannot read {shown}"), &error);
    torrent_from(File::open(path).map_err(fault)?, &shown)
}

/// Reads a .torrent to its end: its bytes, and what they say. `shown`: what errors call it.
pub(crate) fn torrent_from(from: impl Read, shown: &str) -> Result<(Vec<u8>, Metainfo), Error> {
    let mut bytes = Vec::new();
    let limit = MAX_METAINFO_LEN as u64;
    let read = from.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::file(format!("cannot read {shown}"), &error))?;
    if bytes.len() > MAX_METAINFO_LEN {
        return Err(not_a_torrent(
            shown,
            &format!("It is larger than {}.", Size(limit)),
        ));
    }
    match Metainfo::from_bytes(&bytes) {
        Ok(metainfo) => Ok((bytes, metainfo)),
        Err(error) => Err(not_a_torrent(shown, &error.to_string())),
    }
}

/// Whether a file may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwrite {
    /// Yes.
    Yes,
    /// No: a file that is there is an error.
    No,
}

/// The error for a file that is there already, if it may not be replaced.
pub(crate) fn check_absent(path: &Path, overwrite: Overwrite) -> Result<(), Error> {
    if overwrite == Overwrite::Yes || path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!("{} exists", text::show_os(path.as_os_str())),
        "It is not replaced unasked.",
        "Add --yes to replace it, or give another name.",
    ))
}

/// Writes a file whole or not at all, with these permission bits (less the umask): to a file beside it, synced, then renamed.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let shown = text::show_os(path.as_os_str());
    let fault = |error: io::Error| Error::file(format!("cannot write {shown}"), &error);
    let Some(name) = path.file_name() else {
        return Err(Error::usage(
            format!("{shown} is no name of a file"),
            "A file is to be written there.",
            "Name the file, not its folder.",
        ));
    };
    let mut part = OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(part);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_mode(&mut options, mode);
    let written = options
        .open(&part)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // What is left of the attempt; that it is not there is fine.
        let _gone = fs::remove_file(&part);
    }
    written.map_err(fault)
}

/// The permission bits of a file that is made.
#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, mode: u32) {
    std::os::unix::fs::OpenOptionsExt::mode(options, mode);
}

/// Windows has none: a file is for whom its folder says.
#[cfg(not(unix))]
fn set_mode(_: &mut OpenOptions, _: u32) {}

fn not_a_torrent(shown: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::BadData,
        format!("{shown} is no .torrent that can be used"),
        why,
        "Get it again from where it came from.",
    )
}
