//! The system's daemon, as users of one machine have it: each with what is theirs, administrators with everything.

use std::fs;
use std::os::unix::fs::{lchown, symlink};

use anyhow::{Context as _, Result, ensure};
use p2p_tests::lab::wait_for;
use p2p_tests::machine::{ANN, BEN, DAEMON, LIMIT, machine};
use serde_json::Value;

#[test]
fn what_a_user_shares_is_theirs_and_the_administrators() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some((_lab, machine)) = machine(dir.path())? else {
        return Ok(());
    };
    let public = machine.folder(ANN, "ann/Public", 0o755)?;
    machine.file(ANN, "ann/Public/ann.bin", &[7; 50_000])?;
    machine.log_in(ANN, "ann")?;
    machine.done(ANN, &["share", &public])?;
    machine.wait_items(ANN, &["ann.bin"])?;
    machine.wait_items(0, &["ann.bin"])?;

    machine.refused(ANN, &["rm", "--yes", "ann.bin"], 6, "belongs to a share")?;
    machine.wait_items(BEN, &[])?;
    let shares = |uid| -> Result<usize> {
        Ok(machine.json(uid, &["status"])?["shares"]
            .as_array()
            .map_or(0, Vec::len))
    };
    assert_eq!((shares(ANN)?, shares(BEN)?, shares(0)?), (1, 0, 1));
    for args in [
        &["unshare", &public][..],
        &["unshare", "Public"],
        &["rescan", &public],
        &["pause", "ann.bin"],
        &["show", "ann.bin"],
        &["rm", "--yes", "ann.bin"],
        &["link", "ann.bin"],
    ] {
        machine.refused(BEN, args, 4, "")?;
    }
    machine.refused(
        BEN,
        &["share", &public],
        6,
        "Another user of this machine shares it",
    )?;
    for args in [&["log", "-n", "1000"][..], &["history"]] {
        ensure!(
            !machine.done(BEN, args)?.contains("ann"),
            "{args:?} tells ben of ann"
        );
    }
    for args in [
        &["limit", "up=1MiB/s"][..],
        &["config", "set", "network.port", "1"],
        &["tracker", "rm", "home"],
        &["daemon", "reload"],
    ] {
        machine.refused(BEN, args, 5, "you may not")?;
    }

    // The same name is free for another user; the catalogue tells them apart by account.
    machine.refused(BEN, &["whoami"], 13, "")?;
    machine.log_in(BEN, "ben")?;
    let name = |uid| -> Result<Value> {
        let me = machine.json(uid, &["whoami"])?;
        Ok(me.get(0).unwrap_or(&me)["username"].clone())
    };
    assert_eq!((name(ANN)?, name(BEN)?), ("ann".into(), "ben".into()));
    let public = machine.folder(BEN, "ben/Public", 0o755)?;
    machine.file(BEN, "ben/Public/ben.bin", &[8; 50_000])?;
    machine.done(BEN, &["share", &public])?;
    machine.wait_items(BEN, &["ben.bin"])?;
    for (uid, entry) in [(ANN, "ann/Public/ann.bin"), (BEN, "ben/Public/ben.bin")] {
        wait_for(&format!("{entry} in the catalogue"), LIMIT, || {
            machine.done(uid, &["show", entry]).map(Some)
        })?;
    }
    machine.refused(
        BEN,
        &["fetch", "--detach", "ann/Public/ann.bin"],
        6,
        "Another user of this machine has it",
    )?;
    machine.done(BEN, &["logout"])?;
    assert_eq!(name(ANN)?, "ann");

    machine
        .root(&["unshare", "ben/Public"])
        .err()
        .context("a path of nobody")?;
    machine.root(&["unshare", &public])?;
    machine.wait_items(BEN, &[])?;
    machine.wait_items(ANN, &["ann.bin"])
}

