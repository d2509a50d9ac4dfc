//! What can be fetched, as it stands on the command line.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use p2p_wire::magnet::Magnet;

use crate::error::Error;

/// What a target on the command line is.
pub(crate) enum Target {
    /// A file that p2pctl reads.
    Torrent(PathBuf),
    /// What the daemon looks up.
    Named,
}

/// A name that ends in `.torrent` or begins as a path does is a file, unless it is not there and may be a name in the catalogue.
pub(crate) fn what_is(target: &str) -> Result<Target, Error> {
    if target.starts_with("magnet:") {
        return match target.parse::<Magnet>() {
            Ok(_) => Ok(Target::Named),
            Err(error) => Err(Error::usage(
                format!("{target:?} is no magnet link that can be used"),
                error.to_string(),
            )),
        };
    }
    if target.starts_with("http://") || target.starts_with("https://") {
        return Ok(Target::Named);
    }
    let path = Path::new(target);
    let as_path = ["/", "./", "../"].iter().any(|p| target.starts_with(p));
    let torrent = target.to_ascii_lowercase().ends_with(".torrent");
    let name = target.split('/').count() >= 3 && !as_path;
    match (as_path || torrent) && (!name || path.exists()) {
        true => Ok(Target::Torrent(path.to_owned())),
        false => Ok(Target::Named),
    }
}

/// The targets, with `-` replaced by the lines of standard input that are not empty.
pub(crate) fn expand(targets: &[String]) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for target in targets {
        if target != "-" {
            all.push(target.clone());
            continue;
        }
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| Error::file("cannot read standard input", &error))?;
            let line = line.trim();
            if !line.is_empty() {
                all.push(line.to_owned());
            }
        }
    }
    match all.is_empty() {
        true => Err(Error::usage(
            "nothing to fetch",
            "Standard input names no target.",
        )),
        false => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torrent_is_a_file_unless_it_can_only_be_a_name_in_the_catalogue() {
        let file = |target| matches!(what_is(target), Ok(Target::Torrent(_)));
        for target in ["x.torrent", "a/x.torrent", "./x", "/tmp/x", "../x.TORRENT"] {
            assert!(file(target), "{target}");
        }
        for target in [
            "ann/Public/x.torrent",
            "3f2a",
            "http://h/x.torrent",
            "ann/Public/big.iso@2",
        ] {
            assert!(!file(target), "{target}");
        }
    }
}
