//! What is left out of a share: globs of the configuration and of `--exclude`, and the lines of the share's ignore file.
//!
//! The ignore file reads like a small `.gitignore`: `#` begins a comment, `!` takes back, a `/` at the end means folders alone, a `/` elsewhere
//! ties the pattern to the top of the share, `*` stays within a name and `**` does not. The last line that matches decides.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// Longest ignore file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 256 * 1024;

/// The rules of one share.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    glob: GlobMatcher,
    /// Matched against the last name of the path, else against the whole path below the share.
    name_only: bool,
    folders_only: bool,
    takes_back: bool,
}

impl Rules {
    /// The rules of `globs`. `Err` says which is malformed.
    pub(crate) fn new<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let rules = globs.into_iter().filter_map(|line| parse(line).transpose());
        Ok(Self(rules.collect::<Result<_, _>>()?))
    }

    /// Adds the lines of an ignore file; those that cannot be understood are passed over.
    pub(crate) fn add_file(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        for line in text.lines() {
            match parse(line) {
                Ok(rule) => self.0.extend(rule),
                Err(error) => tracing::warn!("ignore file: {error}"),
            }
        }
    }

    /// Whether `path`, below the share, is left out.
    pub(crate) fn excludes(&self, path: &Path, is_folder: bool) -> bool {
        let name = path.file_name().map(Path::new).unwrap_or(path);
        let decisive = self.0.iter().rev().find(|rule| {
            (is_folder || !rule.folders_only)
                && rule.glob.is_match(if rule.name_only { name } else { path })
        });
        decisive.is_some_and(|rule| !rule.takes_back)
    }
}

fn parse(line: &str) -> Result<Option<Rule>, String> {
    let line = line.trim_end();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (takes_back, rest) = match line.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (folders_only, rest) = match rest.strip_suffix('/') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let name_only = !rest.contains('/');
    let glob = GlobBuilder::new(rest.trim_start_matches('/'))
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| format!("{line:?} is no pattern: {}", error.kind()))?;
    Ok(Some(Rule {
        glob: glob.compile_matcher(),
        name_only,
        folders_only,
        takes_back,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(rules: &Rules, path: &str) -> bool {
        let folder = path.ends_with('/');
        rules.excludes(Path::new(path.trim_end_matches('/')), folder)
    }

    #[test]
    fn reads_like_a_gitignore() {
        let mut rules = Rules::new(["*.part", "*~"]).unwrap();
        rules.add_file(b"# comment\n\nbuild/\n/top.txt\na/*.o\ndeep/**/x\n!keep.part\n[\n");
        for out in [
            "a.part",
            "d/b.part",
            "x~",
            "build/",
            "d/build/",
            "top.txt",
            "a/b.o",
            "deep/1/2/x",
        ] {
            assert!(excluded(&rules, out), "{out}");
        }
        for kept in ["build", "d/top.txt", "a/b/c.o", "keep.part", "part"] {
            assert!(!excluded(&rules, kept), "{kept}");
        }
    }

    #[test]
    fn a_malformed_glob_is_named() {
        let error = Rules::new(["ok", "a["]).unwrap_err();
        assert!(error.contains("a["), "{error}");
    }
}
