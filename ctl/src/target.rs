//! What can be fetched, as it stands on the command line.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use p2p_wire::magnet::Magnet;

use crate::error::Error;
use crate::files;

/// What a target on the command line is.
enum Target {
    /// A file that p2pctl reads.
    Torrent(PathBuf),
    /// What the daemon looks up.
    Named,
}

/// A name that ends in `.torrent` or begins as a path does is a file, unless it is not there and may be a name in the catalogue.
fn what_is(target: &str) -> Result<Target, Error> {
    if target.starts_with("magnet:") {
        return match target.parse::<Magnet>() {
            Ok(_) => Ok(Target::Named),
            Err(error) => Err(Error::usage(
                format!("{target:?} is no magnet link that can be used"),
                error.to_string(),
                "Copy it once more, whole and in quotes, or take the info-hash alone.",
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

/// A target with what p2pctl itself reads of it.
pub(crate) enum Given {
    /// The daemon looks it up.
    Named(String),
    /// The bytes of a .torrent.
    Torrent(Vec<u8>),
}

/// The targets, files read. In place of `-` comes what is on standard input: a .torrent, or targets, one a line; empty lines are left out.
pub(crate) fn expand(targets: &[String]) -> Result<Vec<Given>, Error> {
    let mut all = Vec::new();
    for target in targets {
        if target == "-" {
            read_targets(&mut std::io::stdin().lock(), &mut all)?;
        } else {
            all.push(given(target)?);
        }
    }
    match all.is_empty() {
        true => Err(Error::usage(
            "nothing to fetch",
            "Standard input names no target.",
            "Send it a .torrent, or targets, one a line.",
        )),
        false => Ok(all),
    }
}

fn given(target: &str) -> Result<Given, Error> {
    match what_is(target)? {
        Target::Torrent(path) => Ok(Given::Torrent(files::read_torrent(&path)?.0)),
        Target::Named => Ok(Given::Named(target.to_owned())),
    }
}

fn read_targets(input: &mut impl BufRead, all: &mut Vec<Given>) -> Result<(), Error> {
    let fault = |error| Error::file("cannot read standard input", &error);
    // A .torrent is a dictionary whose first key has its length in front; no target begins so.
    if let [b'd', b'0'..=b'9', ..] = input.fill_buf().map_err(fault)? {
        let (bytes, _) = files::torrent_from(input, "standard input")?;
        all.push(Given::Torrent(bytes));
        return Ok(());
    }
    for line in input.lines() {
        let line = line.map_err(fault)?;
        let line = line.trim();
        if !line.is_empty() {
            all.push(given(line)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_input_is_targets_or_a_torrent() {
        let mut all = Vec::new();
        read_targets(&mut &b"3f2a\n\n  ann/Public/a  \n"[..], &mut all).unwrap();
        let names = all.iter().map(|given| match given {
            Given::Named(name) => name.as_str(),
            Given::Torrent(_) => "a torrent",
        });
        assert_eq!(names.collect::<Vec<_>>(), ["3f2a", "ann/Public/a"]);
        let torrent =
            b"d4:infod6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
        let mut all = Vec::new();
        read_targets(&mut &torrent[..], &mut all).unwrap();
        assert!(matches!(&all[..], [Given::Torrent(bytes)] if bytes == torrent));
        assert!(
            read_targets(&mut &torrent[..20], &mut all).is_err(),
            "cut short"
        );
    }

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
