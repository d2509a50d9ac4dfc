//! Wrong calls against the real programs: the exit code and what the error says.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use p2p_tests::content::generate;
use p2p_tests::lab::{Lab, Programs, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn every_wrong_call_ends_with_its_code_and_says_why() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "[shares]\nsettle = \"1s\"\n")?;
    let stranger = lab.peer("stranger", "")?;
    stranger.ctl(&["tracker", "add", "home", lab.url()])?;

    let share = dir.path().join("Public");
    fs::create_dir(&share)?;
    generate(&share.join("a.bin"), 100_000, 1)?;
    let share = share.display().to_string();
    ann.ctl(&["share", &share])?;
    ann.wait_published("a.bin", LIMIT)?;

    let whole = dir.path().join("whole.torrent").display().to_string();
    ann.ctl(&["create", &share, "-o", &whole])?;
    let truncated = dir.path().join("truncated.torrent");
    let bytes = fs::read(&whole)?;
    fs::write(&truncated, &bytes[..bytes.len() / 2])?;
    let truncated = truncated.display().to_string();
    let not_a_folder = dir.path().join("p2p-tracker.toml").display().to_string();
    let wrong = dir.path().join("wrong-password");
    fs::write(&wrong, "not this one\n")?;
    let wrong = wrong.display().to_string();
    let right = ann.password_file();
    let inside = format!("{share}/inside");
    fs::create_dir(&inside)?;

    let unknown = "0123456789abcdef0123456789abcdef01234567";
    let cases: &[(&[&str], i32, &str)] = &[
        (&["fetch", unknown], 4, "0123456789ab"),
        (&["fetch", "ann/Public/nothing.bin"], 4, "nothing.bin"),
        (&["fetch", &truncated], 10, "truncated.torrent"),
        (
            &["fetch", "/nowhere/at/all.torrent"],
            4,
            "/nowhere/at/all.torrent",
        ),
        (&["fetch", "magnet:?dn=no-hash"], 2, "magnet"),
        (&["share", "/nowhere/at/all"], 4, "/nowhere/at/all"),
        (&["share", &inside], 6, "unshare Public"),
        (&["share", "/etc"], 6, "--yes"),
        (
            &["unshare", "nothing-of-that-name"],
            4,
            "nothing-of-that-name",
        ),
        (&["pause", unknown], 4, "0123456789ab"),
        (&["show", unknown], 4, "0123456789ab"),
        (&["rm", unknown, "-y"], 4, "0123456789ab"),
        (&["verify", "zz"], 4, "zz"),
        (&["mv", "a.bin", "/nowhere/at/all"], 6, "belongs to a share"),
        (&["set", "a.bin", "down=fast"], 2, "fast"),
        (&["set", "a.bin", "colour=blue"], 2, "colour"),
        (&["limit", "down=fast"], 2, "fast"),
        (&["config", "set", "limits.nonsense", "1"], 4, "nonsense"),
        (&["config", "get", "limits.nonsense"], 4, "nonsense"),
        (&["tracker", "add", "home", lab.url()], 6, "home"),
        (
            &["tracker", "add", "other", "ftp://example.invalid"],
            2,
            "http",
        ),
        (&["tracker", "rm", "nothing"], 4, "nothing"),
        (
            &["register", "--username", "ann", "--password-file", &right],
            6,
            "ann",
        ),
        (
            &["register", "--username", "A B", "--password-file", &right],
            2,
            "A B",
        ),
        (
            &["login", "--username", "ann", "--password-file", &wrong],
            13,
            "password",
        ),
        (
            &["login", "--username", "nobody", "--password-file", &wrong],
            13,
            "password",
        ),
        (&["unpublish", unknown], 4, "0123456789ab"),
        (&["inspect", &truncated], 10, "truncated.torrent"),
        (
            &["create", "/nowhere/at/all", "-o", "/tmp/never.torrent"],
            4,
            "/nowhere/at/all",
        ),
        (
            &["create", &not_a_folder, "-o", "/nowhere/at/all.torrent"],
            4,
            "/nowhere/at/all.torrent",
        ),
        (&["nonsense"], 2, "nonsense"),
    ];
    let mut unexpected = Vec::new();
    for (args, code, text) in cases {
        let (got, said) = ann.refused(args)?;
        let panicked = said.contains("panicked") || ann.output().contains("panicked");
        if got != *code || !said.contains(text) || panicked {
            unexpected.push(format!(
                "{args:?}: wanted {code} and `{text}`, got {got}:\n{said}"
            ));
        }
    }
    let (code, said) = stranger.refused(&["search", "a.bin"])?;
    if code != 13 || !said.contains("login") {
        unexpected.push(format!("search without a login: {code}: {said}"));
    }
    ensure!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    ensure!(
        ann.items()?.len() == 1,
        "something was lost or added: {:?}",
        ann.items()?
    );
    Ok(())
}

