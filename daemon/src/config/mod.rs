//! The configuration: the file `p2pd.toml`, what commands changed since, and the defaults below both.
//!
//! The file is the user's and is never written. What is set by command lies in the state database and wins ([`Layers`]). A key that
//! does not exist or a value of the wrong type is an error with its line and column: a typing error must not silently be a default.

mod keys;
mod layers;
mod manual;
mod places;
mod sample;

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};

pub use self::keys::{
    Backend, Config, ConfiguredShare, ConfiguredTracker, Daemon, Folder, GateFailure, Hashing,
    Hooks, Key, Limit, LimitsSection, LogFormat, LogLevel, Metrics, Network, SECTIONS, Storage,
    Watching, When,
};
pub(crate) use self::layers::changed;
pub use self::layers::{Layers, SetError};
pub use self::manual::manual;
pub use self::places::{Given, Mode, PlaceError, Places};
pub use self::sample::sample;

/// Largest configuration file that is read, in bytes.
const MAX_LEN: u64 = 1024 * 1024;

/// What is wrong with the configuration file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}\n  {source}\n  Check the path given to --config and who may read the file.", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong, and what was perhaps meant.
        message: String,
    },
}

/// Reads the configuration file; an empty table if there is none and the user named none. The table holds only what the file says,
/// each key known and of the right type.
pub fn read(places: &Places) -> Result<toml::Table, ConfigError> {
    let path = &places.config;
    let read = |source| ConfigError::Read {
        path: path.clone(),
        source,
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !places.config_named => {
            return Ok(toml::Table::new());
        }
        Err(error) => return Err(read(error)),
        Ok(meta) if meta.len() > MAX_LEN => {
            let why = format!("it has {} bytes, which no configuration has", meta.len());
            return Err(read(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(read)?;
    parse(&text, places.home.as_deref()).map_err(|wrong| wrong.at(path, &text))
}

/// A fault in the text of a configuration file.
#[derive(Debug)]
struct Wrong {
    span: Range<usize>,
    message: String,
}

impl Wrong {
    fn at(self, path: &Path, text: &str) -> ConfigError {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        ConfigError::Wrong {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: self.message,
        }
    }
}

impl From<toml::de::Error> for Wrong {
    fn from(error: toml::de::Error) -> Self {
        Self {
            span: error.span().unwrap_or(0..0),
            message: error.message().to_owned(),
        }
    }
}

fn parse(text: &str, home: Option<&Path>) -> Result<toml::Table, Wrong> {
    let table = DeTable::parse(text)?;
    check_keys(table.get_ref())?;
    let config: Config = toml::from_str(text)?;
    let shares = config.share.iter().map(|share| &share.path);
    for folder in shares.chain([&config.daemon.download_dir]) {
        if folder.resolve(home).is_none() {
            // Where in the text it stands: a folder's value is written as it is, in quotes.
            let start = text.find(&folder.0).unwrap_or(0);
            return Err(Wrong {
                span: start..start,
                message: format!("`{}` has no meaning here: HOME is not set", folder.0),
            });
        }
    }
    Ok(toml::Table::deserialize(toml::Deserializer::parse(text)?)?)
}

/// Refuses keys that do not exist, with the nearest that does.
fn check_keys(table: &DeTable<'_>) -> Result<(), Wrong> {
    for (name, value) in table {
        let section = SECTIONS.iter().find(|(known, ..)| known == name.get_ref());
        match (name.get_ref().as_ref(), value.get_ref(), section) {
            (_, DeValue::Table(keys), Some((section, _, known))) => {
                let known: Vec<_> = known.iter().map(|key| key.name).collect();
                check_table(keys, &format!("{section}."), &known)?;
            }
            ("share", DeValue::Array(shares), _) => {
                for share in shares.iter() {
                    if let DeValue::Table(keys) = share.get_ref() {
                        check_table(keys, "share.", keys::SHARE_KEYS)?;
                    }
                }
            }
            ("trackers", DeValue::Table(trackers), _) => {
                for (name, tracker) in trackers {
                    if let DeValue::Table(keys) = tracker.get_ref() {
                        let prefix = format!("trackers.{}.", name.get_ref());
                        check_table(keys, &prefix, keys::TRACKER_KEYS)?;
                    }
                }
            }
            // Of the wrong type: reading it into the structs says so.
            ("share" | "trackers", ..) | (_, _, Some(_)) => {}
            (unknown, ..) => {
                let sections = SECTIONS.iter().map(|(name, ..)| *name);
                let known: Vec<_> = sections.chain(["share", "trackers"]).collect();
                return Err(Wrong {
                    span: name.span(),
                    message: unknown_key("", unknown, &known),
                });
            }
        }
    }
    Ok(())
}

fn check_table(table: &DeTable<'_>, prefix: &str, known: &[&str]) -> Result<(), Wrong> {
    let unknown = table
        .keys()
        .find(|name| !known.contains(&name.get_ref().as_ref()));
    match unknown {
        None => Ok(()),
        Some(name) => Err(Wrong {
            span: name.span(),
            message: unknown_key(prefix, name.get_ref(), known),
        }),
    }
}

/// The sentence for a key that does not exist.
fn unknown_key(prefix: &str, name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|key| (strsim::jaro_winkler(name, key), key))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, key)) if likeness > 0.7 => {
            format!("there is no key `{prefix}{name}`; the nearest is `{prefix}{key}`")
        }
        _ => format!(
            "there is no key `{prefix}{name}`; there are `{}`",
            known.join("`, `")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let wrong = parse(text, Some(Path::new("/home/ann"))).unwrap_err();
        wrong.at(Path::new("p2pd.toml"), text).to_string()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_the_nearest() {
        assert_eq!(
            error("[limits]\n  downlod = \"1MiB/s\"\n"),
            "p2pd.toml:2:3: there is no key `limits.downlod`; the nearest is `limits.download`"
        );
        assert_eq!(
            error("[limit]\nupload = \"none\"\n"),
            "p2pd.toml:1:2: there is no key `limit`; the nearest is `limits`"
        );
        assert_eq!(
            error("[[share]]\npath = \"/a\"\neech = \"file\"\n"),
            "p2pd.toml:3:1: there is no key `share.eech`; the nearest is `share.each`"
        );
        assert_eq!(
            error("[trackers.home]\nuri = \"http://t\"\n"),
            "p2pd.toml:2:1: there is no key `trackers.home.uri`; the nearest is `trackers.home.url`"
        );
        assert!(error("[zzz]\n").contains("there are `daemon`, "));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_with_its_place() {
        for (text, expected) in [
            ("[network]\nport = \"x\"\n", "p2pd.toml:2:8: invalid type"),
            ("[network]\nport = 70000\n", "p2pd.toml:2:8: invalid value"),
            (
                "[network]\nmax_peers = 0\n",
                "p2pd.toml:2:13: invalid value",
            ),
            (
                "[limits]\nupload = \"fast\"\n",
                "p2pd.toml:2:10: `fast` is not a rate such as `5MiB/s`, nor `none`",
            ),
            (
                "[shares]\nsettle = 5\n",
                "p2pd.toml:2:10: `5` is not a time such as `10s`",
            ),
            (
                "[daemon]\ndownload_dir = \"here\"\n",
                "p2pd.toml:2:16: `here` is not an absolute path",
            ),
            (
                "[daemon]\nlog_level = \"loud\"\n",
                "p2pd.toml:2:13: unknown variant",
            ),
            (
                "[hashing]\nbackend = \"sse9\"\n",
                "p2pd.toml:2:11: unknown hashing backend \"sse9\"; choose auto, avx512",
            ),
            ("daemon = 1\n", "p2pd.toml:1:10: invalid type"),
            ("[[share]]\n", "p2pd.toml:1:1: missing field `path`"),
            ("[daemon\n", "p2pd.toml:1:8: "),
        ] {
            let error = error(text);
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_home_that_is_not_there_is_said_where_it_is_needed() {
        let text = "[[share]]\npath = \"~/Public\"\n";
        assert!(parse(text, Some(Path::new("/home/ann"))).is_ok());
        let wrong = parse(
            "[[share]]\npath = \"~/Public\"\n[daemon]\ndownload_dir=\"/d\"",
            None,
        );
        assert!(wrong.unwrap_err().message.contains("HOME is not set"));
    }
}
