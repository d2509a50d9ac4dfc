//! Crashes of a tracker that clients write to, and whether all that it acknowledged is there afterwards.
//!
//! A few clients register accounts, publish and delete, each noting what was acknowledged. At a random moment the power is cut or the
//! tracker killed; it is started again, and what it has is compared with the notes. What was under way may have happened or not.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use p2p_wire::metainfo::{Builder, Content};
use serde_json::{Value, json};

use super::disk::{Cut, Disk};
use super::{Options, Random};
use crate::http;
use crate::lab::{Lab, Programs};

/// Clients that write at once, so that several writes share a commit.
const CLIENTS: u64 = 4;
/// One in so many writes is a registration: its password takes long to hash.
const REGISTRATIONS: u64 = 16;
const PASSWORD: &str = "correct horse battery staple";
/// The crash comes within so many milliseconds of writing.
const WITHIN: u64 = 400;
/// Room on the disk.
const ROOM: u64 = 64_000_000;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct TrackerOutcome {
    /// Crashes.
    pub runs: u32,
    /// Accounts, publishes and deletes that were acknowledged.
    pub acknowledged: [u64; 3],
    /// What of that was not so after a crash.
    pub lost: Vec<String>,
    /// The tracker did not start, with why.
    pub failed_starts: Vec<String>,
    /// The longest start after a crash.
    pub slowest_start: Duration,
}

impl TrackerOutcome {
    /// Nothing lost, every start a success.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.failed_starts.is_empty()
    }
}

/// What a client was told, and what it does not know.
#[derive(Default)]
struct Notes {
    accounts: Vec<String>,
    published: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// The write that was under way, or whose answer came when the crash had begun: nobody hears that of a machine without power.
    doubt: Option<String>,
}

/// What was acknowledged.
enum Written {
    Account(String),
    Published(String),
    Deleted(String),
}

/// One who writes.
struct Client<'a> {
    url: &'a str,
    token: &'a str,
    /// No other client and no other run has it.
    number: u64,
    /// Entries to delete.
    old: VecDeque<String>,
}

/// Runs the campaign; see [`super::run`].
pub fn run_tracker(
    options: &Options,
    programs: Programs,
    mut tell: impl FnMut(&str),
) -> Result<TrackerOutcome> {
    fs::create_dir_all(&options.dir)?;
    let at = options.dir.join("tracker");
    let disk = match options.kill {
        true => Disk::folder(&at)?,
        false => Disk::image(&options.image, &at, ROOM)?,
    };
    let settings = "[limits]\nregistrations_per_minute = 1000000\n";
    let mut lab = Lab::start(&options.dir, programs, settings)?;
    let url = lab.url().to_owned();
    register(&url, "writer")?;
    let token = log_in(&url, "writer")?;
    let (mut random, mut outcome) = (Random(options.seed), TrackerOutcome::default());
    let mut held = BTreeSet::new();
    for run in 1..=options.runs {
        let cut = Cut::random(options.kill, &mut random);
        let crash = AtomicBool::new(false);
        let after = Duration::from_millis(random.below(WITHIN));
        let mut old: Vec<VecDeque<String>> = vec![VecDeque::new(); CLIENTS as usize];
        for (n, hash) in held.iter().enumerate() {
            old[n % CLIENTS as usize].push_back(String::clone(hash));
        }
        let notes = thread::scope(|scope| -> Result<Vec<Notes>> {
            let clients: Vec<_> = (old.into_iter().zip(0..))
                .map(|(old, n)| {
                    let client = Client {
                        url: &url,
                        token: &token,
                        number: u64::from(run) * CLIENTS + n,
                        old,
                    };
                    let crash = &crash;
                    scope.spawn(move || client.write(crash))
                })
                .collect();
            thread::sleep(after); // until the moment comes
            crash.store(true, Ordering::SeqCst);
            let crashed = disk.cut(cut).and_then(|()| lab.kill_tracker());
            let notes = clients.into_iter().map(|client| {
                let notes = client.join();
                notes.map_err(|_| anyhow::anyhow!("a client failed"))
            });
            let notes = notes.collect::<Result<Vec<_>>>()?;
            crashed.map(|()| notes)
        })?;
        disk.reboot()?;
        let begin = Instant::now();
        outcome.runs += 1;
        if let Err(error) = lab.start_tracker() {
            outcome.failed_starts.push(format!("{error:#}"));
            return Ok(outcome);
        }
        outcome.slowest_start = outcome.slowest_start.max(begin.elapsed());
        held = compare(&url, &token, held, notes, &mut outcome)
            .with_context(|| format!("after crash {run}"))?;
        let [accounts, published, deleted] = outcome.acknowledged;
        tell(&format!(
            "{run}: {cut:?} after {after:?}: {accounts} accounts, {published} publishes, {deleted} deletes so far, {} lost",
            outcome.lost.len()
        ));
    }
    Ok(outcome)
}

