//! Wrong calls, each with its exact answer: the table is `wrong.txt` beside this file.
//!
//! Each call of the table is made to a real tracker. What it answers must be what stands below the call, byte for byte, and afterwards all
//! that was there before must still be there, also after a restart. The table as it would have to read is written to `wrong.txt` in the
//! folder for the tests' own files, to be looked at, and copied where the change was meant.

use std::net::UdpSocket;
use std::path::Path;

use p2p_wire::announce::udp::{Body, Reply, Request};
use p2p_wire::{InfoHash, points};

use crate::answers::{Answer, text};
use crate::harness::{PATIENCE, Tracker, announce_of};
use crate::world::World;

const TABLE: &str = include_str!("wrong.txt");
/// What begins a part of the table, with a tracker and settings of its own.
const PART: &str = "== ";
/// What begins a line of an answer.
const SAID: &str = "  ";

#[test]
fn every_wrong_call_is_answered_as_the_table_says() {
    let mut parts: Vec<Vec<&str>> = vec![Vec::new()];
    for line in TABLE.lines().filter(|line| !line.starts_with(SAID)) {
        if line.starts_with(PART) {
            parts.push(Vec::new());
        }
        parts.last_mut().unwrap().push(line);
    }
    // Side by side: most of the time is spent on passwords.
    let answered: Vec<String> = std::thread::scope(|scope| {
        let parts: Vec<_> = parts
            .iter()
            .map(|lines| scope.spawn(move || replay(lines)))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let actual = answered.concat();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wrong.txt");
    std::fs::write(&path, &actual).unwrap();
    let mut call = "";
    for (at, (is, should_be)) in actual.lines().zip(TABLE.lines()).enumerate() {
        if !should_be.starts_with(SAID) {
            call = should_be;
        }
        assert_eq!(
            is,
            should_be,
            "line {} below `{call}`; all answers are in {}",
            at + 1,
            path.display()
        );
    }
    assert!(
        actual == TABLE,
        "the last lines differ; all answers are in {}",
        path.display()
    );
}

/// The lines of one part with what is answered to each call.
fn replay(lines: &[&str]) -> String {
    let settings = lines.first().and_then(|line| line.strip_prefix(PART));
    let mut world = match settings {
        None => return lines.iter().map(|line| format!("{line}\n")).collect(),
        Some("stopped") => World::stopped(),
        Some(settings) => World::start(&settings.replace("] ", "]\n").replace("; ", "\n")),
    };
    let before = world.kept();
    let mut out = String::new();
    for line in lines {
        out.push_str(&format!("{line}\n"));
        let call = match line.strip_prefix("$ ") {
            Some(call) => Some(("$", call)),
            None => line
                .split_once("> ")
                .filter(|_| !line.starts_with(['#', '='])),
        };
        let Some((who, call)) = call else { continue };
        let said = match who {
            "$" => command(&world, call),
            "config" => configured(call, "check"),
            "serve" => configured(call, "serve"),
            "udp" => packet(&world, call),
            who => request(&world, who, call),
        };
        for line in world.masked(&said).lines().filter(|line| !line.is_empty()) {
            out.push_str(&format!("{SAID}{line}\n"));
        }
    }
    assert_eq!(world.kept(), before, "something was lost: {lines:?}");
    world.restart();
    assert_eq!(world.kept(), before, "lost by a restart: {lines:?}");
    let log = world.tracker.log();
    assert!(!log.contains("panicked"), "{log}");
    out
}

/// `METHOD PATH [header: value; ...] BODY`, the last two as needed; a body is JSON unless a header says otherwise.
fn request(world: &World, who: &str, call: &str) -> String {
    let mut words = call.splitn(3, ' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let rest = words.next().unwrap_or_default();
    let (given, body) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap(),
        None => ("", rest),
    };
    let bearer = format!("Bearer {}", world.token(who));
    let mut headers: Vec<(&str, &str)> = given
        .split("; ")
        .filter_map(|header| header.split_once(": "))
        .collect();
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        headers.push(("content-type", "application/json"));
    }
    if who != "nobody" && who != "prometheus" {
        headers.push(("authorization", &bearer));
    }
    let path = String::from_utf8(world.filled(path)).unwrap();
    let body = world.filled(body.trim_start());
    let address = match who {
        "prometheus" => world.metrics(),
        _ => world.tracker.addr(),
    };
    let answer = world
        .tracker
        .http_at(address, method, &path, &headers, &body);
    shown(&answer)
}

/// An answer as it stands in the table: of what succeeded little, of what failed all.
fn shown(answer: &Answer) -> String {
    let head = answer.head.to_lowercase();
    if answer.status < 400 {
        if answer.body.starts_with(b"d14:failure reason") {
            return text(&answer.body);
        }
        let statuses = points::Reply::from_bytes(&answer.body).map(|reply| {
            let statuses = reply.items.into_iter().map(|item| item.status);
            format!(" {:?}", statuses.collect::<Vec<_>>())
        });
        return format!("{}{}", answer.status, statuses.unwrap_or_default());
    }
    if !head.contains("content-type: application/problem+json") {
        return format!("{} {}", answer.status, text(&answer.body));
    }
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status, "{answer:?}");
    let [kind, title, hint] =
        ["type", "title", "hint"].map(|key| problem[key].as_str().unwrap_or("MISSING"));
    let wait = head.split("retry-after: ").nth(1);
    let wait = wait.and_then(|rest| rest.lines().next());
    let wait = wait.map(|secs| format!(" [retry after {secs} s]"));
    format!(
        "{} {kind}: {title}{}\n{hint}",
        answer.status,
        wait.unwrap_or_default()
    )
}