#[test]
fn what_a_user_names_on_the_disk_is_opened_with_their_rights() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some((lab, machine)) = machine(dir.path())? else {
        return Ok(());
    };
    let private = machine.folder(ANN, "ann/private", 0o700)?;
    machine.file(ANN, "ann/private/secret", b"secret")?;
    let data = machine.path("ann/private/secret");
    let hash = "0123456789012345678901234567890123456789";
    for args in [
        &["share", &private][..],
        &["fetch", "--detach", hash, "-o", &private],
        &["fetch", "--detach", hash, "--data", &data],
    ] {
        machine.refused(BEN, args, 5, "You may not use")?;
    }
    machine.refused(
        BEN,
        &["share", &machine.path("ben/none")],
        4,
        "No such file",
    )?;

    // Ann may use it; the daemon may not, and says how to let it.
    machine.refused(
        ANN,
        &["share", &private],
        5,
        "the system's daemon runs as p2pd",
    )?;
    machine.refused(
        ANN,
        &["share", &private],
        5,
        &format!("setfacl -R -m u:p2pd:rX,d:u:p2pd:rX {private}"),
    )?;
    machine.refused(
        ANN,
        &["fetch", "--detach", hash, "-o", &private],
        5,
        "u:p2pd:rwX",
    )?;

    // A folder that both may write to is fetched into.
    let carl = lab.member("carl", "[shares]\nsettle = \"1s\"\n")?;
    let share = carl.dir().join("Public");
    fs::create_dir(&share)?;
    carl.ctl(&["share", &share.display().to_string()])?;
    fs::write(share.join("carl.bin"), vec![9; 200_000])?;
    carl.wait_published("carl.bin", LIMIT)?;
    machine.log_in(BEN, "ben")?;
    let inbox = machine.folder(BEN, "ben/in", 0o777)?;
    machine.done(
        BEN,
        &[
            "fetch",
            "carl/Public/carl.bin",
            "-o",
            &inbox,
            "--timeout",
            "50s",
        ],
    )?;
    assert_eq!(fs::read(machine.path("ben/in/carl.bin"))?, vec![9; 200_000]);
    machine.refused(BEN, &["mv", "carl.bin", &private], 5, "You may not use")?;
    machine.refused(ANN, &["mv", "carl.bin", &inbox], 4, "")?;

    // The folder becomes a link to one that p2pd may change, and ben may not.
    let vault = machine.folder(DAEMON, "vault", 0o700)?;
    machine.file(DAEMON, "vault/carl.bin", b"precious")?;
    fs::rename(&inbox, machine.path("ben/was"))?;
    symlink(&vault, &inbox)?;
    lchown(&inbox, Some(BEN), Some(BEN))?;
    let outbox = machine.folder(BEN, "ben/out", 0o777)?;
    for args in [
        &["rm", "--yes", "--delete-data", "carl.bin"][..],
        &["mv", "carl.bin", &outbox],
    ] {
        machine.refused(BEN, args, 11, "a link of another user")?;
    }
    assert_eq!(fs::read(machine.path("vault/carl.bin"))?, b"precious");
    Ok(())
}

#[test]
fn a_shared_folder_that_becomes_a_link_gives_nothing_that_its_owner_may_not_read() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some((_lab, machine)) = machine(dir.path())? else {
        return Ok(());
    };
    // Where p2pd may pass, and ben may not.
    machine.folder(DAEMON, "closed", 0o700)?;
    let documents = machine.folder(ANN, "closed/Documents", 0o755)?;
    machine.file(ANN, "closed/Documents/diary.txt", b"dear diary")?;
    let whole = machine.folder(BEN, "ben/whole", 0o755)?;
    machine.folder(BEN, "ben/up", 0o755)?;
    let below = machine.folder(BEN, "ben/up/Documents", 0o755)?;
    machine.done(BEN, &["share", &whole, &below])?;
    for path in [&below, &machine.path("ben/up"), &whole] {
        fs::remove_dir(path)?;
    }
    symlink(&documents, &whole)?;
    symlink(machine.path("closed"), machine.path("ben/up"))?;
    machine.done(BEN, &["rescan"])?;
    let shares = || -> Result<Vec<Value>> {
        let status = machine.json(BEN, &["status"])?;
        let shares = status["shares"].as_array();
        Ok(shares.cloned().unwrap_or_default())
    };
    for share in shares()? {
        ensure!(share["state"] == "unavailable", "{share}");
        ensure!(share["items"] == 0, "{share}");
    }
    ensure!(shares()?.len() == 2, "both are there");
    machine.wait_items(0, &[])?;

    // Another folder in its place is judged anew, and this one ben may read.
    fs::remove_file(&whole)?;
    machine.folder(BEN, "ben/whole", 0o755)?;
    machine.file(BEN, "ben/whole/open.txt", b"for everybody")?;
    machine.done(BEN, &["rescan", &whole])?;
    machine.wait_items(BEN, &["open.txt"])
}
