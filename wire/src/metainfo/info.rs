//! The `info` dictionary.

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::MetainfoError;
use super::files::{File, preferred, several, single};
use super::path::safe_component;
use crate::bencode::{self, Value};
use crate::{InfoHash, Layout, PieceIndex};

/// Longest piece in bytes.
pub const MAX_PIECE_LEN: u32 = 64 * 1024 * 1024;

const HASH_LEN: usize = 20;

/// The `info` dictionary: what the info-hash covers.
#[derive(Clone, Debug)]
pub struct Info {
    raw: Bytes,
    info_hash: InfoHash,
    name: String,
    layout: Layout,
    /// The hashes of all pieces in a row, exactly as many as `layout` has: a slice of `raw`.
    pieces: Bytes,
    /// In content order, one behind the other, `layout.total_len()` bytes in all.
    files: Vec<File>,
    single_file: bool,
    private: bool,
}

/// A run of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index into [`Info::files`].
    pub file: usize,
    /// Offset in that file, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Info {
    /// Reads the raw bytes of an `info` dictionary (from a .torrent file or from peers, BEP 9).
    pub fn from_bytes(raw: Bytes) -> Result<Self, MetainfoError> {
        let value = bencode::decode(&raw)?;
        Self::from_value(&value, raw.clone())
    }

    /// `raw` has the same bytes as [`Value::raw`].
    pub(super) fn from_value(value: &Value<'_>, raw: Bytes) -> Result<Self, MetainfoError> {
        if value.as_dict().is_none() {
            return Err(MetainfoError::Field("info"));
        }
        let Some(pieces) = value.get(b"pieces") else {
            let v2 = value.get(b"meta version").is_some() || value.get(b"file tree").is_some();
            return Err(if v2 {
                MetainfoError::V2Only
            } else {
                MetainfoError::Field("pieces")
            });
        };
        let name = name(value)?;
        let (files, single_file) = match (value.get(b"length"), value.get(b"files")) {
            (Some(len), None) => (single(&name, len)?, true),
            (None, Some(list)) => (several(&name, list)?, false),
            (Some(_), Some(_)) => {
                return Err(MetainfoError::Invalid(
                    "`info` has both `length` and `files`",
                ));
            }
            (None, None) => return Err(MetainfoError::Field("length")),
        };
        let layout = layout(value, &files)?;
        let pieces = pieces.as_bytes().ok_or(MetainfoError::Field("pieces"))?;
        if pieces.len() as u64 != u64::from(layout.pieces()) * HASH_LEN as u64 {
            return Err(MetainfoError::Invalid(
                "`pieces` does not have one hash for each piece",
            ));
        }
        // Both lie in the same buffer, so this is the distance between them.
        let at = pieces.as_ptr() as usize - value.raw().as_ptr() as usize;
        Ok(Self {
            info_hash: InfoHash(Sha1::digest(&raw).into()),
            name,
            layout,
            pieces: raw.slice(at..at + pieces.len()),
            raw,
            files,
            single_file,
            private: value.get(b"private").and_then(Value::as_int) == Some(1),
        })
    }

    /// The bytes as they were received.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// SHA-1 of [`Info::raw`].
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The suggested name, made safe: of the file, or of the folder that holds the files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lengths.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The SHA-1 that `piece`, which must be of this torrent's layout, must have.
    ///
    /// # Panics
    ///
    /// When `piece` was made by the layout of another, longer torrent.
    pub fn piece_hash(&self, piece: PieceIndex) -> [u8; 20] {
        self.pieces
            .chunks_exact(HASH_LEN)
            .nth(piece.index())
            .and_then(|hash| hash.try_into().ok())
            .expect("a piece of this layout has a hash")
    }

    /// The files, in content order.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// True for the form with `length`, false for the form with `files`.
    pub fn single_file(&self) -> bool {
        self.single_file
    }

    /// BEP 27: no DHT, no PEX, no LSD.
    pub fn private(&self) -> bool {
        self.private
    }

    /// The parts of files that the `len` bytes from `offset` of the content cover, ascending, padding included, no empty ones.
    /// What lies beyond the end of the content is left out.
    pub fn spans(&self, offset: u64, len: u64) -> Vec<Span> {
        let end = offset.saturating_add(len).min(self.layout.total_len());
        let first = self
            .files
            .partition_point(|file| file.offset + file.len <= offset);
        self.files
            .iter()
            .enumerate()
            .skip(first)
            .take_while(|(_, file)| file.offset < end)
            .filter_map(|(index, file)| {
                let from = offset.max(file.offset);
                let to = end.min(file.offset + file.len);
                (from < to).then(|| Span {
                    file: index,
                    offset: from - file.offset,
                    len: to - from,
                })
            })
            .collect()
    }
}

