//! `p2pctl verify` against a disk that changed bytes by itself.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use p2p_tests::content::{generate, sha1_of};
use p2p_tests::lab::{Lab, Programs};

const LEN: u64 = 10_000_000;
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_byte_that_changed_is_found_named_and_fetched_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "[shares]\nsettle = \"1s\"\n")?;
    let bob = lab.member("bob", "")?;
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    generate(&share.join("big.iso"), LEN, 7)?;
    let shared = ann.json(&["share", &share.display().to_string()])?;
    ensure!(shared[0]["published"] == 1, "not waited for: {shared}");
    ann.wait_published("big.iso", LIMIT)?;
    bob.ctl(&["fetch", "ann/Public/big.iso"])?;

    let verified = bob.json(&["verify", "big.iso"])?;
    ensure!(verified[0]["bad_pieces"] == 0, "{verified}");

    let placed = bob.downloads().join("big.iso");
    let modified = fs::metadata(&placed)?.modified()?;
    let file = File::options().read(true).write(true).open(&placed)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, LEN / 2)?;
    file.write_all_at(&[byte[0] ^ 1], LEN / 2)?;
    file.set_modified(modified)?;

    let pieces = verified[0]["pieces"].as_u64().context("no pieces")?;
    let (code, said) = bob.refused(&["verify", "--all"])?;
    ensure!(code == 10, "{code}: {said}");
    ensure!(
        said.contains("big.iso") && said.contains(&format!("1 piece of {pieces} bad")),
        "{said}"
    );
    ensure!(said.contains("fetched again"), "{said}");

    bob.wait_seeding("big.iso", LIMIT)?;
    ensure!(sha1_of(&placed)? == sha1_of(&share.join("big.iso"))?);
    let verified = bob.json(&["verify", "big.iso"])?;
    ensure!(verified[0]["bad_pieces"] == 0, "{verified}");
    Ok(())
}
