//! The sample configuration file: every key with its documentation and its default, commented out.

use std::fmt::Write as _;

use super::layers::defaults;
use super::places::Mode;
use super::{SECTIONS, When};

const HEAD: &str = "\
# Configuration of p2pd. Every key has a default, shown here; take the `# ` away from what you change.
# `p2pctl config set KEY VALUE` changes a key without this file, and wins over it.
";

/// The tables that are there once for each share and tracker.
pub(super) const TABLES: &str = "
# A folder to share, once for each. `p2pctl share PATH` does the same without this file.
# [[share]]
# path = \"~/Public\"
# What becomes an item: each \"entry\" at its top, each \"file\" however deep, or the \"whole\" folder.
# each = \"entry\"
# Name in the catalogue; the folder's name when absent.
# name = \"Public\"
# Tracker it is published to; the only or first one when absent.
# tracker = \"home\"
# Patterns of what is left out.
# exclude = [\"*.bak\"]

# A tracker, once for each. `p2pctl tracker add home URL` does the same without this file.
# [trackers.home]
# url = \"https://tracker.example.org:6969\"
";

/// The text of the sample file for `mode`. Read as a configuration it changes nothing.
pub fn sample(mode: Mode) -> String {
    let defaults = defaults(mode);
    let mut text = HEAD.to_owned();
    for (section, about, keys) in SECTIONS {
        text.push('\n');
        for line in *about {
            let _infallible = writeln!(text, "#{line}");
        }
        let _infallible = writeln!(text, "[{section}]");
        for key in *keys {
            for line in key.doc {
                let _infallible = writeln!(text, "#{line}");
            }
            if key.when == When::Restart {
                text.push_str("# A change takes effect at the next start.\n");
            }
            let value = defaults
                .get(*section)
                .and_then(|section| section.get(key.name));
            if let Some(value) = value {
                let _infallible = writeln!(text, "# {} = {value}", key.name);
            }
        }
    }
    text.push_str(TABLES);
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Layers, parse};
    use super::*;
    use std::path::Path;

    /// Takes the comment sign from what is a key or a section, not from prose.
    fn uncommented(text: &str) -> String {
        let line = |line: &str| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") || rest.starts_with('[') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn the_sample_says_the_defaults() {
        for mode in [Mode::User, Mode::System] {
            let text = sample(mode);
            let home = Some(Path::new("/home/ann"));
            let as_printed = Layers::new(mode, parse(&text, home).unwrap()).effective();
            let default = Layers::new(mode, toml::Table::new()).effective();
            assert_eq!(as_printed, default);

            let mut all = Layers::new(mode, parse(&uncommented(&text), home).unwrap()).effective();
            assert_eq!(all.share.len(), 1);
            assert_eq!(all.trackers.len(), 1);
            all.share.clear();
            all.trackers.clear();
            assert_eq!(all, default);
        }
    }

    #[test]
    fn every_key_is_documented_in_it() {
        let text = sample(Mode::User);
        for key in SECTIONS.iter().flat_map(|(_, _, keys)| *keys) {
            assert!(!key.doc.is_empty(), "{}", key.dotted());
            assert!(
                text.contains(&format!("\n# {} = ", key.name)),
                "{}",
                key.dotted()
            );
        }
    }
}