#[test]
fn without_a_daemon_every_command_says_how_to_start_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let mut ann = lab.peer("ann", "")?;
    ann.stop()?;
    for args in [
        &["ls"][..],
        &["status"],
        &["fetch", "ann/Public/a"],
        &["share", "/tmp"],
        &["limit"],
    ] {
        let (code, said) = ann.refused(args)?;
        ensure!(
            code == 3 && said.contains("daemon"),
            "{args:?}: {code}: {said}"
        );
        ensure!(
            said.lines().count() == 3,
            "{args:?}: not three lines: {said}"
        );
    }
    Ok(())
}

#[test]
fn a_torrent_whose_names_lead_out_of_the_folder_stays_inside() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "")?;
    // One piece of zeros is asked for by three hostile names; nobody has it: only the names matter here.
    let mut torrent = b"d4:infod5:filesl".to_vec();
    for path in [
        &["..", "..", "escape"][..],
        &["/etc/passwd"],
        &["ok", "..", "up"],
    ] {
        torrent.extend(b"d6:lengthi5e4:pathl");
        for part in path {
            torrent.extend(format!("{}:{part}", part.len()).bytes());
        }
        torrent.extend(b"ee");
    }
    torrent.extend(b"e4:name8:../../up12:piece lengthi16384e6:pieces20:");
    torrent.extend([0; 20]);
    torrent.extend(b"ee");
    let path = dir.path().join("hostile.torrent");
    fs::write(&path, torrent)?;
    ann.ctl(&["fetch", "--detach", &path.display().to_string()])?;
    let item = ann.items()?.pop().context("no item")?;
    let shown = ann.ctl(&[
        "show",
        item["info_hash"].as_str().context("hash")?,
        "--files",
    ])?;
    ensure!(
        !shown.contains("..") && !shown.contains(" /etc/passwd"),
        "{shown}"
    );
    ensure!(!dir.path().join("escape").exists() && !dir.path().join("ann/escape").exists());
    Ok(())
}

#[test]
fn a_full_disk_stops_one_item_and_says_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "[shares]\nsettle = \"1s\"\n")?;
    let Some(bob) = lab.member_on_small_disk("bob", "16m", "[storage]\nmin_free = \"0\"\n")? else {
        return Ok(());
    };
    let share = dir.path().join("Public");
    fs::create_dir(&share)?;
    generate(&share.join("large.bin"), 40_000_000, 1)?;
    generate(&share.join("small.bin"), 1_000_000, 2)?;
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("large.bin", LIMIT)?;
    ann.wait_published("small.bin", LIMIT)?;
    let (code, said) = bob.refused(&["fetch", "ann/Public/large.bin"])?;
    ensure!(code == 11 && said.contains("full"), "{code}: {said}");
    bob.ctl(&["fetch", "ann/Public/small.bin"])?;
    let item = wait_for("the reason", LIMIT, || {
        let item = bob.item("large.bin")?.context("the item is gone")?;
        Ok((item["state"] == "error").then_some(item))
    })?;
    ensure!(item.to_string().contains("full"), "{item}");
    Ok(())
}
