//! What works when the machine has little: few descriptors, little memory, a state folder that cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use p2p_tests::content::{generate, sha1_of};
use p2p_tests::lab::{Lab, Peer, Programs, wait_for};

const LIMIT: Duration = Duration::from_secs(120);
const QUICK: &str = "[shares]\nsettle = \"1s\"\n";

/// `None`, with a word on standard error, where this needs root and there is none; an error instead where `P2P_NO_SKIP` is set.
fn as_root() -> Result<Option<()>> {
    if nix::unistd::geteuid().is_root() {
        return Ok(Some(()));
    }
    ensure!(
        std::env::var_os("P2P_NO_SKIP").is_none(),
        "this test needs root"
    );
    eprintln!("skipped: this takes root");
    Ok(None)
}

/// A peer shares these many files of its own, all published when this returns.
fn share(peer: &Peer, dir: &Path, files: usize, len: u64) -> Result<Vec<PathBuf>> {
    let folder = dir.join(format!("of-{}", peer.name()));
    fs::create_dir(&folder)?;
    let mut paths = Vec::new();
    for n in 0..files {
        let path = folder.join(format!("{}-{n}.bin", peer.name()));
        generate(&path, len, n as u64)?;
        paths.push(path);
    }
    peer.ctl(&["share", &folder.display().to_string()])?;
    wait_for("all to be published", LIMIT, || {
        let status = peer.json(&["status"])?;
        let published = &status["shares"][0]["published"];
        ensure!(*published == files, "{published} are published");
        Ok(Some(()))
    })?;
    Ok(paths)
}

fn hashes(peer: &Peer) -> Result<Vec<String>> {
    let items = peer.items()?;
    Ok(items
        .iter()
        .filter_map(|item| item["info_hash"].as_str().map(str::to_owned))
        .collect())
}

/// Fetches everything at once and compares it.
fn fetch_all(peer: &Peer, hashes: &[String], sources: &[PathBuf]) -> Result<()> {
    let mut args = vec!["fetch"];
    args.extend(hashes.iter().map(String::as_str));
    peer.ctl(&args)?;
    for source in sources {
        let name = source.file_name().context("a name")?;
        ensure!(
            sha1_of(&peer.downloads().join(name))? == sha1_of(source)?,
            "{} differs",
            source.display()
        );
    }
    Ok(())
}

/// Two peers of one tracker, each of which may have so many descriptors.
fn two_with_256_descriptors(dir: &Path) -> Result<(Lab, Peer, Peer)> {
    let lab = Lab::start(dir, Programs::beside_this()?, "")?;
    let few = ["prlimit", "--nofile=256:256", "--"];
    let ann = lab.peer_through("ann", &few, QUICK)?;
    let bob = lab.peer_through("bob", &few, "")?;
    lab.join(&ann)?;
    lab.join(&bob)?;
    Ok((lab, ann, bob))
}

#[test]
fn with_256_descriptors_many_items_are_shared_and_fetched_and_all_is_answered() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, ann, bob) = two_with_256_descriptors(dir.path())?;
    let sources = share(&ann, dir.path(), 300, 50_000)?;
    fetch_all(&bob, &hashes(&ann)?, &sources)?;
    for peer in [&ann, &bob] {
        let items = peer.items()?;
        let bad = items.iter().find(|item| item["state"] != "seeding");
        ensure!(
            bad.is_none() && items.len() == 300,
            "{} items, one is {bad:?}",
            items.len()
        );
        ensure!(peer.holds()?.1 < 256, "more than there may be");
        let said = peer.output();
        ensure!(
            said.contains("peers at most instead of"),
            "it does not say what it gives up: {said}"
        );
        ensure!(!said.contains("Too many open files"), "it ran out: {said}");
    }
    Ok(())
}

