//! Crashes at random moments, and whether what is claimed afterwards is true.
//!
//! A daemon whose state and downloads lie on a small file system of their own fetches a file again and again. At a random moment (in the middle,
//! when it completes, or some time after) the power is cut or the daemon killed; it is started again, with the seed held still, and every piece
//! it says it holds is compared with the bytes on the disk. A power cut is `FS_IOC_SHUTDOWN`: from one moment to the next nothing reaches the
//! disk any more, with or without a last flush of the journal; then unmount and mount, as after a reboot.

mod disk;
mod soak;
mod tracker;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha1::{Digest as _, Sha1};

use self::disk::{Cut, Disk};
pub use self::soak::{SoakOutcome, soak};
pub use self::tracker::{TrackerOutcome, run_tracker};
use crate::content::generate;
use crate::lab::{Lab, Peer, Programs};

/// The file that is fetched.
const NAME: &str = "big.bin";
const LIMIT: Duration = Duration::from_secs(60);
/// After this long a daemon has read what it must, a second's worth of pieces.
const SETTLED: Duration = Duration::from_millis(500);

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Crashes.
    pub runs: u32,
    /// Kill the daemon instead of cutting the power.
    pub kill: bool,
    /// Bytes of the file.
    pub len: u64,
    /// Length of its pieces, as `p2pctl share` takes it.
    pub piece_size: String,
    /// Bytes per second at which it is fetched.
    pub rate: u64,
    /// Crashes after the completion come this long after it at most.
    pub after: Duration,
    /// Of all random choices.
    pub seed: u64,
    /// Where to work.
    pub dir: PathBuf,
    /// Where to make the disk whose power is cut.
    pub image: PathBuf,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Crashes.
    pub runs: u32,
    /// Of those, before the item was complete.
    pub during: u32,
    /// Claimed pieces that were compared with the disk.
    pub claims: u64,
    /// Of those, wrong.
    pub false_claims: u64,
    /// The daemon did not answer after the crash, with why.
    pub failed_starts: Vec<String>,
    /// Promises broken: an item that was added or finished and is not there, with what happened.
    pub broken: Vec<String>,
    /// Crashes after which fewer bytes were held than before.
    pub lossy: u32,
    /// Most bytes that one crash cost.
    pub most_lost: u64,
    /// The longest start after a crash, until the first answer.
    pub slowest_start: Duration,
    /// Most bytes that were read after a crash, from its start until all it claims was looked at.
    pub most_read: u64,
}

impl Outcome {
    /// Nothing false, nothing broken, every start a success.
    pub fn is_clean(&self) -> bool {
        self.false_claims == 0 && self.failed_starts.is_empty() && self.broken.is_empty()
    }
}

/// When a crash comes.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// This long after the fetch begins or goes on.
    During(Duration),
    /// This long after the item is seen complete.
    After(Duration),
}

/// Runs the campaign. Needs root and a mount namespace of its own where the power is cut. `tell` hears a line for each crash.
pub fn run(options: &Options, programs: Programs, mut tell: impl FnMut(&str)) -> Result<Outcome> {
    let mut bench = Bench::new(options, programs)?;
    let mut random = Random(options.seed);
    let mut outcome = Outcome::default();
    for run in 1..=options.runs {
        let whole = options.len as f64 / options.rate as f64;
        let moment = match random.below(10) {
            0..6 => Moment::During(Duration::from_secs_f64(whole * random.part())),
            // What is seen complete may have been so for a poll's length: before that the moment is During, with luck.
            6..8 => Moment::After(Duration::from_millis(random.below(30))),
            _ => Moment::After(options.after.mul_f64(random.part())),
        };
        let cut = Cut::random(options.kill, &mut random);
        let seen = bench.crash(moment, cut)?;
        let held = bench.judge(&seen, &mut outcome);
        outcome.runs += 1;
        tell(&format!(
            "{run}: {cut:?} {moment:?}: {} bytes before, {} after, {} false claims so far{}",
            seen.done,
            held.as_ref()
                .map_or_else(|error| format!("{error:#}"), u64::to_string),
            outcome.false_claims,
            if seen.finished { ", was complete" } else { "" },
        ));
        if held.is_err() || seen.finished || random.below(4) == 0 {
            bench.renew()?;
        }
    }
    Ok(outcome)
}

/// What was known of the item right before the crash.
struct Seen {
    done: u64,
    finished: bool,
}

/// A seed, and a daemon to be crashed on a disk of its own.
struct Bench {
    _lab: Lab,
    seed: Peer,
    peer: Peer,
    disk: Disk,
    hash: String,
    piece_len: u64,
    source: File,
    len: u64,
    kills: bool,
}

impl Bench {
    fn new(options: &Options, programs: Programs) -> Result<Self> {
        let lab = Lab::start(&options.dir, programs, "")?;
        let rate = options.rate;
        let settings = format!(
            "[limits]\nupload = \"{rate}/s\"\nlan_exempt = false\n\n[shares]\nsettle = \"1s\"\n"
        );
        let seed = lab.member("seed", &settings)?;
        let share = seed.dir().join("Public");
        fs::create_dir(&share)?;
        let path = share.join(NAME);
        generate(&path, options.len, options.seed)?;
        let shared = share.display().to_string();
        seed.ctl(&["share", &shared, "--piece-size", &options.piece_size])?;
        let entry = seed.wait_published(NAME, LIMIT)?;
        let hash = entry["info_hash"].as_str().context("no hash")?.to_owned();
        let at = lab.dir().join("crashed");
        let disk = match options.kill {
            true => Disk::folder(&at)?,
            false => Disk::image(&options.image, &at, options.len)?,
        };
        let peer = lab.member("crashed", "[storage]\nmin_free = \"0\"\n")?;
        disk.sync()?;
        let item = seed.item(NAME)?.context("the seed has no item")?;
        let piece_len = item["piece_len"].as_u64().context("no piece_len")?;
        Ok(Self {
            _lab: lab,
            seed,
            peer,
            disk,
            hash,
            piece_len,
            source: File::open(path)?,
            len: options.len,
            kills: options.kill,
        })
    }