/// `announce HASH [URL data]`, `scrape HASH`, either with `forged` before it, or `bytes HEX`.
fn packet(world: &World, call: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(world.tracker.addr()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = |bytes: &[u8]| {
        socket.send(bytes).unwrap();
        let mut answer = [0; 2_048];
        let len = socket.recv(&mut answer).unwrap();
        answer[..len].to_vec()
    };
    let connect = |transaction| {
        let body = Body::Connect;
        Request { transaction, body }.to_bytes()
    };
    let answer = ask(&connect(1));
    let Ok(Some(Reply::Connect { connection })) = Reply::from_bytes(&answer, 1, false, &[]) else {
        panic!("{answer:?}");
    };
    let forged = call.strip_prefix("forged ");
    let connection = connection ^ u64::from(forged.is_some());
    let words: Vec<String> = forged
        .unwrap_or(call)
        .split(' ')
        .map(|word| text(&world.filled(word)))
        .collect();
    let hash = |text: &str| text.parse::<InfoHash>().unwrap();
    let packet = match (words[0].as_str(), &words[1..]) {
        ("bytes", [hex]) => data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap(),
        ("scrape", hashes) => {
            let hashes = hashes.iter().map(|text| hash(text)).collect();
            let body = Body::Scrape { connection, hashes };
            Request {
                transaction: 2,
                body,
            }
            .to_bytes()
        }
        ("announce", [item, url @ ..]) => {
            let announce = Box::new(announce_of(hash(item), 7001, 1));
            let url_data = url.concat();
            let body = Body::Announce {
                connection,
                announce,
                url_data,
            };
            Request {
                transaction: 2,
                body,
            }
            .to_bytes()
        }
        other => panic!("{other:?}"),
    };
    socket.send(&packet).unwrap();
    // Packets are answered one after the other: whatever comes before the answer to this is the answer to that.
    let first = ask(&connect(3));
    if let Ok(Some(_)) = Reply::from_bytes(&first, 3, false, &[]) {
        return "no answer".to_owned();
    }
    match Reply::from_bytes(&first, 2, false, &[InfoHash([0; 20])]) {
        Ok(Some(Reply::Error(reason))) => format!("error {reason}"),
        Ok(Some(Reply::Announce(_))) => "taken".to_owned(),
        Ok(Some(Reply::Scrape(_))) => "counts".to_owned(),
        other => panic!("{other:?}: {first:?}"),
    }
}

/// An administration command, perhaps with its standard input behind ` < `.
fn command(world: &World, call: &str) -> String {
    let call = text(&world.filled(call));
    let (args, input) = call.split_once(" < ").unwrap_or((&call, ""));
    let args: Vec<&str> = args.split(' ').collect();
    ended(&world.tracker.cli(&args, input))
}

/// What the program says about a configuration, with nothing else there.
fn configured(config: &str, how: &str) -> String {
    let tracker = Tracker::stopped("");
    let file = tracker.path("tracker.toml");
    std::fs::write(&file, config.replace("; ", "\n")).unwrap();
    let args: &[&str] = if how == "check" {
        &["config", "check"]
    } else {
        &[how]
    };
    let said = ended(&tracker.cli(args, ""));
    said.replace(tracker.path("").to_str().unwrap(), "<dir>/")
}

fn ended(output: &std::process::Output) -> String {
    let said = text(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    format!("exit {}\n{said}", output.status.code().unwrap())
}
