//! Three layers of settings: defaults, the file, what was set by command. The last one that names a key wins.
//!
//! Invariant: every layer holds only keys that exist, with values of the right type, so the sum always reads as a [`Config`].

use std::collections::BTreeMap;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::keys::{Config, Folder, Key, SECTIONS, When};
use super::places::Mode;
use super::unknown_key;

/// The layers. Values set by command are kept elsewhere and given with [`Layers::set`].
#[derive(Clone, Debug)]
pub struct Layers {
    defaults: Table,
    file: Table,
    set: BTreeMap<String, Value>,
}

/// Why a key cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No such key.
    #[error("{0}")]
    UnknownKey(String),
    /// Not a value for it.
    #[error("{0}")]
    WrongValue(String),
}

impl Layers {
    /// Defaults and what the file says, as [`super::read`] gave it.
    pub fn new(mode: Mode, file: Table) -> Self {
        Self {
            defaults: defaults(mode),
            file,
            set: BTreeMap::new(),
        }
    }

    /// The file was read again.
    pub fn replace_file(&mut self, file: Table) {
        self.file = file;
    }

    /// Sets a key to `text`: a TOML value, or a bare text. Returns the TOML to keep.
    pub fn set(&mut self, key: &str, text: &str) -> Result<String, SetError> {
        let known = find(key)?;
        let value = self.read_value(known, text.trim())?;
        let toml = value.to_string();
        self.set.insert(key.to_owned(), value);
        Ok(toml)
    }

    /// Takes back what was set by command.
    pub fn unset(&mut self, key: &str) -> Result<(), SetError> {
        find(key)?;
        self.set.remove(key);
        Ok(())
    }

    /// What is in force.
    pub fn effective(&self) -> Config {
        let mut sum = self.defaults.clone();
        merge(&mut sum, &self.file);
        for (key, value) in &self.set {
            if let Some((section, name)) = key.split_once('.') {
                let set = Table::from_iter([(name.to_owned(), value.clone())]);
                merge(
                    &mut sum,
                    &Table::from_iter([(section.to_owned(), set.into())]),
                );
            }
        }
        Config::deserialize(sum).expect("each layer was checked when it came")
    }

    /// A key's value in force, as TOML, and where it comes from: `default`, `file` or `set`.
    pub fn value(&self, key: &str) -> Result<(String, &'static str), SetError> {
        let known = find(key)?;
        let layers = [
            (self.set.get(key), "set"),
            (at(&self.file, known), "file"),
            (at(&self.defaults, known), "default"),
        ];
        let found = layers
            .into_iter()
            .find_map(|(value, origin)| value.map(|value| (value.to_string(), origin)));
        Ok(found.unwrap_or_default())
    }

    /// Keys that the file and a command set to different values.
    pub fn overridden(&self) -> Vec<String> {
        let differs = |(key, value): &(&String, &Value)| {
            let in_file = find(key).ok().and_then(|key| at(&self.file, key));
            in_file.is_some_and(|in_file| in_file != *value)
        };
        let set = self.set.iter().filter(differs);
        set.map(|(key, _)| key.clone()).collect()
    }

    fn read_value(&self, key: &Key, text: &str) -> Result<Value, SetError> {
        let check = |value: Value| {
            let keys = Table::from_iter([(key.name.to_owned(), value.clone())]);
            let table = Table::from_iter([(key.section.to_owned(), keys.into())]);
            let read = Config::deserialize(table);
            read.map(|_| value)
                .map_err(|error| error.message().to_owned())
        };
        let as_toml = toml::from_str::<Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut table| table.remove("value"));
        let as_text = || check(Value::String(text.to_owned()));
        let checked = match as_toml {
            None => as_text(),
            Some(value) => check(value).or_else(|error| as_text().map_err(|_| error)),
        };
        checked.map_err(|why| SetError::WrongValue(format!("{}: {why}", key.dotted())))
    }
}

/// The keys whose values differ between two configurations, with when each takes effect.
pub(crate) fn changed(old: &Config, new: &Config) -> Vec<(String, When)> {
    let table = |config: &Config| Table::try_from(config).expect("a configuration is a table");
    let (old, new) = (table(old), table(new));
    let keys = SECTIONS.iter().flat_map(|(_, _, keys)| *keys);
    let mut changed: Vec<_> = keys
        .filter(|key| at(&old, key) != at(&new, key))
        .map(|key| (key.dotted(), key.when))
        .collect();
    let lists = ["share", "trackers"].into_iter();
    let lists = lists.filter(|list| old.get(*list) != new.get(*list));
    changed.extend(lists.map(|list| (list.to_owned(), When::Live)));
    changed
}

