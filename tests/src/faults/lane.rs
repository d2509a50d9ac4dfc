//! One publish after the other on a disk that fails a call, each from the same state.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::script::{Dropped, Script};
use super::shim::{Fault, Seen};
use crate::lab::{Control, Lab, Peer, Programs};
use crate::{http, wild};

/// Until everything has recovered.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(15);
const SETTINGS: &str =
    "[shares]\nsettle = \"100ms\"\nmax_delay = \"1s\"\n[hashing]\nio = \"read\"\n";

/// What came of one publish.
#[derive(Debug)]
pub struct Run {
    /// Calls that the fault could have befallen.
    pub calls: u64,
    /// The one that it befell, with its path; `None` if there were not so many.
    pub hit: Option<String>,
    /// What p2pd did.
    pub end: End,
    /// Until it did that: until all was published, if it went on.
    pub took: Duration,
}

/// What p2pd does when a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Goes on, and publishes by itself.
    WentOn,
    /// Does not start, and tells everybody who asks why.
    Refused,
    /// Ends, and says why unless it was killed.
    Ended,
}

/// How it looks at a moment; what must never be is an error.
enum Look {
    /// All is published and seeded.
    Whole,
    /// Not yet, with what is lacking.
    NotYet(String),
    /// p2pd does not work, and says why.
    Refused(String),
    /// It has ended, with what it printed.
    Ended(String),
}

/// A tracker and a daemon that run after run begin with the same state.
#[derive(Debug)]
pub struct Lane<'a> {
    script: &'a Script,
    lab: Lab,
    ann: Peer,
    /// Of another login than the daemon's, to ask the tracker.
    token: String,
    share: PathBuf,
    template: PathBuf,
    table: PathBuf,
    control: Option<Control>,
}

impl<'a> Lane<'a> {
    /// A lane in the new folder `dir`, on addresses of its own `number`, with one file published.
    pub fn new(dir: &Path, number: u8, script: &'a Script) -> Result<Self> {
        fs::create_dir(dir)?;
        let lab = Lab::start_in([127, 0, number], dir, Programs::beside_this()?, "")?;
        let ann = lab.member("ann", SETTINGS)?;
        let password = fs::read_to_string(ann.password_file())?;
        let body = json!({"username": "ann", "password": password.trim(), "node_name": "judge"});
        let (_, session) = http::request(lab.url(), "POST", "/v1/login", "", &body)?;
        let token = session["token"].as_str().context("no token")?.to_owned();
        let share = ann.dir().join("Public");
        fs::create_dir(&share)?;
        ann.ctl(&["share", &share.display().to_string()])?;
        let mut lane = Self {
            script,
            lab,
            ann,
            token,
            share,
            template: dir.join("template"),
            table: dir.join("table"),
            control: None,
        };
        lane.drop_in(&script.early)?;
        lane.wait(&[&script.early])?;
        lane.control = None;
        lane.ann.stop()?;
        lane.lab.stop_tracker()?;
        fs::create_dir(&lane.template)?;
        for folder in lane.folders() {
            copy(&folder, &lane.template)?;
        }
        Ok(lane)
    }

    /// One publish with this fault at this call, and a start on a disk that works. What is wrongly claimed, is lost or does not recover is an
    /// error.
    pub fn run(&mut self, fault: Fault, call: u64) -> Result<Run> {
        self.restore()?;
        let under = [self.ann.dir().join("state"), self.share.clone()];
        let planned = self.script.shim.plan(&self.table, &under, fault, call)?;
        let files = [&self.script.early, &self.script.late];
        self.ann.set_environment(planned);
        self.ann.launch()?;
        let begin = Instant::now();
        let mut dropped = false;
        let end = self.until(|lane| {
            if !dropped && lane.ask().is_ok() {
                lane.drop_in(files[1])?;
                dropped = true;
            }
            lane.look(&files)
        })?;
        let took = begin.elapsed();
        let Seen { calls, hit } = Seen::read(&self.table)?;
        let what = hit.clone().unwrap_or_else(|| "no call".to_owned());
        let end = self.judge_end(fault, end).with_context(|| what.clone())?;
        self.judge_after(dropped, &files)
            .with_context(|| format!("the start after {what}"))?;
        Ok(Run {
            calls,
            hit,
            end,
            took,
        })
    }