fn name(info: &Value<'_>) -> Result<String, MetainfoError> {
    let name = preferred(info, b"name.utf-8", b"name", |name| name.as_str().is_some());
    let name = name.and_then(Value::as_bytes);
    Ok(safe_component(name.ok_or(MetainfoError::Field("name"))?))
}

fn layout(info: &Value<'_>, files: &[File]) -> Result<Layout, MetainfoError> {
    let piece_len = info
        .get(b"piece length")
        .and_then(Value::as_int)
        .ok_or(MetainfoError::Field("piece length"))?;
    let piece_len = u32::try_from(piece_len)
        .ok()
        .filter(|len| (1..=MAX_PIECE_LEN).contains(len))
        .ok_or(MetainfoError::Invalid(
            "`piece length` is not between 1 byte and 64 MiB",
        ))?;
    let total = files.last().map_or(0, |last| last.offset + last.len);
    if total == 0 {
        return Err(MetainfoError::Invalid("a torrent without content"));
    }
    Layout::new(total, piece_len).ok_or(MetainfoError::Invalid("too many pieces"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bencode::Encode;
    use crate::metainfo::MAX_FILES;

    fn field(key: &str, value: Encode) -> (Vec<u8>, Encode) {
        (key.into(), value)
    }

    /// An `info` of 3 pieces of 16 KiB in one file, with these fields instead or besides.
    fn info(fields: impl IntoIterator<Item = (Vec<u8>, Encode)>) -> Result<Info, MetainfoError> {
        let base = [
            field("name", Encode::bytes("n")),
            field("piece length", Encode::Int(16_384)),
            field("pieces", Encode::bytes([7; 60])),
            field("length", Encode::Int(40_000)),
        ];
        let dict = Encode::dict(base.into_iter().chain(fields)).to_vec();
        Info::from_bytes(dict.into())
    }

    /// The same in several files, given as length, path and attributes.
    fn files(list: &[(i64, &[&[u8]], &str)]) -> Result<Info, MetainfoError> {
        let file = |(len, path, attr): &(i64, &[&[u8]], &str)| {
            let path = path.iter().map(|part| Encode::bytes(*part)).collect();
            Encode::dict([
                ("length", Encode::Int(*len)),
                ("path", Encode::List(path)),
                ("attr", Encode::bytes(*attr)),
            ])
        };
        let dict = Encode::dict([
            field("name", Encode::bytes("n")),
            field("piece length", Encode::Int(16_384)),
            field("pieces", Encode::bytes([7; 60])),
            field("files", Encode::List(list.iter().map(file).collect())),
        ]);
        Info::from_bytes(dict.to_vec().into())
    }

    fn paths(info: &Info) -> Vec<String> {
        info.files().iter().map(|f| f.path.join("/")).collect()
    }

    #[test]
    fn a_single_file_has_the_name_of_the_torrent() {
        let info = info([field("private", Encode::Int(1))]).unwrap();
        assert!(info.single_file() && info.private());
        assert_eq!(paths(&info), ["n"]);
        let piece = info.layout().piece(2).unwrap();
        assert_eq!(info.piece_hash(piece), [7; 20]);
        assert_eq!(info.layout().len_of(piece), 40_000 - 2 * 16_384);
    }

    #[test]
    fn the_hash_is_the_sha1_of_the_bytes_received() {
        let raw = Bytes::from_static(
            b"d6:lengthi3e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae",
        );
        let info = Info::from_bytes(raw).unwrap();
        assert_eq!(
            info.info_hash().to_string(),
            "f57885ddc30a153b9f534bc8c8b5d3744ca9b535"
        );
    }

    #[test]
    fn several_files_lie_one_behind_the_other_below_the_name() {
        let info = files(&[
            (20_000, &[b"a", b"b"], ""),
            (0, &[b"e"], "x"),
            (12_768, &[b".pad", b"1"], "p"),
            (7_232, &[b"c"], ""),
        ])
        .unwrap();
        assert!(!info.single_file() && !info.private());
        assert_eq!(paths(&info), ["n/a/b", "n/e", "n/.pad/1", "n/c"]);
        let offsets: Vec<u64> = info.files().iter().map(|f| f.offset).collect();
        assert_eq!(offsets, [0, 20_000, 20_000, 32_768]);
        let padding: Vec<bool> = info.files().iter().map(|f| f.padding).collect();
        assert_eq!(padding, [false, false, true, false]);
    }

    #[test]
    fn hostile_paths_stay_below_the_name() {
        let info = files(&[
            (20_000, &[b"..", b"..", b"x"], ""),
            (10_000, &[b"/etc", b"\xff"], ""),
            (10_000, &[b""], ""),
        ])
        .unwrap();
        assert_eq!(paths(&info), ["n/_/_/x", "n/_etc/%FF", "n/_ (2)"]);
        assert!(files(&[(40_000, &[], "")]).is_err());
        let deep = vec![&b"0123456789"[..]; 300];
        assert!(matches!(
            files(&[(40_000, &deep, "")]),
            Err(MetainfoError::Invalid(_))
        ));
    }

    #[test]
    fn names_in_utf8_are_preferred() {
        let twice = info([
            field("name", Encode::bytes([b'n', 0xe9])),
            field("name.utf-8", Encode::bytes("n\u{e9}")),
        ]);
        assert_eq!(twice.unwrap().name(), "n\u{e9}");
        let broken = info([field("name.utf-8", Encode::bytes([0xff]))]);
        assert_eq!(broken.unwrap().name(), "n");
        let neither = info([field("name", Encode::bytes([b'n', 0xe9]))]);
        assert_eq!(neither.unwrap().name(), "n%E9");
    }

    #[test]
    fn lengths_must_fit_together() {
        let invalid = |key: &str, value| match info([field(key, value)]) {
            Err(MetainfoError::Invalid(what)) => what,
            other => panic!("{key}: {other:?}"),
        };
        assert_eq!(
            invalid("length", Encode::Int(0)),
            "a torrent without content"
        );
        assert_eq!(
            invalid("length", Encode::Int(-1)),
            "a file of negative length"
        );
        invalid("length", Encode::Int(16_384 * 3 + 1));
        invalid("length", Encode::Int(i64::MAX));
        invalid("pieces", Encode::bytes([7; 59]));
        invalid("pieces", Encode::bytes([7; 80]));
        invalid("pieces", Encode::bytes(""));
        invalid("piece length", Encode::Int(0));
        invalid("piece length", Encode::Int(-16_384));
        invalid("piece length", Encode::Int(64 * 1024 * 1024 + 1));
        invalid("piece length", Encode::Int(1 << 32));
        invalid("files", Encode::List(vec![]));
        let file = (i64::MAX, &[&b"a"[..]][..], "");
        assert!(matches!(
            files(&[file, file, file]),
            Err(MetainfoError::Invalid(_))
        ));
        assert!(matches!(files(&[]), Err(MetainfoError::Invalid(_))));
        assert!(info([field("piece length", Encode::Int(15_000))]).is_ok());
    }

    #[test]
    fn version_2_is_read_by_its_version_1_half_or_not_at_all() {
        let v2 = [
            field("meta version", Encode::Int(2)),
            field(
                "file tree",
                Encode::dict([("n", Encode::dict([("", Encode::Int(1))]))]),
            ),
        ];
        assert_eq!(info(v2.clone()).unwrap().name(), "n");
        let alone = Encode::dict(v2).to_vec();
        assert_eq!(
            Info::from_bytes(alone.into()).unwrap_err(),
            MetainfoError::V2Only
        );
        let neither = Info::from_bytes(Bytes::from_static(b"de")).unwrap_err();
        assert_eq!(neither, MetainfoError::Field("pieces"));
    }

    #[test]
    fn the_number_of_files_is_bounded() {
        let file = (1, &[&b"a"[..]][..], "");
        let error = files(&vec![file; MAX_FILES + 1]).unwrap_err();
        assert_eq!(error, MetainfoError::Invalid("more than 100,000 files"));
    }

    #[test]
    fn spans_cover_a_range_without_empty_files() {
        let info = files(&[
            (0, &[b"z"], ""),
            (10, &[b"a"], ""),
            (0, &[b"e"], ""),
            (20, &[b"b"], "p"),
            (39_970, &[b"c"], ""),
            (0, &[b"y"], ""),
        ])
        .unwrap();
        let span = |file, offset, len| Span { file, offset, len };
        assert_eq!(info.spans(0, 10), [span(1, 0, 10)]);
        assert_eq!(
            info.spans(9, 22),
            [span(1, 9, 1), span(3, 0, 20), span(4, 0, 1)]
        );
        assert_eq!(info.spans(30, 5), [span(4, 0, 5)]);
        assert_eq!(info.spans(39_999, u64::MAX), [span(4, 39_969, 1)]);
        assert_eq!(info.spans(5, 0), []);
        assert_eq!(info.spans(40_000, 1), []);
        assert_eq!(info.spans(u64::MAX, u64::MAX), []);
    }
}
