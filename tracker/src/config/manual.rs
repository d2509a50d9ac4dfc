//! The manual page p2p-tracker.toml(5), from the documentation of the keys.

use p2p_manual::Page;

use super::{Config, DEFAULT_PATH, SECTIONS};

/// What the page says.
pub fn manual() -> Page {
    let values = toml::Value::try_from(Config::default()).expect("the defaults are plain values");
    let mut page = Page::default();
    page.heading("DESCRIPTION");
    page.paragraph(&format!(
        "`p2p-tracker` reads `{DEFAULT_PATH}`, or the file that `--config` names, at its start and at SIGHUP, and never writes it. \
         Every key has a default. A key that does not exist is an error that names the nearest one."
    ));
    page.paragraph("`p2p-tracker config defaults` prints all of this as a file to begin with; `p2p-tracker config check` reads yours.");
    page.heading("KEYS");
    for section in SECTIONS {
        page.subheading(&format!("[{}]", section.name));
        page.paragraph(&section.doc.join("\n"));
        for (key, doc) in section.keys {
            page.term(key, &doc.join("\n"));
            let value = values.get(section.name).and_then(|keys| keys.get(key));
            if let Some(value) = value {
                page.also(&format!("Default: {value}"));
            }
        }
    }
    page.heading("FILES");
    page.term(DEFAULT_PATH, "The usual place.");
    page.see_also(&[("p2p-tracker", 1)]);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_page() {
        let text = manual().into_roff();
        for (key, _) in SECTIONS.iter().flat_map(|section| section.keys) {
            assert!(text.contains(&format!("\n\\fB{key}\\fR\n")), "{key}");
        }
    }
}
