//! Manual pages of the programs, made by the programs from their own grammar and keys, so that a page cannot say what a program does not;
//! and of the documents that the repository has in Markdown.
//!
//! A [`Manual`] takes the commands of one program and pages of other things, then writes all of it into a folder. Equal programs write equal
//! pages when `SOURCE_DATE_EPOCH` is set, as builders of packages set it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))] // a test may panic

mod markdown;
mod page;

use std::io;
use std::path::Path;

use clap::{Arg, Command};
use jiff::Timestamp;

pub use page::Page;

/// Which manual the pages belong to, for their head lines.
const MANUAL: &str = "p2p";

/// The pages of a program.
#[derive(Clone, Debug)]
pub struct Manual {
    /// Program and version.
    source: String,
    date: String,
    /// File names and texts.
    files: Vec<(String, Vec<u8>)>,
}

impl Manual {
    /// No pages yet; `source` is the program with its version.
    pub fn new(source: &str) -> Self {
        let fixed = std::env::var("SOURCE_DATE_EPOCH").ok();
        let fixed = fixed.and_then(|seconds| Timestamp::from_second(seconds.parse().ok()?).ok());
        let date = fixed.unwrap_or_else(Timestamp::now);
        Self {
            source: source.to_owned(),
            date: date.strftime("%Y-%m-%d").to_string(),
            files: Vec::new(),
        }
    }

    /// Adds a page for `root` and one for each command below it, in section 1; `rest` gives what follows of each.
    pub fn commands(mut self, root: Command, rest: impl Fn(&Command) -> Page) -> Self {
        let mut root = root.disable_help_subcommand(true);
        root.build();
        self.command(&root, true, &rest);
        self
    }

    /// Adds a page about a file or folder, in section 5: `name` as in `p2pd.toml`, and what it is in some words.
    pub fn file(mut self, name: &str, about: &str, page: Page) -> Self {
        let head = Page::head(name, 5, &self.date, &self.source, MANUAL, about);
        let text = head.into_roff() + &page.into_roff();
        self.files.push((format!("{name}.5"), text.into_bytes()));
        self
    }

    /// Writes the pages into the folder `dir`, which must be there, and says how many there are.
    pub fn write(&self, dir: &Path) -> io::Result<usize> {
        for (name, text) in &self.files {
            std::fs::write(dir.join(name), text)?;
        }
        Ok(self.files.len())
    }

    fn command(&mut self, command: &Command, top: bool, rest: &impl Fn(&Command) -> Page) {
        // Global options stand on the first page alone.
        let shown = command.clone().mut_args(|arg| {
            let hide = arg.is_hide_set() || !top && arg.is_global_set();
            values_in_words(arg).hide(hide)
        });
        let has_options = shown.get_arguments().any(|arg| !arg.is_hide_set());
        let name = shown.get_display_name().unwrap_or(shown.get_name());
        let man = clap_mangen::Man::new(shown.clone())
            .title(name.to_uppercase())
            .date(&self.date)
            .source(&self.source)
            .manual(MANUAL);
        let mut text = Vec::new();
        let rendered = (|| {
            man.render_title(&mut text)?;
            man.render_name_section(&mut text)?;
            man.render_synopsis_section(&mut text)?;
            man.render_description_section(&mut text)?;
            if has_options {
                man.render_options_section(&mut text)?;
            }
            if shown.has_subcommands() {
                man.render_subcommands_section(&mut text)?;
            }
            io::Result::Ok(())
        })();
        rendered.expect("a vector takes every write");
        text.extend(rest(command).into_roff().into_bytes());
        self.files.push((man.get_filename(), text));
        for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            self.command(below, false, rest);
        }
    }
}

/// The values an option takes as part of its sentence: as a list of its own they make a paragraph for each word.
fn values_in_words(arg: Arg) -> Arg {
    let values = arg.get_possible_values();
    if values.is_empty() || !arg.get_action().takes_values() {
        return arg;
    }
    let value = |value: &clap::builder::PossibleValue| match value.get_help() {
        Some(help) => format!("{}: {help}", value.get_name()),
        None => value.get_name().to_owned(),
    };
    let values: Vec<String> = values.iter().map(value).collect();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let help = format!(
        "{}. One of: {}",
        help.trim_end_matches('.'),
        values.join("; ")
    );
    arg.hide_possible_values(true).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Vec<(String, String)> {
        let mode = Arg::new("mode").long("mode").value_parser(["on", "off"]);
        let sub = Command::new("sub").about("Does it");
        let secret = Command::new("secret").hide(true);
        let root = Command::new("prog")
            .about("Is a program")
            .arg(Arg::new("where").long("where").global(true))
            .subcommands([sub.arg(mode), secret]);
        let manual = Manual::new("prog 1").commands(root, |_| Page::default());
        let manual = manual.file("prog.toml", "settings", Page::default());
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(manual.write(dir.path()).unwrap(), 3);
        let names = ["prog.1", "prog-sub.1", "prog.toml.5"];
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        names.map(|name| (name.to_owned(), read(name))).to_vec()
    }

    #[test]
    fn each_command_that_is_shown_has_a_page_and_global_options_stand_on_the_first() {
        let pages = pages();
        assert!(pages[0].1.contains("where") && !pages[0].1.contains("secret"));
        assert!(pages[1].1.contains("One of: on; off") && !pages[1].1.contains("where"));
        assert!(
            pages[1].1.contains("PROG-SUB 1 20"),
            "no name and date: {}",
            pages[1].1
        );
        assert!(pages[2].1.contains("prog.toml \\- settings"));
    }
}
