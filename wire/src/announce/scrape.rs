//! Scrape (BEP 48).

use super::{RequestError, query};
use crate::InfoHash;
use crate::bencode::{self, Value, write_bytes, write_int};

/// Most torrents in one scrape.
pub const MAX_SCRAPE: usize = 200;

/// Counts of one torrent in a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Seeds.
    pub complete: u32,
    /// Leeches.
    pub incomplete: u32,
    /// How often it was completed.
    pub downloaded: u32,
}

/// Reads the `info_hash` values of a scrape's query string (BEP 48); none is a scrape of everything. The first [`MAX_SCRAPE`] are kept.
pub fn scrape_from_query(query: &str) -> Result<Vec<InfoHash>, RequestError> {
    query::pairs(query)
        .filter(|(key, _)| **key == *b"info_hash")
        .take(MAX_SCRAPE)
        .map(|(_, value)| {
            let hash = value[..].try_into();
            hash.map(InfoHash)
                .map_err(|_| RequestError::Field("info_hash"))
        })
        .collect()
}

/// The query string of a scrape.
#[must_use]
pub fn scrape_to_query(hashes: &[InfoHash]) -> String {
    let mut out = String::new();
    for hash in hashes {
        query::push(&mut out, "info_hash", &hash.0);
    }
    out
}

/// A scrape's answer, bencoded; the first of repeated hashes counts.
#[must_use]
pub fn scrape_to_bytes(entries: &[ScrapeEntry]) -> Vec<u8> {
    let mut sorted: Vec<&ScrapeEntry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.info_hash);
    sorted.dedup_by_key(|entry| entry.info_hash);
    let mut out = b"d5:filesd".to_vec();
    for entry in sorted {
        write_bytes(&mut out, &entry.info_hash.0);
        out.push(b'd');
        for (key, count) in [
            ("complete", entry.complete),
            ("downloaded", entry.downloaded),
            ("incomplete", entry.incomplete),
        ] {
            write_bytes(&mut out, key.as_bytes());
            write_int(&mut out, count.into());
        }
        out.push(b'e');
    }
    out.extend_from_slice(b"ee");
    out
}

/// Reads a scrape's answer: entries under keys of 20 bytes, counts that are absent as 0.
pub fn scrape_from_bytes(bytes: &[u8]) -> Result<Vec<ScrapeEntry>, bencode::Error> {
    let answer = bencode::decode(bytes)?;
    let files = answer
        .get(b"files")
        .and_then(Value::as_dict)
        .ok_or(bencode::Error {
            what: "a scrape's answer without `files`",
            at: 0,
        })?;
    Ok(files
        .iter()
        .filter_map(|(hash, counts)| {
            Some(ScrapeEntry {
                info_hash: InfoHash((*hash).try_into().ok()?),
                complete: counts.get_uint(b"complete").unwrap_or(0),
                incomplete: counts.get_uint(b"incomplete").unwrap_or(0),
                downloaded: counts.get_uint(b"downloaded").unwrap_or(0),
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_name_any_number_of_hashes() {
        let hashes = [InfoHash([0xaa; 20]), InfoHash(*b"+aaaaaaaaaaaaaaaaaa ")];
        let query = scrape_to_query(&hashes);
        assert_eq!(scrape_from_query(&query), Ok(hashes.to_vec()));
        assert_eq!(scrape_from_query(""), Ok(vec![]));
        assert!(scrape_from_query("info_hash=abc").is_err());
        let many = scrape_to_query(&[hashes[0]; MAX_SCRAPE + 1]);
        assert_eq!(scrape_from_query(&many).unwrap().len(), MAX_SCRAPE);
    }

    #[test]
    fn answers_are_keyed_by_the_raw_hash() {
        let entry = |byte, complete| ScrapeEntry {
            info_hash: InfoHash([byte; 20]),
            complete,
            incomplete: 1,
            downloaded: 2,
        };
        let bytes = scrape_to_bytes(&[entry(b'b', 5), entry(b'a', 0), entry(b'b', 6)]);
        assert_eq!(
            bytes,
            b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:downloadedi2e10:incompletei1ee\
              20:bbbbbbbbbbbbbbbbbbbbd8:completei5e10:downloadedi2e10:incompletei1eeee"
        );
        assert_eq!(
            scrape_from_bytes(&bytes),
            Ok(vec![entry(b'a', 0), entry(b'b', 5)])
        );
        assert!(scrape_from_bytes(b"d14:failure reason2:noe").is_err());
        assert_eq!(scrape_from_bytes(b"d5:filesd3:abcdeee"), Ok(vec![]));
    }
}
