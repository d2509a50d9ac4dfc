//! The guided tour: a tracker and three peers, one shared folder, one file, and where its bytes went.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::content::{generate, sha1_of};
use crate::lab::{Lab, Peer, Programs, wait_for};

/// Length of the file that the tour makes when none is given, in bytes: 2,899 pieces of 512 KiB.
pub const DEFAULT_LEN: u64 = 1_519_802_169;

/// What to show.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file to share; one of `len` bytes is made when absent. It is copied, never touched.
    pub file: Option<PathBuf>,
    /// Length of the file to make, in bytes.
    pub len: u64,
    /// How fast A may upload, such as `64MiB/s`; `None` lifts the limit.
    pub upload: Option<String>,
    /// An existing empty folder to work in.
    pub dir: PathBuf,
    /// How long the transfers may take.
    pub limit: Duration,
}

/// What the tour saw.
#[derive(Debug)]
pub struct Outcome {
    /// Length of the file in bytes.
    pub len: u64,
    /// SHA-1 of the file at A, B and C.
    pub sha1: [String; 3],
    /// Bytes that C received from each peer, by that peer's name.
    pub c_received: BTreeMap<String, u64>,
    /// Lines of the tracker's log that report pieces.
    pub points: Vec<String>,
    /// From the start of B's fetch until B and C were both complete.
    pub took: Duration,
}

/// Runs the tour; what a user should see goes to `out`.
pub fn run(options: &Options, programs: Programs, out: &mut dyn Write) -> Result<Outcome> {
    let show = &mut Show { out };
    show.title("1. A tracker, and three peers with an account each")?;
    let lab = Lab::start(&options.dir, programs, "")?;
    show.line(&format!("p2p-tracker listens on {}", lab.url()))?;
    // On one machine every address is local, and local traffic is not limited unless one asks for it.
    let limits = options.upload.as_ref().map_or_else(String::new, |rate| {
        format!("[limits]\nupload = \"{rate}\"\nlan_exempt = false\n")
    });
    let a = lab.member("ann", &limits)?;
    let b = lab.member("bob", "")?;
    let c = lab.member("cleo", "")?;
    for peer in [&a, &b, &c] {
        show.line(&format!("{}: p2pd is process {}", peer.name(), peer.pid()))?;
        show.command(peer, &["whoami"])?;
    }

    show.title("2. ann shares a folder and drops a file into it")?;
    let shared = options.dir.join("Public");
    fs::create_dir(&shared)?;
    show.command(&a, &["share", &shared.display().to_string()])?;
    let (name, len) = drop_file(options, &shared, show)?;
    let limit = options.limit;
    a.wait_seeding(&name, limit)?;
    let entry = a.wait_published(&name, limit)?;
    let target = format!("ann/Public/{name}");
    show.line(&format!(
        "published as {target}: {} pieces of {} KiB, info-hash {}",
        entry["pieces"],
        entry["piece_len"].as_u64().unwrap_or_default() / 1024,
        entry["info_hash"].as_str().unwrap_or_default()
    ))?;

    show.title("3. bob fetches it; cleo joins while bob is under way")?;
    let began = Instant::now();
    show.command(&b, &["fetch", "--detach", &target])?;
    wait_for("bob to be under way", limit, || {
        let item = b.item(&name)?.context("bob has no item")?;
        Ok((done(&item) >= 0.2).then_some(()))
    })?;
    show.command(&c, &["fetch", "--detach", &target])?;
    follow(&lab, [&b, &c], &name, limit, show)?;
    let took = began.elapsed();

    show.title("4. What the tracker saw: piece points")?;
    let points = points_of(&lab, &name)?;
    for line in sample(&points, 8) {
        show.line(line)?;
    }
    show.line(&format!("({} such reports in all)", points.len()))?;

    show.title("5. Who got how much from whom")?;
    let who = [&a, &b, &c].map(|peer| (peer.address().to_string(), peer.name()));
    received(&b, &name, &who, show)?;
    let c_received = received(&c, &name, &who, show)?;

    show.title("6. The three files")?;
    let paths = [
        shared.join(&name),
        b.downloads().join(&name),
        c.downloads().join(&name),
    ];
    let mut sha1 = [const { String::new() }; 3];
    for (sum, path) in sha1.iter_mut().zip(&paths) {
        *sum = sha1_of(path)?;
        show.line(&format!("{sum}  {}", path.display()))?;
    }
    ensure!(sha1[0] == sha1[1] && sha1[1] == sha1[2], "the files differ");
    show.line("All three are equal.")?;
    Ok(Outcome {
        len,
        sha1,
        c_received,
        points,
        took,
    })
}

/// What a user types to do the same on machines of their own.
pub const ON_YOUR_MACHINES: &str = "\
On the machine that everybody can reach:
  sudo packaging/install.sh
  sudo systemctl enable --now p2p-tracker
  sudo p2p-tracker invite -n 2                 # a code for each account

On every machine:
  packaging/install.sh --user
  systemctl --user enable --now p2pd
  p2pctl tracker add home http://TRACKER:6969
  p2pctl register                              # asks for the code, a name and a password

