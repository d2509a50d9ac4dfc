//! The sample file that `config defaults` prints.

use super::{Config, SECTIONS};

const HEAD: &str = "\
# Configuration of p2p-tracker. Every key has a default, shown here; take the `# ` away from what you change.
";

/// Every key with its documentation and its default, commented out. Read as a configuration it changes nothing.
pub fn sample() -> String {
    let values = toml::Value::try_from(Config::default()).expect("the defaults are plain values");
    let mut out = String::from(HEAD);
    for section in SECTIONS {
        out.push('\n');
        push_doc(&mut out, section.doc);
        out.push_str(&format!("[{}]\n", section.name));
        for (key, doc) in section.keys {
            push_doc(&mut out, doc);
            match values.get(section.name).and_then(|keys| keys.get(key)) {
                Some(value) => out.push_str(&format!("# {key} = {value}\n")),
                None => out.push_str(&format!("# {key} = \"\"\n")),
            }
        }
    }
    out
}

fn push_doc(out: &mut String, lines: &[&str]) {
    for line in lines {
        out.push('#');
        out.push_str(line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Takes the comment sign from what is a key with a default, not from prose.
    fn uncommented(text: &str) -> String {
        let line = |line: &str| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") && !rest.ends_with(" = \"\"") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn the_sample_changes_nothing_and_says_the_defaults() {
        let text = sample();
        for text in [uncommented(&text), text] {
            assert_eq!(
                super::super::parse(&text, Path::new("sample")),
                Ok(Config::default())
            );
        }
    }

    #[test]
    fn every_key_is_in_it() {
        let text = sample();
        for section in SECTIONS {
            assert!(!section.keys.is_empty());
            for (key, _) in section.keys {
                assert!(text.contains(&format!("\n# {key} = ")), "{key}");
            }
        }
    }
}
