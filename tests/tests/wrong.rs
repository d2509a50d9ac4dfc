//! Wrong calls against the real programs: the exit code and what the error says.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use p2p_tests::content::generate;
use p2p_tests::lab::{Lab, Programs, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

/// Wrong calls and their answers, each as it is seen: `WHO$ p2pctl ...`, the exit code, standard error.
const TABLE: &str = include_str!("wrong.txt");

/// The table with what the programs say now.
fn answers(run: impl Fn(&str, &[&str]) -> Result<(i32, String)>) -> Result<String> {
    let mut said = String::new();
    for call in TABLE.lines().filter(|line| line.contains("$ p2pctl ")) {
        let (who, args) = call.split_once("$ p2pctl ").context("a call")?;
        let args: Vec<&str> = args.split_whitespace().collect();
        let (code, error) = run(who, &args)?;
        // What, why, and what to do.
        ensure!(
            error.lines().count() == 3,
            "{call}: not three lines: {error}"
        );
        writeln!(said, "{call}\nexit {code}\n{error}")?;
    }
    Ok(said)
}

#[test]
fn every_wrong_call_ends_with_its_code_and_says_what_why_and_what_to_do() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "[shares]\nsettle = \"1s\"\n")?;
    // Knows the tracker and has no account there.
    let stranger = lab.peer("stranger", "")?;
    stranger.ctl(&["tracker", "add", "home", lab.url()])?;
    // Runs no daemon.
    let mut gone = lab.peer("gone", "")?;
    gone.stop()?;

    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir_all(at("Public/inside"))?;
    fs::create_dir(at("empty"))?;
    generate(&dir.path().join("Public/a.bin"), 100_000, 1)?;
    ann.ctl(&["share", &at("Public")])?;
    ann.wait_published("a.bin", LIMIT)?;
    ann.ctl(&["create", &at("Public/a.bin"), "-o", &at("whole.torrent")])?;
    let bytes = fs::read(at("whole.torrent"))?;
    fs::write(at("truncated.torrent"), &bytes[..bytes.len() / 2])?;
    fs::write(at("page.torrent"), "<html>404</html>")?;
    fs::write(at("large.torrent"), vec![b'd'; 11 << 20])?;
    fs::write(at("wrong-password"), "not this one\n")?;
    fs::write(at("right-password"), fs::read(ann.password_file())?)?;
    fs::write(at("empty-password"), "\n")?;

    let folder = dir.path().display().to_string();
    let host = lab.url().trim_start_matches("http://");
    let said = answers(|who, args| {
        let peer = match who {
            "ann" => &ann,
            "stranger" => &stranger,
            _ => &gone,
        };
        let args: Vec<String> = args
            .iter()
            .map(|arg| {
                arg.replace("DIR/", &format!("{folder}/"))
                    .replace("URL", lab.url())
            })
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (code, error) = peer.refused(&args)?;
        let error = error.replace(lab.url(), "URL").replace(host, "HOST");
        Ok((code, error.replace(&folder, "DIR")))
    })?;
    let shown = Path::new(env!("CARGO_TARGET_TMPDIR")).join("p2pctl-wrong.txt");
    fs::write(&shown, &said)?;
    ensure!(
        said == TABLE,
        "other answers than in the table; see:  diff tests/tests/wrong.txt {}",
        shown.display()
    );
    for peer in [&ann, &stranger] {
        ensure!(!peer.output().contains("panicked"), "{}", peer.output());
    }
    let items = ann.items()?;
    ensure!(items.len() == 1, "something was lost or added: {items:?}");
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