    /// The state of the morning, with the tracker running and the daemon not.
    fn restore(&mut self) -> Result<()> {
        self.control = None;
        self.ann.kill()?;
        self.lab.kill_tracker()?;
        for folder in self.folders() {
            fs::remove_dir_all(&folder)?;
            let name = folder.file_name().context("a name")?;
            let above = folder.parent().context("a folder")?;
            copy(&self.template.join(name), above)?;
        }
        let late = self.share.join(self.script.late.name);
        for left in [self.ann.dir().join("p2pd.log"), late] {
            if left.exists() {
                fs::remove_file(left)?;
            }
        }
        self.lab.start_tracker()
    }

    /// What p2pd did must be clear to its user.
    fn judge_end(&self, fault: Fault, end: Look) -> Result<End> {
        let said = self.ann.output();
        ensure!(!said.contains("panicked"), "{said}");
        // Names the state folder, its database, or what cannot be kept in it.
        let is_clear = |why: &str| why.contains("state");
        match end {
            Look::Whole => Ok(End::WentOn),
            Look::Refused(why) if is_clear(&why) => Ok(End::Refused),
            Look::Ended(_) if fault == Fault::Crash || last_error(&said).is_some_and(is_clear) => {
                Ok(End::Ended)
            }
            Look::Refused(why) | Look::Ended(why) => bail!("it is not clear why: {why}"),
            Look::NotYet(why) => bail!("after {LIMIT:?} still {why}\n{}", end_of(&said)),
        }
    }

