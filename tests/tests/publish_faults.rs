//! A scripted publish on a disk that fails call N, for every N: nothing wrong is ever claimed, and everything recovers.
//!
//! p2pd starts, a file is dropped into its share, hashed, recorded in the state database, published and seeded. What fails is a call on the
//! state folder or on the share.
//!
//! An ordinary run takes one call in [`STEP`], others each time; `P2P_FAULTS=all` takes them all, `P2P_FAULTS=broken:92` that one.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use p2p_tests::faults::{Dropped, End, Fault, Lane, Run, Script, Shim};

/// Of an ordinary run one call in so many.
const STEP: u64 = 5;
/// Publishes at a time: mostly they wait.
const LANES: u8 = 6;
/// The third number of the lanes' addresses, 127.0.N.
const NETWORK: u8 = 20;
/// There are no more calls when so many runs did not come to theirs: how many there are differs a little from run to run.
const UNREACHED: u64 = 3;
/// No more is tried when so many runs went wrong: each may have taken a minute.
const WRONG: usize = 12;

/// Which calls fail, and what came of it.
struct Sweep {
    faults: Vec<Fault>,
    step: u64,
    /// The next call for each fault, and how many runs of it were not reached.
    next: [AtomicU64; 4],
    unreached: [AtomicU64; 4],
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    runs: u32,
    /// In how many of them a call failed.
    failed: u32,
    went_on: u32,
    refused: u32,
    ended: u32,
    /// Calls of a run in which none failed, for each fault.
    calls: [u64; 4],
    slowest: (Duration, String),
    wrong: Vec<String>,
}

impl Sweep {
    fn new() -> Result<Self> {
        let asked = std::env::var("P2P_FAULTS").ok();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let from = |step, first: [u64; 4]| Self {
            faults: Fault::ALL.to_vec(),
            step,
            next: first.map(AtomicU64::new),
            unreached: Default::default(),
            tally: Mutex::default(),
        };
        Ok(match asked.as_deref() {
            None => from(STEP, [0, 1, 2, 3].map(|apart| 1 + (unix + apart) % STEP)),
            Some("all") => from(1, [1; 4]),
            Some(one) => {
                let (name, call) = one.split_once(':').context("P2P_FAULTS=FAULT:CALL")?;
                let is_named = |fault: &Fault| fault.name() == name;
                let fault = Fault::ALL.into_iter().find(is_named);
                Self {
                    faults: vec![fault.context("full, broken, short or crash")?],
                    ..from(u64::MAX / 2, [call.parse()?; 4])
                }
            }
        })
    }

    /// Takes the next calls until there are none.
    fn work(&self, dir: &Path, number: u8, script: &Script) -> Result<()> {
        let mut lane = Lane::new(&dir.join(number.to_string()), NETWORK + number, script)?;
        for fault in &self.faults {
            let (next, unreached) = (
                &self.next[*fault as usize],
                &self.unreached[*fault as usize],
            );
            while unreached.load(Ordering::Relaxed) < UNREACHED && self.tally().wrong.len() < WRONG
            {
                let call = next.fetch_add(self.step, Ordering::Relaxed);
                if call > u64::MAX / 4 {
                    break;
                }
                let run = lane.run(*fault, call);
                if run.as_ref().is_ok_and(|run| run.hit.is_none()) {
                    unreached.fetch_add(1, Ordering::Relaxed);
                }
                self.count(*fault, call, run);
            }
        }
        Ok(())
    }

    fn count(&self, fault: Fault, call: u64, run: Result<Run>) {
        let mut tally = self.tally();
        tally.runs += 1;
        let Run {
            calls,
            hit,
            end,
            took,
        } = match run {
            Ok(run) => run,
            Err(error) => {
                let wrong = format!("P2P_FAULTS={}:{call}: {error:#}", fault.name());
                eprintln!("{wrong}");
                return tally.wrong.push(wrong);
            }
        };
        match end {
            End::WentOn => tally.went_on += 1,
            End::Refused => tally.refused += 1,
            End::Ended => tally.ended += 1,
        }
        let Some(hit) = hit else {
            let most = &mut tally.calls[fault as usize];
            *most = (*most).max(calls);
            return;
        };
        tally.failed += 1;
        if took > tally.slowest.0 {
            tally.slowest = (took, format!("{fault:?}: {}", hit));
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[test]
fn a_disk_that_fails_any_one_call_delays_a_publish_and_nothing_else() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(shim) = Shim::build(dir.path())? else {
        return Ok(());
    };
    let script = Script {
        shim,
        early: Dropped::new(dir.path(), "early.bin", 50_000)?,
        late: Dropped::new(dir.path(), "late.bin", 40_000)?,
    };
    let (sweep, begin) = (Sweep::new()?, Instant::now());
    let work = |number| sweep.work(dir.path(), number, &script);
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        let ended = lanes
            .into_iter()
            .map(|lane| lane.join().expect("lanes give errors back"));
        ended.collect::<Result<Vec<()>>>()
    })?;
    let tally = sweep.tally();
    eprintln!(
        "{} publishes in {:.0?}, in {} of them a call failed, one in {} of {:?} that {:?} can befall: p2pd went on {} times, refused to start {}, ended {}; slowest {:.1?}, {}",
        tally.runs,
        begin.elapsed(),
        tally.failed,
        sweep.step,
        tally.calls,
        Fault::ALL,
        tally.went_on,
        tally.refused,
        tally.ended,
        tally.slowest.0,
        tally.slowest.1,
    );
    let wrong = &tally.wrong;
    ensure!(wrong.is_empty(), "{} went wrong: {wrong:#?}", wrong.len());
    ensure!(tally.failed > 0, "no call failed: the shim is not asked");
    Ok(())
}
