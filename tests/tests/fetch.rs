//! What `p2pctl fetch` says of what it cannot do.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use p2p_tests::content::generate;
use p2p_tests::lab::{Lab, Programs, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_fetch_that_cannot_finish_names_the_pieces_that_nobody_holds() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let slow = "[shares]\nsettle = \"1s\"\n[limits]\nupload = \"2MiB/s\"\nlan_exempt = false\n";
    let mut ann = lab.member("ann", slow)?;
    let bob = lab.member("bob", "")?;
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    generate(&share.join("big.iso"), 20_000_000, 7)?;
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("big.iso", LIMIT)?;
    bob.ctl(&["fetch", "--detach", "ann/Public/big.iso"])?;
    wait_for("a part of big.iso", LIMIT, || {
        let item = bob.item("big.iso")?.context("no item")?;
        Ok((item["done"].as_u64() > Some(2_000_000)).then_some(()))
    })?;
    ann.stop()?;

    // Well before the machine would count as silent.
    let item = wait_for("the number of missing pieces", LIMIT, || {
        let item = bob.item("big.iso")?.context("no item")?;
        Ok((item["missing"].as_u64() > Some(0)).then_some(item))
    })?;
    let lacking = item["pieces"].as_u64().context("pieces")?
        - item["pieces_done"].as_u64().context("pieces_done")?;
    ensure!(item["missing"] == lacking, "{item}");
    let shown = bob.json(&["show", "big.iso", "--pieces"])?;
    let first = &shown["pieces"]["missing"][0];
    let holder = first["last_held_by"].as_str().context("no last holder")?;
    ensure!(holder.starts_with("ann/"), "{first}");
    let (code, said) = bob.refused(&["fetch", "big.iso", "--timeout", "1s"])?;
    let words = format!("nobody is known to hold pieces {}", first["first"]);
    ensure!(
        code == 7 && said.contains(&words) && said.contains(holder),
        "{code}: {said}"
    );

    ann.start()?;
    bob.ctl(&["fetch", "big.iso"])?;
    Ok(())
}

#[test]
fn files_that_a_fetch_left_out_are_not_said_to_be_here() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "[shares]\nsettle = \"1s\"\n")?;
    let bob = lab.member("bob", "")?;
    let share = ann.dir().join("Public");
    fs::create_dir_all(share.join("set"))?;
    for (seed, name) in [(1, "a.iso"), (2, "b.bin")] {
        generate(&share.join("set").join(name), 200_000, seed)?;
    }
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("set", LIMIT)?;
    let only_iso = ["fetch", "ann/Public/set", "--only", "*.iso"];
    bob.ctl(&only_iso)?;
    bob.ctl(&only_iso)?;

    let (code, said) = bob.refused(&["fetch", "ann/Public/set", "--only", "*.bin"])?;
    ensure!(code == 6 && said.contains("*.iso"), "{code}: {said}");
    let (code, told) = bob.refused(&["fetch", "ann/Public/set"])?;
    ensure!(code == 0 && told.contains("--only *.iso"), "{code}: {told}");

    // As it is told to be done.
    let item = bob.item("set")?.context("no item")?;
    let hash = item["info_hash"].as_str().context("no hash")?;
    let path = bob.downloads().join("set").display().to_string();
    bob.ctl(&["rm", hash])?;
    bob.ctl(&["fetch", hash, "--data", &path])?;
    ensure!(bob.downloads().join("set/b.bin").is_file());
    let item = bob.item("set")?.context("no item")?;
    ensure!(
        item["downloaded"].as_u64() < Some(300_000),
        "what was here was fetched again: {item}"
    );
    Ok(())
}

#[test]
fn each_tracker_has_a_catalogue_and_an_announce_url_of_its_own() -> Result<()> {
    let (first, second) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let lab = Lab::start(first.path(), Programs::beside_this()?, "")?;
    let other = Lab::start(second.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "")?;
    ann.ctl(&["tracker", "add", "other", other.url()])?;
    let password = ann.password_file();
    ann.ctl(&[
        "register",
        "other",
        "--username",
        "anna",
        "--password-file",
        &password,
    ])?;
    let source = ann.dir().join("one.bin");
    generate(&source, 200_000, 1)?;
    let source = source.display().to_string();
    let torrent = format!("{source}.torrent");
    ann.ctl(&["create", &source, "-o", &torrent])?;
    ann.ctl(&["fetch", &torrent, "--data", &source])?;
    ann.ctl(&["publish", "one.bin", "--tracker", "other"])?;

    let shown = ann.json(&["show", "one.bin", "--tracker", "other", "--versions"])?;
    ensure!(shown["versions"][0]["owner"] == "anna", "{shown}");
    let shown = ann.json(&["show", "one.bin"])?;
    ensure!(shown["catalogue"].is_null(), "{shown}");
    let link = ann.json(&["link", "one.bin", "--tracker", "other"])?;
    ensure!(link["name"] == "anna/files/one.bin@1", "{link}");
    let personal = format!("{source}.other.torrent");
    ann.ctl(&[
        "link",
        "one.bin",
        "--torrent",
        &personal,
        "--tracker",
        "other",
    ])?;
    let announce = ann.json(&["inspect", &personal])?["trackers"][0][0].clone();
    let announce = announce.as_str().context("no announce URL")?.to_owned();
    ensure!(announce.starts_with(other.url()), "{announce}");

    let (code, said) = ann.refused(&["unpublish", "one.bin"])?;
    ensure!(code != 0, "{said}");
    ann.ctl(&["unpublish", "one.bin", "--tracker", "other"])?;
    let found = ann.json(&["search", "--tracker", "other"])?;
    ensure!(found.as_array().is_some_and(Vec::is_empty), "{found}");
    Ok(())
}
