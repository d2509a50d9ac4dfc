//! Names and paths that others chose, made fit to be shown: nothing in them reaches the terminal as anything but text.
//!
//! A name may come from a stranger's torrent. Escape sequences, line breaks and characters that turn the direction of
//! text could hide or forge output, so they are shown as escapes. What is not UTF-8 is shown byte by byte.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use p2p_wire::control::PathText;

/// `text` with control characters and characters that steer the display as escapes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => push(&mut out, format_args!("\\x{:02x}", u32::from(c))),
            c if steers(c) => push(&mut out, format_args!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// JSON text with the characters that [`escape`] hides, and that JSON allows, as `\uXXXX`. They occur inside strings only, so
/// the document's meaning stays.
pub(crate) fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\u{7f}' || steers(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                push(&mut out, format_args!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A path as it is shown.
pub(crate) fn show_path(path: &PathText) -> String {
    show_os(to_path(path).as_os_str())
}

/// [`show_path`], with the user's home as `~`.
pub(crate) fn show_path_short(path: &PathText) -> String {
    let path = to_path(path);
    if let Some(home) = std::env::var_os("HOME")
        && Path::new(&home) != Path::new("/")
        && let Ok(below) = path.strip_prefix(&home)
        && !home.is_empty()
    {
        return show_os(Path::new("~").join(below).as_os_str());
    }
    show_os(path.as_os_str())
}

/// A name of the file system as it is shown: bytes that are not UTF-8 as `\xNN`.
pub(crate) fn show_os(name: &OsStr) -> String {
    let mut out = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        out.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            push(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    out
}

/// A path that crossed the control socket. Base64 that cannot be read is kept as its own text.
pub(crate) fn to_path(path: &PathText) -> PathBuf {
    path.to_path().unwrap_or_else(|| match path {
        PathText::Text(text) | PathText::Raw { bytes: text } => PathBuf::from(text),
    })
}

/// C1 controls, marks that turn the direction of text, breaks of lines, and marks without width.
fn steers(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push(out: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = out.write_fmt(piece);
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_not_done() {
        let bad = "a\u{1b}]0;x\u{7}\u{9b}2J\u{202e}gpj.\n\tz";
        assert_eq!(escape(bad), "a\\x1b]0;x\\x07\\u{9b}2J\\u{202e}gpj.\\n\\tz");
        assert_eq!(escape("schöner Name 名.iso"), "schöner Name 名.iso");
    }

    #[test]
    fn json_keeps_its_meaning_when_it_is_made_safe() {
        let value = serde_json::json!({"n": "\u{1b}\u{9b}\u{7f}\u{202e}\u{e0041}é"});
        let safe = escape_json(&value.to_string());
        assert!(safe.is_ascii() || !safe.chars().any(steers), "{safe}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }

    #[test]
    fn a_path_that_is_not_utf8_or_not_even_base64_is_shown() {
        let wire = PathText::from(Path::new(OsStr::from_bytes(b"/a/\xff\x1bb")));
        assert_eq!(show_path(&wire), "/a/\\xff\\x1bb");
        let broken = PathText::Raw { bytes: "*".into() };
        assert_eq!(show_path(&broken), "*");
    }
}