    /// Kills p2pd and starts it on a disk that works: all must be as if nothing had failed.
    fn judge_after(&mut self, dropped: bool, files: &[&Dropped]) -> Result<()> {
        self.control = None;
        self.ann.kill()?;
        self.ann.set_environment(Vec::new());
        self.ann.launch()?;
        if !dropped {
            self.drop_in(&self.script.late)?;
        }
        self.wait(files)?;
        for entry in fs::read_dir(self.ann.dir().join("state"))? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            ensure!(!name.contains("damaged"), "{name} was set aside");
        }
        let (status, _) = self.ask()?;
        let port = status["port"].as_u64().context("no port")?;
        let addr = SocketAddr::from((self.ann.address(), u16::try_from(port)?));
        for file in files {
            let served = wild::fetch(addr, &file.info, LIMIT).context(file.name)?;
            ensure!(served == file.bytes, "{} is served wrong", file.name);
            let there = fs::read(self.share.join(file.name))?;
            ensure!(there == file.bytes, "{} was changed", file.name);
        }
        let said = self.ann.output();
        ensure!(!said.contains("panicked"), "{said}");
        Ok(())
    }

    /// What is the same at the begin of each run.
    fn folders(&self) -> [PathBuf; 2] {
        [self.ann.dir().join("state"), self.lab.dir().join("tracker")]
    }

    fn drop_in(&self, file: &Dropped) -> Result<()> {
        fs::copy(&file.path, self.share.join(file.name))?;
        Ok(())
    }

    fn wait(&mut self, files: &[&Dropped]) -> Result<()> {
        match self.until(|lane| lane.look(files))? {
            Look::Whole => Ok(()),
            Look::NotYet(why) | Look::Refused(why) | Look::Ended(why) => {
                bail!("{why}\n{}", end_of(&self.ann.output()))
            }
        }
    }

    /// Looks again and again, until there is nothing to wait for.
    fn until(&mut self, mut look: impl FnMut(&mut Self) -> Result<Look>) -> Result<Look> {
        let end = Instant::now() + LIMIT;
        loop {
            let now = look(self)?;
            if !matches!(now, Look::NotYet(_)) || Instant::now() > end {
                return Ok(now);
            }
            thread::sleep(PAUSE); // between two looks at the condition
        }
    }

    /// How it stands with these files, of which the first was published before.
    fn look(&mut self, files: &[&Dropped]) -> Result<Look> {
        let (status, items) = match self.ask() {
            Ok(answers) => answers,
            Err(error) => {
                self.control = None;
                if let Err(ended) = self.ann.ensure_alive() {
                    return Ok(Look::Ended(format!("{ended:#}")));
                }
                let why = format!("{error:#}");
                return Ok(match why.contains("it did not start") {
                    true => Look::Refused(why),
                    false => Look::NotYet(format!("no answer: {why}")),
                });
            }
        };
        // What the tracker has is asked for after p2pd said what it has.
        let catalogue = self.catalogue()?;
        let known: Vec<String> = files.iter().map(|file| file.hash()).collect();
        let (held, published) = (hashes(&items)?, hashes(&catalogue)?);
        let false_claim = held
            .iter()
            .chain(&published)
            .find(|hash| !known.contains(hash));
        ensure!(
            false_claim.is_none(),
            "claimed, and no file's: {false_claim:?}"
        );
        let share = &status["shares"][0];
        ensure!(
            share["published"].as_u64() <= Some(published.len() as u64),
            "p2pd says {share}, the tracker has {published:?}"
        );
        let is_first = files.len() == 1;
        ensure!(
            is_first || published.contains(&known[0]),
            "what was published is not"
        );

        let whole = files.len();
        let seeding = items.iter().filter(|item| item["state"] == "seeding");
        let is_whole = share["published"] == whole
            && share["pending"] == 0
            && (share["state"] == "watching" || share["state"] == "polling")
            && seeding.count() == whole
            && published.len() == whole
            && catalogue.iter().all(|row| row["seeds"] == 1);
        Ok(match is_whole {
            true => Look::Whole,
            false => Look::NotYet(format!("{share}, {items:?}, {catalogue:?}")),
        })
    }

    /// What p2pd says of itself, and its items.
    fn ask(&mut self) -> Result<(Value, Vec<Value>)> {
        let control = match &mut self.control {
            Some(control) => control,
            none => none.insert(self.ann.control()?),
        };
        let status = control.call("status", json!({}))?;
        let page = control.call("item.list", json!({}))?;
        let items = page["items"].as_array().context("no items")?;
        Ok((status, items.clone()))
    }

    fn catalogue(&self) -> Result<Vec<Value>> {
        let (url, token) = (self.lab.url(), &self.token);
        let (status, page) = http::request(url, "GET", "/v1/files?limit=500", token, &Value::Null)?;
        ensure!(status == 200, "{status}: {page}");
        Ok(page["items"].as_array().context("no items")?.clone())
    }
}

fn hashes(rows: &[Value]) -> Result<Vec<String>> {
    let hash = |row: &Value| Some(row["info_hash"].as_str()?.to_owned());
    let hashes = rows.iter().map(|row| hash(row).context("no info-hash"));
    hashes.collect()
}

/// The reason that p2pd gave as it ended, if it did: all else that it printed is its log.
fn last_error(printed: &str) -> Option<&str> {
    let mut errors = printed.lines().rev();
    errors.find_map(|line| line.strip_prefix("p2pd: "))
}

/// The last lines of a log.
fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Copies a folder into another.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(copied.success(), "cannot copy {}", from.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_end_is_no_line_of_the_log() {
        let log = "2026-01-01T00:00:00Z  WARN state: slow\n";
        assert_eq!(last_error(log), None);
        let ended = format!("{log}p2pd: no room\n{log}");
        assert_eq!(last_error(&ended), Some("no room"));
    }
}