#[test]
fn with_256_descriptors_an_item_of_more_files_than_that_is_shared_and_fetched() -> Result<()> {
    const FILES: usize = 700;
    let dir = tempfile::tempdir()?;
    let (_lab, ann, bob) = two_with_256_descriptors(dir.path())?;
    let folder = dir.path().join("public/many");
    for n in 0..FILES {
        let path = folder.join(format!("{}/{n}", n % 7));
        fs::create_dir_all(path.parent().context("a folder")?)?;
        // Some are long enough to be written past the page cache, for which they are opened twice.
        let len = if n % 12 == 0 { 600_000 } else { 20_000 };
        generate(&path, len, n as u64)?;
    }
    ann.ctl(&["share", &dir.path().join("public").display().to_string()])?;
    ann.wait_published("many", LIMIT)?;
    let hashes = hashes(&ann)?;
    ensure!(hashes.len() == 1, "{} items", hashes.len());
    bob.ctl(&["fetch", &hashes[0]])?;
    for n in 0..FILES {
        let rel = format!("many/{}/{n}", n % 7);
        let fetched = bob.downloads().join(&rel);
        let same = fs::read(fetched)? == fs::read(dir.path().join("public").join(&rel))?;
        ensure!(same, "{rel} differs");
    }
    for peer in [&ann, &bob] {
        let open = peer.holds()?.1;
        ensure!(open < 128, "{open} stay open");
        let said = peer.output();
        ensure!(!said.contains("Too many open files"), "it ran out: {said}");
    }
    Ok(())
}

/// A group of processes that may use so much memory; gone when dropped.
struct Bounded(PathBuf);

impl Bounded {
    fn new(bytes: u64) -> Result<Option<Self>> {
        let root = Path::new("/sys/fs/cgroup");
        let (at, limit) = match root.join("memory").is_dir() {
            true => (root.join("memory"), "memory.limit_in_bytes"),
            false => (root.to_owned(), "memory.max"),
        };
        let group = at.join(format!("p2p-tests-{}", std::process::id()));
        let made =
            fs::create_dir(&group).and_then(|()| fs::write(group.join(limit), bytes.to_string()));
        match made {
            Ok(()) => Ok(Some(Self(group))),
            Err(error) if std::env::var_os("P2P_NO_SKIP").is_none() => {
                eprintln!("skipped: no group with bounded memory can be made here: {error}");
                Ok(None)
            }
            Err(error) => bail!("{}: {error}", group.display()),
        }
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn in_64_mib_of_memory_a_file_larger_than_that_is_shared_and_fetched() -> Result<()> {
    if as_root()?.is_none() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let Some(group) = Bounded::new(64 << 20)? else {
        return Ok(());
    };
    let procs = group.0.join("cgroup.procs").display().to_string();
    let enter = ["sh", "-c", "echo $$ > \"$0\" && exec \"$@\"", &procs];
    let ann = lab.member("ann", QUICK)?;
    let bob = lab.peer_through(
        "bob",
        &enter,
        &format!("{QUICK}[storage]\nin_flight = \"16MiB\"\n"),
    )?;
    lab.join(&bob)?;
    let theirs = share(&ann, dir.path(), 1, 200_000_000)?;
    fetch_all(&bob, &hashes(&ann)?, &theirs)?;
    let before = hashes(&bob)?;
    let ours = share(&bob, dir.path(), 2, 100_000_000)?;
    let mut new = hashes(&bob)?;
    new.retain(|hash| !before.contains(hash));
    fetch_all(&ann, &new, &ours)?;
    println!("{} bytes of its own", bob.holds()?.0);
    drop(bob);
    Ok(())
}

/// A folder that can be made read-only while a daemon uses it: a file system of its own.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: PathBuf) -> Result<Self> {
        fs::create_dir_all(&at)?;
        let mounted = Self(at);
        mounted.run("mount", &["-t", "tmpfs", "-o", "size=64m", "tmpfs"])?;
        Ok(mounted)
    }

    fn remount(&self, mode: &str) -> Result<()> {
        self.run("mount", &["-o", &format!("remount,{mode}")])
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        let output = Command::new(program).args(args).arg(&self.0).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {args:?}: {said}");
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_state_folder_that_cannot_be_written_at_the_start_is_named_to_everybody_who_asks() -> Result<()>
{
    if as_root()?.is_none() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let state = Mounted::new(dir.path().join("ann/state"))?;
    let mut ann = lab.member("ann", QUICK)?;
    let sources = share(&ann, dir.path(), 1, 100_000)?;
    ann.stop()?;
    state.remount("ro")?;
    let said = match ann.start() {
        Ok(()) => bail!("it started"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(
        said.contains("state folder") && said.contains("ann/state"),
        "{said}"
    );
    ensure!(
        said.contains("Read-only file system") || said.contains("readonly"),
        "{said}"
    );
    state.remount("rw")?;
    ann.start()?;
    let name = sources[0]
        .file_name()
        .and_then(|name| name.to_str())
        .context("a name")?;
    ann.wait_seeding(name, LIMIT)?;
    Ok(())
}
