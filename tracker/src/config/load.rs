//! Reading a configuration file, with errors that say where and what to do.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{Config, SECTIONS};

/// Why a configuration cannot be used: the program ends with exit code 78.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    /// Line and column, from 1.
    at: Option<(usize, usize)>,
    what: String,
    todo: String,
}

/// What to do where nothing better is known.
const SEE_DEFAULTS: &str = "`p2p-tracker config defaults` shows every key and what it may be.";

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}\n  {}", self.what, self.todo)
    }
}

impl std::error::Error for ConfigError {}

/// Reads and checks the file at `path`.
pub fn read(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
        path: path.to_owned(),
        at: None,
        what: format!("cannot be read: {error}"),
        todo: "Check the path given to --config and who may read the file.".to_owned(),
    })?;
    parse(&text, path)
}

/// Checks `text`; `path` is what errors call it.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let fault = |offset: Option<usize>, what: String, todo: Option<String>| ConfigError {
        path: path.to_owned(),
        at: offset.map(|offset| line_and_column(text, offset)),
        what,
        todo: todo.unwrap_or_else(|| SEE_DEFAULTS.to_owned()),
    };
    let from_toml = |error: toml::de::Error| {
        fault(
            error.span().map(|span| span.start),
            error.message().to_owned(),
            None,
        )
    };
    let table = DeTable::parse(text).map_err(from_toml)?;
    if let Some((offset, what, todo)) = unknown_key(table.get_ref()) {
        return Err(fault(Some(offset), what, todo));
    }
    let config: Config = toml::from_str(text).map_err(from_toml)?;
    if let Some((section, key, what)) = config.wrong_value() {
        return Err(fault(
            offset_of(table.get_ref(), section, key),
            format!("`{key}` {what}"),
            None,
        ));
    }
    Ok(config)
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// The first key that no section has: its offset, what is wrong, and the nearest key there is.
fn unknown_key(table: &DeTable<'_>) -> Option<(usize, String, Option<String>)> {
    // In the order of the file, so that the first mistake is named first.
    let mut wrong = BTreeMap::new();
    for (name, value) in table {
        let Some(section) = SECTIONS
            .iter()
            .find(|section| section.name == name.get_ref())
        else {
            let names = SECTIONS.iter().map(|section| section.name);
            let near =
                nearest(name.get_ref(), names).map(|near| format!("Did you mean `[{near}]`?"));
            wrong.insert(
                name.span().start,
                (format!("unknown section `[{}]`", name.get_ref()), near),
            );
            continue;
        };
        let DeValue::Table(keys) = value.get_ref() else {
            let todo = format!("Write `[{}]` on a line of its own.", section.name);
            wrong.insert(
                name.span().start,
                (format!("`{}` is a section", section.name), Some(todo)),
            );
            continue;
        };
        for key in keys.keys() {
            if section.keys.iter().any(|(known, _)| known == key.get_ref()) {
                continue;
            }
            let near = nearest(key.get_ref(), section.keys.iter().map(|(known, _)| *known));
            let near = near.map(|near| format!("Did you mean `{near}`?"));
            let what = format!("unknown key `{}` in `[{}]`", key.get_ref(), section.name);
            wrong.insert(key.span().start, (what, near));
        }
    }
    wrong
        .into_iter()
        .next()
        .map(|(at, (what, todo))| (at, what, todo))
}

fn offset_of(table: &DeTable<'_>, section: &str, key: &str) -> Option<usize> {
    let (_, value) = table.iter().find(|(name, _)| name.get_ref() == section)?;
    let DeValue::Table(keys) = value.get_ref() else {
        return None;
    };
    keys.keys()
        .find(|name| name.get_ref() == key)
        .map(|name| name.span().start)
}

/// The candidate that takes the fewest edits, if that is near enough to be a slip.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (edits(word, candidate), candidate))
        .min()
        .filter(|(edits, candidate)| *edits <= candidate.len().div_ceil(2))
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, Path::new("t.toml"))
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(parse("", Path::new("t.toml")), Ok(Config::default()));
    }

    #[test]
    fn sizes_and_times_are_written_as_p2pd_takes_them() {
        let text = "[catalogue]\nmax_torrent = \"1.5 MiB\"\n[announce]\ninterval = \"1.5h\"\n[limits]\nstored_per_account = 1000\n";
        let config = parse(text, Path::new("t.toml")).unwrap();
        assert_eq!(config.catalogue.max_torrent.0, 3 << 19);
        assert_eq!(config.announce.interval.0.as_secs(), 5_400);
        assert_eq!(config.limits.stored_per_account.0, 1_000);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_the_nearest_one() {
        assert_eq!(
            error("[announce]\n  intervall = \"30m\"\n"),
            "t.toml:2:3: unknown key `intervall` in `[announce]`\n  Did you mean `interval`?"
        );
        assert_eq!(
            error("[annonce]\n"),
            "t.toml:1:2: unknown section `[annonce]`\n  Did you mean `[announce]`?"
        );
        assert_eq!(
            error("[store]\nzzzzzzzzzzz=1"),
            format!("t.toml:2:1: unknown key `zzzzzzzzzzz` in `[store]`\n  {SEE_DEFAULTS}")
        );
        assert!(error("name = \"x\"").starts_with("t.toml:1:1: unknown section"));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        assert!(
            error("[announce]\ninterval = \"soon\"")
                .starts_with("t.toml:2:12: `soon` is not a time")
        );
        assert_eq!(
            error("\n[announce]\ninterval = \"1s\""),
            format!("t.toml:3:1: `interval` must be from 1m to 1d\n  {SEE_DEFAULTS}")
        );
        for (section, bad) in [
            ("http", "nas"),
            ("udp", "10.0.0.1"),
            ("metrics", "::1:9696"),
            ("http", "[::1]"),
            ("http", ":6969"),
            ("udp", "10.0.0.256:1"),
            ("metrics", "nas:99999"),
        ] {
            let said = error(&format!("[{section}]\nlisten = [\"{bad}\"]"));
            let expected = "t.toml:2:1: `listen` must be addresses with a port";
            assert!(said.starts_with(expected), "{bad}: {said}");
        }
        for good in ["[::]:6969", "127.0.0.1:0", "nas.local:6969", "[fe80::1]:1"] {
            let text = format!("[http]\nlisten = [\"{good}\"]");
            assert!(parse(&text, Path::new("t.toml")).is_ok(), "{good}");
        }
        assert!(error("[tracker]\nmode = \"shut\"").starts_with("t.toml:2:8: unknown variant"));
        assert!(error("[tracker\n").starts_with("t.toml:1:9: "));
        assert_eq!(
            error("[store]\nurl=\"postgres:x\""),
            format!("t.toml:2:1: `url` must be `sqlite:` or `sqlite:PATH`\n  {SEE_DEFAULTS}")
        );
        assert!(error("http = 3").starts_with("t.toml:1:1: `http` is a section"));
    }
}
