//! Metainfo (.torrent files), version 1: reading and building (BEP 3, BEP 12, BEP 27).
//!
//! The `info` dictionary is kept byte for byte, because the info-hash covers it as it was received. Everything read from it is checked once,
//! here: lengths fit together, paths are safe to create below a folder. Hybrid torrents are read by their version 1 half.

mod builder;
mod files;
mod info;
mod path;

pub use builder::{Builder, Content, auto_piece_len};
pub use files::{File, MAX_FILES};
pub use info::{Info, MAX_PIECE_LEN, Span};
pub use path::safe_component;

use std::fmt;

use bytes::Bytes;

use crate::bencode::{self, Encode, Value};
use crate::text::{self, MAX_TRACKERS};

/// Largest .torrent file that is read, in bytes.
pub const MAX_METAINFO_LEN: usize = 10 * 1024 * 1024;

/// Longest comment or creator in bytes that is kept.
const MAX_TEXT_LEN: usize = 4_096;

/// A parsed .torrent file.
#[derive(Clone)]
pub struct Metainfo {
    /// The `info` dictionary.
    pub info: Info,
    /// Announce URLs in tiers (BEP 12); a lone `announce` is one tier of one. Of what is read: http, https and udp; the first 100.
    pub announce: Vec<Vec<String>>,
    /// `comment`, if any.
    pub comment: Option<String>,
    /// `created by`, if any.
    pub created_by: Option<String>,
    /// `creation date`, seconds since 1970.
    pub created: Option<i64>,
}

/// Without announce URLs, which may be personal.
impl fmt::Debug for Metainfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metainfo")
            .field("info_hash", &self.info.info_hash())
            .field("name", &self.info.name())
            .finish_non_exhaustive()
    }
}

/// Why bytes are not a torrent that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// Not bencode.
    #[error("damaged or cut off: {0}")]
    Bencode(#[from] bencode::Error),
    /// A field is missing or has another type.
    #[error("`{0}` is missing or of the wrong type")]
    Field(&'static str),
    /// The lengths do not fit together.
    #[error("{0}")]
    Invalid(&'static str),
    /// Version 2 only (BEP 52).
    #[error(
        "a version 2 torrent without version 1 data; only version 1 and hybrid torrents can be used"
    )]
    V2Only,
}

impl Metainfo {
    /// Reads a .torrent file of at most [`MAX_METAINFO_LEN`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > MAX_METAINFO_LEN {
            return Err(MetainfoError::Invalid(
                "a .torrent file of more than 10 MiB",
            ));
        }
        // A web page, or another kind of file, most often.
        if bytes.first() != Some(&b'd') {
            return Err(MetainfoError::Invalid("not a .torrent file"));
        }
        let file = bencode::decode(bytes)?;
        let info = file.get(b"info").ok_or(MetainfoError::Field("info"))?;
        let text = |key: &[u8]| {
            let bytes = file.get(key)?.as_bytes()?;
            Some(text::printable(bytes, MAX_TEXT_LEN))
        };
        Ok(Self {
            info: Info::from_value(info, Bytes::copy_from_slice(info.raw()))?,
            announce: announce(&file),
            comment: text(b"comment"),
            created_by: text(b"created by"),
            created: file.get(b"creation date").and_then(Value::as_int),
        })
    }

    /// Canonical bytes of a .torrent file: `info` byte for byte as it was received. What [`Metainfo`] does not have, such as the piece layers
    /// of a hybrid torrent, is not in it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut entries = vec![("info", Encode::Raw(self.info.raw().to_vec()))];
        let mut urls = self.announce.iter().flatten();
        if let Some(first) = urls.next() {
            entries.push(("announce", Encode::bytes(first.as_str())));
        }
        if urls.next().is_some() {
            let url = |url: &String| Encode::bytes(url.as_str());
            let tier = |tier: &Vec<String>| Encode::List(tier.iter().map(url).collect());
            let tiers = self.announce.iter().map(tier).collect();
            entries.push(("announce-list", Encode::List(tiers)));
        }
        if let Some(comment) = &self.comment {
            entries.push(("comment", Encode::bytes(comment.as_str())));
        }
        if let Some(creator) = &self.created_by {
            entries.push(("created by", Encode::bytes(creator.as_str())));
        }
        if let Some(created) = self.created {
            entries.push(("creation date", Encode::Int(created)));
        }
        Encode::dict(entries).to_vec()
    }
}

