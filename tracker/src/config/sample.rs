//! The sample file that `config defaults` prints.

use super::{Config, SECTIONS};

/// Every key with its documentation and its default. Keys without a default are commented out.
pub fn sample() -> String {
    let values = toml::Value::try_from(Config::default()).expect("the defaults are plain values");
    let mut out = String::from("# p2p-tracker.toml: every key with its default.\n");
    for section in SECTIONS {
        out.push('\n');
        push_doc(&mut out, section.doc);
        out.push_str(&format!("[{}]\n", section.name));
        for (key, doc) in section.keys {
            push_doc(&mut out, doc);
            match values.get(section.name).and_then(|keys| keys.get(key)) {
                Some(value) => out.push_str(&format!("{key} = {value}\n")),
                None => out.push_str(&format!("#{key} = \"\"\n")),
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

    #[test]
    fn the_sample_reads_as_the_defaults_and_names_every_key() {
        let text = sample();
        assert_eq!(
            super::super::parse(&text, Path::new("sample")),
            Ok(Config::default())
        );
        for section in SECTIONS {
            assert!(!section.keys.is_empty());
            for (key, _) in section.keys {
                assert!(text.contains(&format!("{key} = ")), "{key}");
            }
        }
    }
}