/// The lowest layer: the defaults, of which the system's daemon has one other.
pub(super) fn defaults(mode: Mode) -> Table {
    let mut config = Config::default();
    if mode == Mode::System {
        config.daemon.download_dir = Folder("/srv/p2p".into());
    }
    Table::try_from(config).expect("a configuration is a table")
}

fn find(dotted: &str) -> Result<&'static Key, SetError> {
    let mut keys = SECTIONS.iter().flat_map(|(_, _, keys)| *keys);
    keys.find(|key| key.dotted() == dotted).ok_or_else(|| {
        let keys = SECTIONS.iter().flat_map(|(_, _, keys)| *keys);
        let known: Vec<_> = keys.map(Key::dotted).collect();
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        SetError::UnknownKey(unknown_key("", dotted, &known))
    })
}

fn at<'a>(table: &'a Table, key: &Key) -> Option<&'a Value> {
    table.get(key.section)?.get(key.name)
}

fn merge(below: &mut Table, above: &Table) {
    for (name, value) in above {
        match (below.get_mut(name), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            _ => {
                below.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limit;

    fn layers(file: &str) -> Layers {
        Layers::new(Mode::User, toml::from_str(file).unwrap())
    }

    #[test]
    fn the_command_wins_over_the_file_and_the_file_over_the_default() {
        let mut layers = layers("[limits]\nupload = \"1MiB/s\"\n");
        assert_eq!(
            layers.value("limits.download").unwrap(),
            ("\"none\"".into(), "default")
        );
        assert_eq!(
            layers.value("limits.upload").unwrap(),
            ("\"1MiB/s\"".into(), "file")
        );
        assert!(layers.overridden().is_empty());

        layers.set("limits.upload", "5MiB/s").unwrap();
        assert_eq!(
            layers.value("limits.upload").unwrap(),
            ("\"5MiB/s\"".into(), "set")
        );
        assert_eq!(layers.effective().limits.upload, Limit(Some(5 << 20)));
        assert_eq!(layers.overridden(), ["limits.upload"]);

        layers.unset("limits.upload").unwrap();
        assert_eq!(layers.effective().limits.upload, Limit(Some(1 << 20)));
    }

    #[test]
    fn a_value_may_be_bare_or_toml() {
        let mut layers = layers("");
        for (key, text, kept) in [
            ("limits.upload", "none", "\"none\""),
            ("limits.upload", "\"2MiB/s\"", "\"2MiB/s\""),
            ("limits.upload", "0", "\"0\""),
            ("network.port", "6881", "6881"),
            ("network.bind", "[\"::1\"]", "[\"::1\"]"),
            ("limits.lan_exempt", "false", "false"),
            ("daemon.log_level", "debug", "\"debug\""),
            ("storage.in_flight", "16MiB", "\"16MiB\""),
            ("daemon.download_dir", "/srv/x y", "\"/srv/x y\""),
        ] {
            assert_eq!(layers.set(key, text).as_deref(), Ok(kept), "{key} {text}");
        }
    }

    #[test]
    fn a_wrong_key_or_value_changes_nothing() {
        let mut layers = layers("");
        let before = layers.effective();
        let error = layers.set("limits.downlaod", "1").unwrap_err();
        assert!(
            error.to_string().contains("nearest is `limits.download`"),
            "{error}"
        );
        for (key, text) in [
            ("network.port", "many"),
            ("network.port", "-1"),
            ("network.bind", "nowhere"),
            ("limits.upload", "fast"),
            ("daemon.download_dir", "relative"),
            ("daemon.log_level", "1\nx = 2"),
        ] {
            let error = layers.set(key, text).unwrap_err();
            assert!(
                matches!(&error, SetError::WrongValue(why) if why.starts_with(key)),
                "{error:?}"
            );
        }
        assert_eq!(layers.effective(), before);
    }

    #[test]
    fn what_changed_says_when_it_takes_effect() {
        let old = layers("").effective();
        let new = layers(
            "[limits]\nupload = \"1MiB/s\"\n[network]\nport = 7\n[trackers.t]\nurl = \"http://t\"\n",
        );
        assert_eq!(
            changed(&old, &new.effective()),
            [
                ("network.port".to_owned(), When::Restart),
                ("limits.upload".to_owned(), When::Live),
                ("trackers".to_owned(), When::Live),
            ]
        );
    }
}