/// The tiers of `announce-list`, or of `announce` when there is none that can be used.
fn announce(file: &Value<'_>) -> Vec<Vec<String>> {
    let url = |value: &Value<'_>| text::tracker_url(value.as_bytes()?).map(str::to_owned);
    let list = file.get(b"announce-list").and_then(Value::as_list);
    let mut left = MAX_TRACKERS;
    let mut tiers = Vec::new();
    for tier in list.unwrap_or_default() {
        let urls = tier.as_list().unwrap_or_default().iter();
        let urls: Vec<String> = urls.filter_map(url).take(left).collect();
        left -= urls.len();
        if !urls.is_empty() {
            tiers.push(urls);
        }
    }
    if tiers.is_empty() {
        let single = file.get(b"announce").and_then(url);
        tiers.extend(single.map(|url| vec![url]));
    }
    tiers
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str =
        "d6:lengthi3e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";

    fn read(more: &str) -> Result<Metainfo, MetainfoError> {
        Metainfo::from_bytes(format!("d{more}4:info{INFO}e").as_bytes())
    }

    #[test]
    fn reads_the_fields_around_info() {
        let text =
            read("8:announce10:http://t/a7:comment3:a\nb10:created by3:p2p13:creation datei5e");
        let file = text.unwrap();
        assert_eq!(file.announce, [["http://t/a"]]);
        assert_eq!(file.comment.as_deref(), Some("ab"));
        assert_eq!(file.created_by.as_deref(), Some("p2p"));
        assert_eq!((file.created, file.info.name()), (Some(5), "a"));
        assert_eq!(
            file.to_bytes(),
            format!("d8:announce10:http://t/a7:comment2:ab10:created by3:p2p13:creation datei5e4:info{INFO}e").as_bytes()
        );
    }

    #[test]
    fn tiers_keep_http_https_and_udp_and_count_before_a_lone_announce() {
        let file = read("8:announce8:http://x13:announce-listll8:http://a5:wss:/9:https://bel7:file://el7:udp://cei1ee").unwrap();
        assert_eq!(
            file.announce,
            [vec!["http://a", "https://b"], vec!["udp://c"]]
        );
        let again = Metainfo::from_bytes(&file.to_bytes()).unwrap();
        assert_eq!(again.announce, file.announce);
        let fallback = read("8:announce8:http://x13:announce-listll5:wss:/ee").unwrap();
        assert_eq!(fallback.announce, [["http://x"]]);
        assert!(read("8:announce7:file://").unwrap().announce.is_empty());
    }

    #[test]
    fn keeps_no_more_trackers_than_it_says() {
        let tier = format!("l{}e", "8:http://x".repeat(MAX_TRACKERS - 1));
        let file = read(&format!("13:announce-listl{tier}{tier}{tier}e")).unwrap();
        assert_eq!(file.announce.iter().flatten().count(), MAX_TRACKERS);
    }

    #[test]
    fn info_is_kept_byte_for_byte_even_with_unsorted_keys() {
        let info =
            "d12:piece lengthi16384e4:name1:a6:pieces20:aaaaaaaaaaaaaaaaaaaa6:lengthi3e3:xyzi1ee";
        let file = Metainfo::from_bytes(format!("d4:info{info}e").as_bytes()).unwrap();
        assert_eq!(&file.info.raw()[..], info.as_bytes());
        assert_eq!(file.to_bytes(), format!("d4:info{info}e").as_bytes());
        let alone = Info::from_bytes(Bytes::from(info)).unwrap();
        assert_eq!(alone.info_hash(), file.info.info_hash());
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(
            Metainfo::from_bytes(b"de").unwrap_err(),
            MetainfoError::Field("info")
        );
        assert_eq!(
            Metainfo::from_bytes(b"<html>").unwrap_err(),
            MetainfoError::Invalid("not a .torrent file")
        );
        assert!(matches!(
            Metainfo::from_bytes(b"d4:info"),
            Err(MetainfoError::Bencode(_))
        ));
        let big = vec![b'0'; MAX_METAINFO_LEN + 1];
        assert!(matches!(
            Metainfo::from_bytes(&big),
            Err(MetainfoError::Invalid(_))
        ));
    }
}