impl Client<'_> {
    /// Writes until there is no answer, or the crash begins.
    fn write(mut self, crash: &AtomicBool) -> Notes {
        let mut notes = Notes::default();
        for turn in 0.. {
            let written = match turn % REGISTRATIONS {
                0 => {
                    let name = format!("u{}-{turn}", self.number);
                    register(self.url, &name).map(|()| Written::Account(name))
                }
                n if n % 2 == 0 && !self.old.is_empty() => {
                    let hash = self.old.pop_front().unwrap_or_default();
                    notes.doubt = Some(hash.clone());
                    self.delete(&hash).map(|()| Written::Deleted(hash))
                }
                _ => (self.publish(turn, &mut notes.doubt)).map(Written::Published),
            };
            let Ok(written) = written else { break };
            if crash.load(Ordering::SeqCst) {
                break;
            }
            notes.doubt = None;
            match written {
                Written::Account(name) => notes.accounts.push(name),
                Written::Deleted(hash) => drop(notes.deleted.insert(hash)),
                Written::Published(hash) => drop(notes.published.insert(hash)),
            }
        }
        notes
    }

    fn publish(&self, turn: u64, doubt: &mut Option<String>) -> Result<String> {
        let name = format!("{}-{turn}", self.number);
        let mut piece = [0; 20];
        piece[..8].copy_from_slice(&self.number.to_be_bytes());
        piece[8..16].copy_from_slice(&turn.to_be_bytes());
        let builder = Builder {
            name: name.clone(),
            content: Content::Single(16_384),
            piece_len: 16_384,
            private: true,
            announce: vec![],
            comment: None,
            created: None,
        };
        let metainfo = builder.build(&[piece])?;
        let hash = metainfo.info.info_hash().to_string();
        *doubt = Some(hash.clone());
        let body =
            json!({"metainfo": BASE64.encode(&metainfo.to_bytes()), "share": "s", "name": name});
        done(http::request(
            self.url,
            "POST",
            "/v1/files",
            self.token,
            &body,
        )?)?;
        Ok(hash)
    }

    fn delete(&self, hash: &str) -> Result<()> {
        let path = format!("/v1/files/{hash}");
        done(http::request(
            self.url,
            "DELETE",
            &path,
            self.token,
            &Value::Null,
        )?)
        .map(drop)
    }
}

fn done((status, body): (u16, Value)) -> Result<Value> {
    ensure!((200..300).contains(&status), "{status}: {body}");
    Ok(body)
}

fn register(url: &str, name: &str) -> Result<()> {
    let body = json!({"username": name, "password": PASSWORD});
    done(http::request(url, "POST", "/v1/register", "", &body)?).map(drop)
}

fn log_in(url: &str, name: &str) -> Result<String> {
    let body = json!({"username": name, "password": PASSWORD, "node_name": "here"});
    let session = done(http::request(url, "POST", "/v1/login", "", &body)?)?;
    Ok(session["token"].as_str().context("no token")?.to_owned())
}

/// What the tracker has now; what of the notes is not so goes into the outcome.
fn compare(
    url: &str,
    token: &str,
    before: BTreeSet<String>,
    notes: Vec<Notes>,
    outcome: &mut TrackerOutcome,
) -> Result<BTreeSet<String>> {
    let (mut now, mut after) = (BTreeSet::new(), String::new());
    loop {
        let path = format!("/v1/files?limit=500{after}");
        let page = done(http::request(url, "GET", &path, token, &Value::Null)?)?;
        let rows = page["items"].as_array().context("no items")?;
        now.extend(
            rows.iter()
                .filter_map(|row| row["info_hash"].as_str().map(str::to_owned)),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let (mut expected, mut gone, mut doubts) = (before, BTreeSet::new(), BTreeSet::new());
    for client in notes {
        let [accounts, published, deleted] = &mut outcome.acknowledged;
        *accounts += client.accounts.len() as u64;
        *published += client.published.len() as u64;
        *deleted += client.deleted.len() as u64;
        for name in &client.accounts {
            if let Err(error) = log_in(url, name) {
                outcome.lost.push(format!("the account {name}: {error:#}"));
            }
        }
        doubts.extend(client.doubt);
        expected.extend(client.published);
        gone.extend(client.deleted);
    }
    let missing = expected
        .iter()
        .filter(|hash| !gone.contains(*hash) && !now.contains(*hash));
    let back = gone.iter().filter(|hash| now.contains(*hash));
    let wrong = missing
        .map(|hash| ("was published", hash))
        .chain(back.map(|hash| ("was deleted", hash)));
    for (what, hash) in wrong.filter(|(_, hash)| !doubts.contains(*hash)) {
        outcome.lost.push(format!("{hash} {what}"));
    }
    Ok(now)
}
