//! Text of others, made harmless.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// All but the unreserved characters of RFC 3986.
pub(crate) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Longest URL that is kept, in bytes.
const MAX_URL_LEN: usize = 2_048;

/// Most announce URLs that are kept of one torrent or link: nobody needs more, and each costs requests.
pub(crate) const MAX_TRACKERS: usize = 100;

/// Whether a character of somebody else's may stand in names and on terminals: none that controls, breaks lines or turns the direction of
/// what follows, which shows `report\u{202e}gpj.exe` as a picture.
#[must_use]
pub fn is_harmless(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `bytes` as text without control characters, at most `max_len` bytes of it; what is not UTF-8 becomes U+FFFD.
pub(crate) fn printable(bytes: &[u8], max_len: usize) -> String {
    let mut out = String::new();
    for part in bytes.utf8_chunks() {
        let invalid = (!part.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for c in part
            .valid()
            .chars()
            .filter(|c| is_harmless(*c))
            .chain(invalid)
        {
            if out.len() + c.len_utf8() > max_len {
                return out;
            }
            out.push(c);
        }
    }
    out
}

/// The URL of a tracker, if it is one that may be used: http, https or udp, without spaces or control characters.
pub(crate) fn tracker_url(url: &[u8]) -> Option<&str> {
    let url = std::str::from_utf8(url).ok()?.trim();
    let (scheme, rest) = url.split_once("://")?;
    let usable = ["http", "https", "udp"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    let clean = !rest.is_empty() && !url.contains(|c: char| c.is_control() || c.is_whitespace());
    (usable && clean && url.len() <= MAX_URL_LEN).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_https_and_udp_without_spaces_are_tracker_urls() {
        assert_eq!(tracker_url(b" HTTP://t/a "), Some("HTTP://t/a"));
        assert!(tracker_url(b"udp://t:1/announce").is_some());
        for bad in [
            "file:///etc/passwd",
            "wss://t",
            "http://",
            "http:t",
            "http://a b",
            "http://a\r\nb",
            "",
        ] {
            assert_eq!(tracker_url(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(tracker_url(b"http://\xff"), None);
        assert_eq!(
            tracker_url(format!("http://{}", "a".repeat(2_048)).as_bytes()),
            None
        );
    }

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(printable("a\u{1b}\u{e9}\u{e9}".as_bytes(), 4), "a\u{e9}");
        assert_eq!(printable(b"a\xff\n", 99), "a\u{fffd}");
    }
}
