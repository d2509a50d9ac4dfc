//! What the programs tell about themselves: metrics and the dashboard made of them.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use p2p_tests::lab::{Lab, Peer, Programs, wait_for};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);
const METRICS: &str = "[metrics]\nlisten = [\"127.0.0.1:0\"]\n";

/// The body of `GET /metrics` at the address that a program wrote to its log.
fn metrics(log: &str) -> Result<String> {
    let from = log
        .find("metrics at http://")
        .context("no metrics in the log")?;
    let address = &log[from + "metrics at http://".len()..];
    let address = address.split('/').next().unwrap_or_default();
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(
        head.starts_with("HTTP/1.1 200") && head.contains("version=0.0.4"),
        "{head}"
    );
    Ok(body.to_owned())
}

/// The names that can be asked for, each of which has a type and a help.
fn names(text: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).context("a sample has a value")?;
        let name = &line[..end];
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|family| text.contains(&format!("# TYPE {family} histogram\n")))
            .unwrap_or(name);
        for kind in ["HELP", "TYPE"] {
            ensure!(
                text.contains(&format!("# {kind} {family} ")),
                "no {kind} of {name}"
            );
        }
        names.insert(name.to_owned());
    }
    Ok(names)
}

/// What an expression of the dashboard asks for.
fn asked(expression: &str) -> impl Iterator<Item = &str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let ours = |word: &&str| {
        ["p2pd_", "p2p_", "process_"]
            .iter()
            .any(|start| word.starts_with(start))
    };
    expression.split(word).filter(ours)
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(keys) => {
            found.extend(keys.get("expr").and_then(Value::as_str).map(str::to_owned));
            keys.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

fn dashboard() -> Result<Value> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = repository.join("packaging/examples/p2p-tracker/grafana.json");
    Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?)
}

fn sharing(lab: &Lab) -> Result<Peer> {
    let settings = format!("[shares]\nsettle = \"1s\"\n{METRICS}");
    let ann = lab.member("ann", &settings)?;
    let share = ann.dir().join("Public");
    std::fs::create_dir(&share)?;
    std::fs::write(share.join("note.txt"), "a note of 20 bytes.\n")?;
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_seeding("note.txt", LIMIT)?;
    Ok(ann)
}

#[test]
fn the_dashboard_asks_for_metrics_that_the_programs_have() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, METRICS)?;
    let ann = sharing(&lab)?;
    let tracker = || metrics(&std::fs::read_to_string(dir.path().join("tracker.log"))?);
    let mut known = names(&tracker()?)?;
    known.extend(names(&metrics(&ann.output())?)?);

    let mut wanted = Vec::new();
    expressions(&dashboard()?, &mut wanted);
    ensure!(
        wanted.len() > 10,
        "the dashboard has {} expressions",
        wanted.len()
    );
    for expression in &wanted {
        ensure!(
            asked(expression).next().is_some(),
            "{expression} asks for nothing of ours"
        );
        for name in asked(expression) {
            ensure!(
                known.contains(name),
                "{name} in {expression} does not exist: {known:?}"
            );
        }
    }
    Ok(())
}

/// What Grafana takes a dashboard of schema 39 for without changing it: numbered panels in a grid of 24 columns, sources by type and uid.
#[test]
fn the_dashboard_is_of_the_schema_it_says() -> Result<()> {
    let dashboard = dashboard()?;
    ensure!(dashboard["schemaVersion"] == 39, "{dashboard}");
    let variables = dashboard["templating"]["list"].as_array();
    let variable = variables.and_then(|all| all.first());
    let variable = variable.context("a variable")?;
    ensure!(
        variable["type"] == "datasource" && variable["name"] == "datasource",
        "{variable}"
    );
    let panels = dashboard["panels"].as_array().context("panels")?;
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let id = panel["id"].as_u64().context("a number")?;
        ensure!(ids.insert(id), "panel {id} is there twice");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64());
        let (x, y) = (x.context("x")?, y.context("y")?);
        let (right, bottom) = (x + w.context("w")?, y + h.context("h")?);
        ensure!(right <= 24, "{panel}");
        for cell in (x..right).flat_map(|x| (y..bottom).map(move |y| (x, y))) {
            ensure!(cells.insert(cell), "another lies under {panel}");
        }
        if panel["type"] == "row" {
            continue;
        }
        ensure!(
            ["timeseries", "stat"].contains(&panel["type"].as_str().unwrap_or_default()),
            "{panel}"
        );
        let source = &panel["datasource"];
        ensure!(
            source["type"] == "prometheus" && source["uid"] == "${datasource}",
            "{panel}"
        );
        let targets = panel["targets"].as_array().context("targets")?.iter();
        let names: BTreeSet<_> = targets.clone().map(|t| t["refId"].as_str()).collect();
        ensure!(
            names.len() == targets.len() && !names.contains(&None),
            "{panel}"
        );
    }
    Ok(())
}

#[test]
fn metrics_follow_what_happens() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, METRICS)?;
    let ann = sharing(&lab)?;
    let me = std::process::Command::new("id").arg("-un").output()?;
    let me = String::from_utf8(me.stdout)?.trim().to_owned();
    wait_for("the metrics of the share", LIMIT, || {
        let text = metrics(&ann.output())?;
        for line in [
            "p2pd_items{state=\"seeding\"} 1",
            "p2pd_items_bytes 20",
            "p2pd_items_missing_bytes 0",
            "p2pd_tracker_up{tracker=\"home\"} 1",
        ] {
            ensure!(
                text.lines().any(|there| there == line),
                "no {line} in\n{text}"
            );
        }
        // Whose it is belongs to a share's name.
        let line =
            format!("p2pd_share_items{{owner=\"{me}\",share=\"Public\",state=\"published\"}} 1");
        ensure!(
            text.lines().any(|there| there == line),
            "no {line} in\n{text}"
        );
        Ok(Some(()))
    })?;
    wait_for("the metrics of the tracker", LIMIT, || {
        let text = metrics(&std::fs::read_to_string(dir.path().join("tracker.log"))?)?;
        for line in [
            "p2p_tracker_accounts 1",
            "p2p_tracker_files 1",
            "p2p_tracker_peers 1",
        ] {
            ensure!(
                text.lines().any(|there| there == line),
                "no {line} in\n{text}"
            );
        }
        Ok(Some(()))
    })
}

#[test]
fn logs_are_json_on_request() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let as_json = "log_format = \"json\"\nlog_level = \"debug\"\n";
    let settings = format!("[tracker]\n{as_json}");
    let lab = Lab::start(dir.path(), Programs::beside_this()?, &settings)?;
    let mut ann = sharing(&lab)?;
    ann.ctl(&["config", "set", "daemon.log_format", "json"])?;
    ann.stop()?;
    let before = ann.output().len();
    ann.start()?;
    ann.stop()?;
    let tracker = std::fs::read_to_string(dir.path().join("tracker.log"))?;
    for (whose, log, said) in [
        ("the tracker", &*tracker, "listening"),
        ("ann", &ann.output()[before..], "p2pd 0"),
    ] {
        let mut found = false;
        for line in log.lines() {
            let line: Value =
                serde_json::from_str(line).with_context(|| format!("{whose} logs {line:?}"))?;
            for field in ["timestamp", "level", "target", "message"] {
                ensure!(line[field].is_string(), "no {field} in {line}");
            }
            found |= line["message"]
                .as_str()
                .is_some_and(|text| text.contains(said));
        }
        ensure!(found, "{whose} does not say {said:?}:\n{log}");
    }
    Ok(())
}
