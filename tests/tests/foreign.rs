//! Torrents that were not published: found through the tracker of one's own account.

use anyhow::{Context, Result, ensure};
use p2p_tests::content::{generate, sha1_of};
use p2p_tests::lab::{Lab, Peer, Programs};

/// The .torrent of a new file of ann's, with these announce URLs, and its hash; ann seeds it from where it lies.
fn seeded(ann: &Peer, name: &str, seed: u64, announce: &[&str]) -> Result<(String, String)> {
    let source = ann.dir().join(name);
    generate(&source, 5_000_000, seed)?;
    let source = source.display().to_string();
    let torrent = format!("{source}.torrent");
    let mut create = vec!["create", &source, "-o", &torrent];
    for url in announce {
        create.extend(["--announce", url]);
    }
    ann.ctl(&create)?;
    ann.ctl(&["fetch", &torrent, "--data", &source])?;
    let inspected = ann.json(&["inspect", &torrent])?;
    let hash = inspected["info_hash"].as_str().context("no info_hash")?;
    Ok((torrent, hash.to_owned()))
}

#[test]
fn a_torrent_without_a_tracker_that_can_be_used_is_found_through_ones_own() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "")?;
    let bob = lab.member("bob", "")?;
    let stranger = lab.peer("stranger", "")?;

    let (none, _) = seeded(&ann, "none.bin", 1, &[])?;
    // Of this machine, and not a tracker that bob has added.
    let (unusable, _) = seeded(&ann, "unusable.bin", 2, &["http://127.0.0.1:9/announce"])?;
    let (_, hash) = seeded(&ann, "magnet.bin", 3, &[])?;
    let magnet = format!("magnet:?xt=urn:btih:{hash}");
    for (target, name) in [
        (&none, "none.bin"),
        (&unusable, "unusable.bin"),
        (&magnet, "magnet.bin"),
    ] {
        bob.ctl(&["fetch", target, "--timeout", "60s"])?;
        let fetched = bob.downloads().join(name);
        ensure!(
            sha1_of(&fetched)? == sha1_of(&ann.dir().join(name))?,
            "{name}"
        );
        let shown = bob.json(&["show", name, "--trackers"])?;
        let urls: Vec<&str> = (shown["trackers"].as_array().into_iter().flatten())
            .filter_map(|tracker| tracker["url"].as_str())
            .collect();
        ensure!(
            urls.len() == 1 && urls[0].starts_with(lab.url()),
            "{name}: {shown}"
        );
    }

    // Without an account there is nobody to ask, and that is said.
    let (code, said) = stranger.refused(&["fetch", &none])?;
    ensure!(
        code == 4 && said.contains("nobody to ask"),
        "{code}: {said}"
    );
    Ok(())
}