Where the file is:                             Where it is wanted:
  p2pctl share ~/Public                          p2pctl fetch NAME/Public/big.iso
  cp big.iso ~/Public/                           p2pctl ls
";

struct Show<'a> {
    out: &'a mut dyn Write,
}

impl Show<'_> {
    fn title(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "\n{text}")?;
        Ok(())
    }

    fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "   {text}")?;
        self.out.flush()?;
        Ok(())
    }

    /// Runs a command and shows it with what it printed.
    fn command(&mut self, peer: &Peer, args: &[&str]) -> Result<()> {
        self.line(&format!("{}$ p2pctl {}", peer.name(), args.join(" ")))?;
        let output = peer.command(args).output()?;
        for text in [&output.stdout, &output.stderr] {
            for line in String::from_utf8_lossy(text).lines() {
                self.line(&format!("  {line}"))?;
            }
        }
        ensure!(
            output.status.success(),
            "p2pctl {} ended with {}",
            args.join(" "),
            output.status
        );
        Ok(())
    }
}

fn drop_file(options: &Options, shared: &Path, show: &mut Show<'_>) -> Result<(String, u64)> {
    let staged = options.dir.join("staged");
    let name = match &options.file {
        Some(file) => {
            let name = file.file_name().context("the file has no name")?;
            show.line(&format!("copying {}", file.display()))?;
            fs::copy(file, &staged).with_context(|| format!("copy {}", file.display()))?;
            name.to_str()
                .context("the file's name is not UTF-8")?
                .to_owned()
        }
        None => {
            show.line(&format!("making a file of {} bytes", options.len))?;
            generate(&staged, options.len, 1)?;
            "big.iso".to_owned()
        }
    };
    let len = fs::metadata(&staged)?.len();
    fs::rename(&staged, shared.join(&name))?;
    show.line(&format!(
        "dropped {name} ({len} bytes) into {}",
        shared.display()
    ))?;
    Ok((name, len))
}

fn done(item: &Value) -> f64 {
    let bytes = |key: &str| item[key].as_f64().unwrap_or_default();
    if bytes("size") > 0.0 {
        bytes("done") / bytes("size")
    } else {
        0.0
    }
}

/// Shows progress until both have it all.
fn follow(
    lab: &Lab,
    peers: [&Peer; 2],
    name: &str,
    limit: Duration,
    show: &mut Show<'_>,
) -> Result<()> {
    let mut shown = None::<Instant>;
    wait_for("both fetches to end", limit, || {
        let mut line = String::new();
        let mut complete = 0;
        for peer in peers {
            let item = peer.item(name)?.context("the item is gone")?;
            if item["state"] == "error" {
                bail!("{}: {item}", peer.name());
            }
            complete += u32::from(item["state"] == "seeding");
            line.push_str(&format!(
                "{:<5} {:>4.0}% {:>6.1} MiB/s from {} peers   ",
                peer.name(),
                done(&item) * 100.0,
                item["down_rate"].as_f64().unwrap_or_default() / 1_048_576.0,
                item["peers"]
            ));
        }
        if complete == 2 || shown.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            shown = Some(Instant::now());
            let points = points_of(lab, name)?;
            show.line(&format!(
                "{line}{}",
                points.last().map_or("", String::as_str)
            ))?;
        }
        Ok((complete == 2).then_some(()))
    })
}

/// The sentences of the tracker's log that report pieces of `name`, oldest first.
fn points_of(lab: &Lab, name: &str) -> Result<Vec<String>> {
    let log = lab.tracker_log(&["--file", name])?;
    let sentences = log.lines().filter_map(|line| line.rsplit('\t').next());
    let reports = sentences.filter(|text| text.contains(" reports piece"));
    Ok(reports.map(str::to_owned).collect())
}

/// `count` of `lines`, spread evenly.
fn sample(lines: &[String], count: usize) -> impl Iterator<Item = &String> {
    let step = lines.len().div_ceil(count).max(1);
    lines.iter().step_by(step)
}

/// Bytes that `peer` received from each of the others, from its history.
fn received(
    peer: &Peer,
    name: &str,
    who: &[(String, &str)],
    show: &mut Show<'_>,
) -> Result<BTreeMap<String, u64>> {
    let history = wait_for("the history", Duration::from_secs(10), || {
        let rows = peer.rows(&["history", "--item", name])?;
        Ok((!rows.is_empty()).then_some(rows))
    })?;
    let mut from = BTreeMap::<String, u64>::new();
    for row in &history {
        let bytes = row["downloaded"].as_u64().unwrap_or_default();
        let addr = row["peer"].as_str().unwrap_or_default();
        let ip = addr.rsplit_once(':').map_or(addr, |(ip, _)| ip);
        let known = who.iter().find(|(address, _)| address == ip);
        *from
            .entry(known.map_or(addr, |(_, name)| name).to_owned())
            .or_default() += bytes;
    }
    from.retain(|_, bytes| *bytes > 0);
    for (other, bytes) in &from {
        show.line(&format!(
            "{} received {bytes} bytes from {other}",
            peer.name()
        ))?;
    }
    Ok(from)
}
