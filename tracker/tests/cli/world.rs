//! A tracker with some accounts and files, and the words that the table of wrong calls has for them.

use std::net::SocketAddr;

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Tracker, torrent};
use crate::words::{alike, words};

/// A tracker; ann, an administrator with two machines; bob; and carl, who is disabled. What is published is in [`World::publish`].
pub(crate) struct World {
    pub(crate) tracker: Tracker,
    running: bool,
    tokens: Vec<(&'static str, String)>,
    words: Vec<(&'static str, Vec<u8>)>,
}

/// Words that stand for what an answer may show too.
const SHOWN: [&str; 8] = [
    "hash", "own", "nothing", "prefix", "dir", "address", "passkey", "token",
];

impl World {
    /// A state folder with nothing in it.
    pub(crate) fn stopped() -> Self {
        let tracker = Tracker::stopped("");
        let dir = tracker
            .path("")
            .to_str()
            .unwrap()
            .trim_end_matches('/')
            .to_owned();
        Self {
            tracker,
            running: false,
            tokens: Vec::new(),
            words: vec![("dir", dir.into())],
        }
    }

    /// A running tracker with these settings.
    pub(crate) fn start(settings: &str) -> Self {
        let tracker = Tracker::start(settings);
        let args = ["user", "add", "ann", "--admin", "--password-file", "-"];
        tracker.ok(&args, PASSWORD);
        ["bob", "carl"].iter().for_each(|name| tracker.user(name));
        let [ann, other, bob, carl] = [
            ("ann", "nas1"),
            ("ann", "nas2"),
            ("bob", "pc"),
            ("carl", "pc"),
        ]
        .map(|(name, node)| tracker.login(name, node));
        let token = |session: &Value| session["token"].as_str().unwrap().to_owned();
        let tokens = vec![
            ("ann", token(&ann)),
            ("ann/nas2", token(&other)),
            ("bob", token(&bob)),
            ("carl", token(&carl)),
            ("stranger", "nonsense".to_owned()),
        ];
        tracker.ok(&["user", "disable", "carl"], "");
        let rotated = tracker.api("POST", "/v1/me/passkey/rotate", &tokens[0].1, &Value::Null);
        let rotated = rotated.expect(200);
        let mut world = Self {
            words: words(&tracker, &[&rotated, &ann, &carl].map(passkey)),
            tracker,
            running: true,
            tokens,
        };
        world.publish();
        world
    }

    /// ann's `s/a` with 4 pieces, `own`, which others do not see, and `x/1` and `x/2`, whose hashes begin alike.
    fn publish(&mut self) {
        let ann = self.token("ann").to_owned();
        let (a, own) = (torrent("a", 4, 1), torrent("own", 1, 2));
        self.tracker.publish(&ann, "s", "a", &a).expect(201);
        let body = json!({"metainfo": BASE64.encode(&own.to_bytes()), "visibility": "own"});
        self.tracker
            .api("POST", "/v1/files", &ann, &body)
            .expect(201);
        let (prefix, alike) = alike();
        for (name, content) in ["1", "2"].iter().zip(&alike) {
            self.tracker.publish(&ann, "x", name, content).expect(201);
        }
        self.words.push(("prefix", prefix.into()));
    }

    pub(crate) fn token(&self, who: &str) -> &str {
        let known = self.tokens.iter().find(|(name, _)| *name == who);
        known.map_or("", |(_, token)| token)
    }

    /// Where metrics are, as the log says.
    pub(crate) fn metrics(&self) -> SocketAddr {
        let log = self.tracker.log();
        let (_, rest) = log.split_once("metrics at http://").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    }

    /// `text` with what each `<word>` stands for in its place.
    pub(crate) fn filled(&self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((before, word)) = rest.split_once('<') {
            let known = word.split_once('>').and_then(|(word, after)| {
                let (_, value) = self.words.iter().find(|(name, _)| *name == word)?;
                Some((value, after))
            });
            out.extend(before.as_bytes());
            rest = match known {
                Some((value, after)) => {
                    out.extend(value);
                    after
                }
                None => {
                    out.push(b'<');
                    word
                }
            };
        }
        out.extend(rest.as_bytes());
        out
    }

    /// An answer with words for what differs from run to run.
    pub(crate) fn masked(&self, said: &str) -> String {
        let mut said = said.to_owned();
        for (word, value) in self.words.iter().filter(|(word, _)| SHOWN.contains(word)) {
            said = said.replace(std::str::from_utf8(value).unwrap(), &format!("<{word}>"));
        }
        for before in ["ry again in ", "retry after ", "process "] {
            said = without_numbers(&said, before);
        }
        said
    }

    /// All that wrong calls must not change.
    pub(crate) fn kept(&self) -> Vec<String> {
        if !self.running {
            return Vec::new();
        }
        let get = |who: &str, path: &str| self.tracker.get(path, self.token(who)).expect(200);
        let mut kept = vec![self.tracker.ok(&["user", "ls"], "")];
        for who in ["ann", "bob"] {
            for file in get(who, "/v1/files?versions=1&limit=500")["items"]
                .as_array()
                .unwrap()
            {
                let keys = [
                    "owner",
                    "share",
                    "entry",
                    "version",
                    "info_hash",
                    "visibility",
                    "tags",
                ];
                kept.push(keys.map(|key| file[key].to_string()).join(" "));
            }
            kept.push(get(who, "/v1/me").to_string());
        }
        let nodes = get("ann", "/v1/nodes");
        let nodes = nodes["items"].as_array().unwrap().iter();
        kept.extend(nodes.map(|node| format!("{}/{}", node["account"], node["node"])));
        // The address differs after a restart.
        let address = self.tracker.addr().to_string();
        kept.iter()
            .map(|line| line.replace(&address, "<address>"))
            .collect()
    }

    pub(crate) fn restart(&mut self) {
        if self.running {
            self.tracker.restart();
        }
    }
}

fn passkey(session: &Value) -> String {
    let url = session["announce_url"].as_str().unwrap();
    url.rsplit('/').nth(1).unwrap().to_owned()
}

/// `said` with `<n>` for the number behind each `before`.
fn without_numbers(said: &str, before: &str) -> String {
    let mut parts = said.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = if rest.len() < part.len() { "<n>" } else { "" };
        out.push_str(&format!("{before}{number}{rest}"));
    }
    out
}
