//! The manual page p2pd.toml(5), from the documentation of the keys.

use p2p_manual::Page;

use super::layers::defaults;
use super::places::Mode;
use super::sample::TABLES;
use super::{SECTIONS, When};

/// What the page says.
pub fn manual() -> Page {
    let (user, system) = (defaults(Mode::User), defaults(Mode::System));
    let mut page = Page::default();
    page.heading("DESCRIPTION");
    page.paragraph(
        "`p2pd` reads this file at its start and at SIGHUP, and never writes it. Every key has a default. A key that does not exist is an \
         error that names the nearest one.",
    );
    page.paragraph(
        "What `p2pctl config set`, `p2pctl limit`, `p2pctl share` and `p2pctl tracker add` change is kept in the state folder and wins over \
         this file; `p2pctl config get` says where each value comes from. `p2pctl config defaults` prints all of this as a file to begin \
         with; `p2pd config check` reads yours.",
    );
    page.heading("KEYS");
    for (section, about, keys) in SECTIONS {
        page.subheading(&format!("[{section}]"));
        page.paragraph(&about.join("\n"));
        for key in *keys {
            page.term(key.name, &key.doc.join("\n"));
            if key.when == When::Restart {
                page.also("A change takes effect at the next start.");
            }
            let default = |of: &toml::Table| Some(of.get(*section)?.get(key.name)?.to_string());
            match (default(&user), default(&system)) {
                (Some(user), Some(system)) if user != system => {
                    page.also(&format!("Default: {user}; of the system's p2pd: {system}"));
                }
                (Some(value), _) | (None, Some(value)) => page.also(&format!("Default: {value}")),
                (None, None) => {}
            }
        }
    }
    page.heading("SHARES AND TRACKERS");
    page.verbatim(TABLES.trim());
    page.heading("FILES");
    page.term(
        "$XDG_CONFIG_HOME/p2p/p2pd.toml",
        "Of a user's p2pd; `~/.config/p2p/p2pd.toml` where the variable is not set.",
    );
    page.term("/etc/p2p/p2pd.toml", "Of the system's p2pd.");
    page.see_also(&[
        ("p2pd", 1),
        ("p2pctl-config", 1),
        ("p2pd-hooks", 5),
        ("p2pignore", 5),
    ]);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_page() {
        let text = manual().into_roff();
        for key in SECTIONS.iter().flat_map(|(_, _, keys)| *keys) {
            assert!(
                text.contains(&format!("\n\\fB{}\\fR\n", key.name)),
                "{}",
                key.dotted()
            );
        }
    }
}
