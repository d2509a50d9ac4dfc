//! The examples in the documents: each is run against real programs, as it stands there.
//!
//! `sh` blocks of a document run in their order as one script, in which `sudo` and `systemctl` do what they would for the tracker of a lab;
//! `toml` blocks are configurations of the tracker; `jsonl` blocks are conversations with a p2pd; `hex` blocks are reports of piece points.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use p2p_tests::lab::{Lab, Peer, Programs};
use p2p_wire::points::Report;
use serde_json::Value;

fn document(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    Ok(fs::read_to_string(path)?)
}

/// The blocks of a kind, in their order.
fn blocks(text: &str, kind: &str) -> Result<Vec<String>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(found) = line.strip_prefix("```") else {
            continue;
        };
        ensure!(
            ["sh", "toml", "jsonl", "hex"].contains(&found),
            "no test runs blocks of {found:?}"
        );
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if found == kind {
            blocks.push(block.join("\n") + "\n");
        }
    }
    ensure!(!blocks.is_empty(), "no blocks of {kind}");
    Ok(blocks)
}

/// A tracker and a p2pd that is logged in there.
struct Stage {
    dir: tempfile::TempDir,
    lab: Lab,
    peer: Peer,
    programs: PathBuf,
}

impl Stage {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
        let peer = lab.member("reader", "")?;
        let programs = std::env::current_exe()?;
        let programs = programs
            .ancestors()
            .nth(2)
            .context("no folder of programs")?;
        Ok(Self {
            programs: programs.to_owned(),
            dir,
            lab,
            peer,
        })
    }

    /// The text with this stage's tracker in place of the one in the documents.
    fn here(&self, text: &str) -> String {
        let config = self.dir.path().join("p2p-tracker.toml");
        let address = self.lab.url().trim_start_matches("http://");
        let (ip, port) = address.split_once(':').unwrap_or_default();
        // The folder of this stage may be below /tmp itself.
        text.replace("/tmp/", &format!("{}/", self.dir.path().display()))
            .replace("/etc/p2p/p2p-tracker.toml", &config.display().to_string())
            .replace(
                "/var/lib/p2p-tracker",
                &self.dir.path().join("tracker").display().to_string(),
            )
            .replace("nas:6969", address)
            .replace("PORT", port)
            .replace("ADDRESS", ip)
    }

    /// Runs the shell blocks; each line must succeed.
    fn run(&self, text: &str) -> Result<()> {
        let bin = self.dir.path().join("bin");
        fs::create_dir(&bin)?;
        let dir = self.dir.path().display();
        let programs = self.programs.display();
        let tracker = format!(
            "exec {programs}/p2p-tracker \"$@\" --config {dir}/p2p-tracker.toml --state-dir {dir}/tracker"
        );
        let ctl = self.peer.command(&[]);
        let args: Vec<String> = ctl
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        let ctl = format!("exec {programs}/p2pctl {} \"$@\"", args.join(" "));
        // What the unit says for these; the lab's tracker runs already.
        let systemctl = format!(
            "case \"$*\" in 'enable --now p2p-tracker') ;; 'reload p2p-tracker') kill -HUP $(grep -o '[0-9]*' {dir}/tracker/lock | head -1) ;; *) exit 1 ;; esac"
        );
        for (name, script) in [
            ("sudo", "exec \"$@\""),
            ("p2p-tracker", &tracker),
            ("p2pctl", &ctl),
            ("systemctl", &systemctl),
        ] {
            let path = bin.join(name);
            fs::write(&path, format!("#!/bin/bash\n{script}\n"))?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(path, mode)?;
        }
        let tls = fs::read_to_string(self.dir.path().join("tracker/tls.pem"))?;
        fs::write(self.dir.path().join("tracker.pem"), tls)?;
        let script = self.here(&blocks(text, "sh")?.concat());
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("bash")
            .args(["-euxo", "pipefail", "-c", &script])
            .env("PATH", format!("{}:{path}", bin.display()))
            .current_dir(self.dir.path())
            .output()?;
        ensure!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

#[test]
fn the_examples_for_administrators_run() -> Result<()> {
    let text = document("admin.md")?;
    let stage = Stage::new()?;
    let (address, trusted) = (stage.lab.url().replace("http://", "https://"), "home");
    // The example trusts a tracker that is known over https.
    stage.peer.ctl(&["tracker", "rm", trusted, "--yes"])?;
    stage
        .peer
        .ctl(&["tracker", "add", trusted, &address, "--yes"])?;
    stage.run(&text)?;
    for block in blocks(&text, "toml")? {
        let file = stage.dir.path().join("example.toml");
        fs::write(&file, &block)?;
        let checked = Command::new(stage.programs.join("p2p-tracker"))
            .args(["config", "check", "--config"])
            .arg(&file)
            .output()?;
        ensure!(checked.status.success(), "{block}\n{checked:?}");
    }
    Ok(())
}

#[test]
fn the_examples_of_the_trackers_api_run() -> Result<()> {
    Stage::new()?.run(&document("protocol.md")?)
}

#[test]
fn the_conversations_with_p2pd_go_as_they_are_written() -> Result<()> {
    let stage = Stage::new()?;
    let socket = UnixStream::connect(stage.peer.dir().join("run/control.sock"))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut answers = BufReader::new(socket.try_clone()?).lines();
    for line in stage
        .here(&blocks(&document("protocol.md")?, "jsonl")?.concat())
        .lines()
    {
        match line.split_at_checked(2) {
            Some(("> ", request)) => writeln!(&socket, "{request}")?,
            Some(("< ", expected)) => {
                let expected: Value = serde_json::from_str(expected).context(line.to_owned())?;
                let answer = loop {
                    let answer = answers.next().context("the daemon hung up")??;
                    let answer: Value = serde_json::from_str(&answer)?;
                    // Events come as they happen.
                    if answer.get("id").is_some() {
                        break answer;
                    }
                };
                ensure!(
                    fits(&answer, &expected),
                    "expected {expected}\ngot {answer}"
                );
            }
            _ => bail!("neither a request nor an answer: {line}"),
        }
    }
    Ok(())
}

/// Whether all that is expected is there; `...` is anything.
fn fits(answer: &Value, expected: &Value) -> bool {
    match expected {
        Value::String(any) if any == "..." => !answer.is_null(),
        Value::Object(keys) => keys.iter().all(|(key, value)| match answer.get(key) {
            Some(found) => fits(found, value),
            // What is null may be left out.
            None => value.is_null() && key != "result",
        }),
        other => answer == other,
    }
}

#[test]
fn the_report_of_piece_points_is_one() -> Result<()> {
    for block in blocks(&document("protocol.md")?, "hex")? {
        let digits: Vec<u8> = block.bytes().filter(u8::is_ascii_hexdigit).collect();
        let bytes: Result<Vec<u8>, _> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16))
            .collect();
        let bytes = bytes?;
        let report = Report::from_bytes(&bytes)?;
        ensure!(
            report.port == 7_000 && report.items.len() == 1,
            "{report:?}"
        );
        let item = &report.items[0];
        let expected = p2p_wire::points::checksum([0, 1, 4]);
        ensure!(item.held == 3 && item.checksum == expected, "{item:?}");
        ensure!(report.to_bytes() == bytes, "{report:?}");
    }
    Ok(())
}
