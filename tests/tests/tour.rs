//! The guided tour with a small file.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use p2p_tests::lab::Programs;
use p2p_tests::tour::{self, Options};

#[test]
fn a_file_dropped_in_reaches_two_peers_that_also_feed_each_other() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = Options {
        file: None,
        len: 40_000_001,
        upload: Some("6MiB/s".into()),
        dir: dir.path().to_owned(),
        limit: Duration::from_secs(90),
    };
    let mut shown = Vec::new();
    let outcome = tour::run(&options, Programs::beside_this()?, &mut shown)
        .with_context(|| String::from_utf8_lossy(&shown).into_owned())?;
    let shown = String::from_utf8_lossy(&shown);
    ensure!(
        outcome.sha1.iter().all(|sum| *sum == outcome.sha1[0]),
        "{shown}"
    );
    let from_bob = outcome.c_received.get("bob").copied().unwrap_or_default();
    ensure!(
        from_bob > outcome.len / 10,
        "cleo got {from_bob} bytes from bob\n{shown}"
    );
    // As `bob/vm reports pieces 0-11, 13-27 of big.iso, now held by 2 to 3`.
    for peer in ["bob/", "cleo/"] {
        let rose = outcome.points.iter().any(|line| {
            let held = line.rsplit("held by ").next().unwrap_or_default();
            let ranges = line.split(" of ").next().unwrap_or_default();
            line.starts_with(peer) && ranges.contains('-') && held.contains(['2', '3'])
        });
        let points = &outcome.points;
        ensure!(rose, "no points of {peer} that rise: {points:?}\n{shown}");
    }
    Ok(())
}
