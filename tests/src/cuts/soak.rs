//! Churn without end: files come and go, one peer is stopped, killed and cut off again and again, and who runs on holds no more than before.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::disk::{Cut, Disk};
use super::{Options, Random};
use crate::content::{generate, sha1_of};
use crate::lab::{Lab, Peer, Programs};

const LIMIT: Duration = Duration::from_secs(60);
/// Files that are shared at a time.
const KEPT: usize = 12;
/// The longest file in bytes.
const LONGEST: u64 = 4_000_000;
/// What may be held more at the end than after the first third: a part, and what a busy moment takes.
const GROWTH: (f64, u64) = (0.15, 8 << 20);
/// Descriptors that may be open more.
const DESCRIPTORS: usize = 16;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct SoakOutcome {
    /// Files that were shared, published and fetched.
    pub files: u32,
    /// Stops, kills and power cuts of the peer that fetches.
    pub ends: u32,
    /// For the seed and the tracker, which ran all the time: memory in bytes and descriptors after the first third, and at the end.
    pub held: Vec<(String, [(u64, usize); 2])>,
    /// What was wrong.
    pub broken: Vec<String>,
}

impl SoakOutcome {
    /// Nothing broken, and nobody holds more and more.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }
}

/// Who churns.
struct Churn {
    lab: Lab,
    seed: Peer,
    peer: Peer,
    disk: Disk,
    share: PathBuf,
    /// Names and info-hashes, the oldest first.
    shared: Vec<(String, String)>,
}

/// Churns for `long`; see [`super::run`] for the rest.
pub fn soak(
    options: &Options,
    programs: Programs,
    long: Duration,
    mut tell: impl FnMut(&str),
) -> Result<SoakOutcome> {
    let mut churn = Churn::new(options, programs)?;
    let (mut random, mut outcome) = (Random(options.seed), SoakOutcome::default());
    let begin = Instant::now();
    let mut samples: Vec<[(u64, usize); 2]> = Vec::new();
    while begin.elapsed() < long || samples.len() < 6 {
        churn.file(outcome.files, &mut random, &mut outcome)?;
        outcome.files += 1;
        if outcome.files % 4 == 0 {
            churn.end(Cut::random(options.kill, &mut random), &mut random)?;
            outcome.ends += 1;
        }
        let now = [churn.seed.holds()?, churn.lab.tracker_holds()?];
        tell(&format!(
            "{} files, {} ends: {now:?}",
            outcome.files, outcome.ends
        ));
        samples.push(now);
    }
    let third = samples.len() / 3;
    for (n, name) in ["seed", "tracker"].into_iter().enumerate() {
        // Of a sixth each, in the middle: one busy moment says nothing.
        let held = [third, samples.len() - third / 2 - 1].map(|from| {
            let some: Vec<(u64, usize)> = samples[from..]
                .iter()
                .take((third / 2).max(1))
                .map(|s| s[n])
                .collect();
            (
                median(some.iter().map(|s| s.0)),
                median(some.iter().map(|s| s.1)),
            )
        });
        let [(memory, open), (memory_end, open_end)] = held;
        let most = memory + (memory as f64 * GROWTH.0) as u64 + GROWTH.1;
        if memory_end > most || open_end > open + DESCRIPTORS {
            outcome
                .broken
                .push(format!("the {name} holds more and more: {held:?}"));
        }
        outcome.held.push((name.into(), held));
    }
    Ok(outcome)
}

fn median<T: Ord + Copy + Default>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Churn {
    fn new(options: &Options, programs: Programs) -> Result<Self> {
        let lab = Lab::start(&options.dir, programs, "")?;
        let seed = lab.member("seed", "[shares]\nsettle = \"1s\"\n")?;
        let share = seed.dir().join("Public");
        fs::create_dir(&share)?;
        seed.ctl(&["share", &share.display().to_string()])?;
        let at = lab.dir().join("peer");
        let disk = match options.kill {
            true => Disk::folder(&at)?,
            false => Disk::image(&options.image, &at, LONGEST * KEPT as u64)?,
        };
        let peer = lab.member("peer", "[storage]\nmin_free = \"0\"\n")?;
        disk.sync()?;
        Ok(Self {
            lab,
            seed,
            peer,
            disk,
            share,
            shared: Vec::new(),
        })
    }

    /// A file is dropped in, published, fetched and compared; the oldest goes.
    fn file(&mut self, number: u32, random: &mut Random, outcome: &mut SoakOutcome) -> Result<()> {
        let name = format!("file-{number}.bin");
        let path = self.share.join(&name);
        generate(&path, 1 + random.below(LONGEST), u64::from(number))?;
        let entry = self.seed.wait_published(&name, LIMIT)?;
        let hash = entry["info_hash"].as_str().context("no hash")?.to_owned();
        self.peer.ctl(&["fetch", &hash])?;
        if sha1_of(&self.peer.downloads().join(&name))? != sha1_of(&path)? {
            outcome.broken.push(format!("{name} is another file"));
        }
        self.shared.push((name, hash));
        if self.shared.len() > KEPT {
            let (name, hash) = self.shared.remove(0);
            fs::remove_file(self.share.join(&name))?;
            self.peer.ctl(&["rm", &hash, "-y", "--delete-data"])?;
        }
        Ok(())
    }

    /// The peer that fetches ends one way or another and starts again; what it had finished is there.
    fn end(&mut self, cut: Cut, random: &mut Random) -> Result<()> {
        if random.below(3) == 0 {
            self.peer.stop()?;
        } else {
            self.disk.cut(cut)?;
            self.peer.kill()?;
            self.disk.reboot()?;
        }
        self.peer.start()?;
        for (name, _) in &self.shared {
            let item = self
                .peer
                .item(name)?
                .with_context(|| format!("{name} is gone"))?;
            ensure!(item["state"] == "seeding", "{item}");
        }
        Ok(())
    }
}