    /// Fetches, or goes on, until `moment`; then crashes.
    fn crash(&mut self, moment: Moment, cut: Cut) -> Result<Seen> {
        if self.peer.item(NAME)?.is_none() {
            self.peer.ctl(&["fetch", "--detach", &self.hash])?;
        }
        let (begin, mut seen) = (
            Instant::now(),
            Seen {
                done: 0,
                finished: false,
            },
        );
        let mut complete_since = None;
        loop {
            let now = Instant::now();
            let crash = match (moment, complete_since) {
                (Moment::During(after), _) => now >= begin + after,
                (Moment::After(after), Some(since)) => now >= since + after,
                (Moment::After(_), None) => false,
            };
            if crash {
                break;
            }
            ensure!(
                begin.elapsed() < LIMIT,
                "the fetch does not end: {:?}",
                self.peer.item(NAME)?
            );
            if complete_since.is_none() {
                let item = self.peer.item(NAME)?.context("the item is gone")?;
                seen.done = item["done"].as_u64().context("no done")?;
                seen.finished = item["state"] == "seeding";
                complete_since = seen.finished.then(Instant::now);
            } else {
                std::thread::sleep(Duration::from_millis(1)); // until the moment comes
            }
        }
        self.disk.cut(cut)?;
        self.peer.kill()?;
        self.disk.reboot()?;
        Ok(seen)
    }

    /// Starts the daemon again and compares what it claims with the disk. The bytes that it holds.
    fn judge(&mut self, seen: &Seen, outcome: &mut Outcome) -> Result<u64> {
        outcome.during += u32::from(!seen.finished);
        let held_still = Stopped::new(self.seed.pid())?;
        let begin = Instant::now();
        if let Err(error) = self.peer.start() {
            outcome.failed_starts.push(format!("{error:#}"));
            return Err(error);
        }
        outcome.slowest_start = outcome.slowest_start.max(begin.elapsed());
        if self.peer.item(NAME)?.is_none() {
            outcome.broken.push("the item is gone".into());
            return Ok(0);
        }
        self.compare(outcome)?;
        // Pieces that were written and not yet recorded are read once the item is awake. After a kill all are there; after a power cut
        // nobody knows how many will be.
        let end = Instant::now() + if self.kills { LIMIT } else { SETTLED };
        let (item, done) = loop {
            let item = self.peer.item(NAME)?.context("the item is gone")?;
            let done = item["done"].as_u64().context("no done")?;
            if item["state"] != "verifying" && (done >= seen.done || Instant::now() > end) {
                break (item, done);
            }
        };
        self.compare(outcome)?;
        outcome.most_read = outcome.most_read.max(self.peer.bytes_read()?);
        if seen.finished && done < self.len {
            outcome
                .broken
                .push(format!("was complete and has {done} bytes: {item}"));
        }
        let lost = seen.done.saturating_sub(done);
        outcome.lossy += u32::from(lost > 0);
        outcome.most_lost = outcome.most_lost.max(lost);
        drop(held_still);
        Ok(done)
    }

    /// Every piece that the daemon says it holds, against the disk.
    fn compare(&self, outcome: &mut Outcome) -> Result<()> {
        let shown = self.peer.json(&["show", &self.hash, "--pieces"])?;
        let here = shown["pieces"]["here"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        // After the claims, and once: the item may be put at its place meanwhile, under the eyes of who opened it.
        let file = self.data();
        for range in here {
            let bounds = (range[0].as_u64(), range[1].as_u64());
            let (Some(first), Some(last)) = bounds else {
                anyhow::bail!("not a range of pieces: {range}");
            };
            for piece in first..=last {
                outcome.claims += 1;
                let ours = file.as_ref().and_then(|file| self.sum(file, piece));
                if ours.is_none() || ours != self.sum(&self.source, piece) {
                    outcome.false_claims += 1;
                }
            }
        }
        Ok(())
    }

    fn data(&self) -> Option<File> {
        let downloads = self.peer.downloads();
        let staged = downloads.join(".p2p-incomplete").join(&self.hash);
        let places = [staged.join(NAME), downloads.join(NAME)];
        places.iter().find_map(|path| File::open(path).ok())
    }

    fn sum(&self, file: &File, piece: u64) -> Option<[u8; 20]> {
        let offset = piece * self.piece_len;
        let mut bytes = vec![0; self.piece_len.min(self.len.checked_sub(offset)?) as usize];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(Sha1::digest(&bytes).into())
    }

    /// Forgets the item and its data.
    fn renew(&mut self) -> Result<()> {
        if self.peer.pid() == 0 {
            self.peer.start()?;
        }
        if self.peer.item(NAME)?.is_some() {
            self.peer.ctl(&["rm", &self.hash, "-y", "--delete-data"])?;
        }
        Ok(())
    }
}

/// A process that stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: u32) -> Result<Self> {
        let pid = Pid::from_raw(i32::try_from(pid)?);
        kill(pid, Signal::SIGSTOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
