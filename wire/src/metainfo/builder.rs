//! Making torrents.

use bytes::Bytes;

use super::{Info, MAX_METAINFO_LEN, MAX_PIECE_LEN, Metainfo, MetainfoError};
use crate::bencode::Encode;
use crate::text;

const MIN_PIECE_LEN: u32 = 16 * 1024;
const MAX_AUTO_PIECE_LEN: u32 = 16 * 1024 * 1024;

/// Builds a torrent: say what is in it, hash it, [`Builder::build`].
#[derive(Clone, Debug)]
pub struct Builder {
    /// Name of the file, or of the folder.
    pub name: String,
    /// One file named `name`, or the files below a folder of that name.
    pub content: Content,
    /// Length of a piece in bytes: a power of two of at least 16 KiB and at most 64 MiB, see [`auto_piece_len`].
    pub piece_len: u32,
    /// BEP 27.
    pub private: bool,
    /// Announce URLs in tiers.
    pub announce: Vec<Vec<String>>,
    /// `comment`.
    pub comment: Option<String>,
    /// `creation date`; absent makes the file depend on its content alone.
    pub created: Option<i64>,
}

/// What a built torrent holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// One file of so many bytes.
    Single(u64),
    /// Files below the folder `name`: path components and length; they are sorted by path bytes.
    Multi(Vec<(Vec<String>, u64)>),
}

impl Content {
    /// Brings the files into the order in which they are hashed: by the bytes of their paths joined with `/`.
    pub fn sort(&mut self) {
        if let Self::Multi(files) = self {
            files.sort_by(|(a, _), (b, _)| joined(a).cmp(joined(b)));
        }
    }
}

impl Builder {
    /// Refuses what would make a .torrent that nobody can read, of more than [`MAX_METAINFO_LEN`] bytes: to be asked before hours of hashing.
    pub fn check(&self) -> Result<(), MetainfoError> {
        let (total, files) = match &self.content {
            Content::Single(len) => (*len, 0),
            Content::Multi(files) => files.iter().fold((0, 0), |(total, bytes), (path, len)| {
                // `d6:lengthi..e4:pathl..ee`, and a length before each component.
                let names: usize = path.iter().map(|part| part.len() + 2).sum();
                (u64::saturating_add(total, *len), bytes + names + 25)
            }),
        };
        let pieces = total.div_ceil(u64::from(self.piece_len).max(1));
        let least = pieces.saturating_mul(20).saturating_add(files as u64);
        if least > MAX_METAINFO_LEN as u64 {
            return Err(MetainfoError::Invalid(
                "the .torrent would be larger than 10 MiB; larger pieces or fewer files make it smaller",
            ));
        }
        Ok(())
    }

    /// Makes the torrent; `pieces` are the SHA-1 of all pieces over the files in the order of [`Content::sort`].
    /// Errors when the lengths and the number of hashes do not fit, or a name is not one that [`Info::from_bytes`] would keep.
    pub fn build(&self, pieces: &[[u8; 20]]) -> Result<Metainfo, MetainfoError> {
        self.check()?;
        let len = self.piece_len;
        if !len.is_power_of_two() || !(MIN_PIECE_LEN..=MAX_PIECE_LEN).contains(&len) {
            return Err(MetainfoError::Invalid(
                "the piece length is not a power of two from 16 KiB to 64 MiB",
            ));
        }
        let mut urls = self.announce.iter().flatten();
        if urls.any(|url| text::tracker_url(url.as_bytes()) != Some(url)) {
            return Err(MetainfoError::Invalid(
                "an announce URL is not http, https or udp",
            ));
        }
        let mut content = self.content.clone();
        content.sort();
        let info = Info::from_bytes(Bytes::from(self.info(&content, pieces)?))?;
        if !keeps(&info, &self.name, &content) {
            return Err(MetainfoError::Invalid(
                "a name is empty, too long, used twice, or has a separator or control character",
            ));
        }
        Ok(Metainfo {
            info,
            announce: self.announce.clone(),
            comment: self.comment.clone(),
            created_by: None,
            created: self.created,
        })
    }

    fn info(&self, content: &Content, pieces: &[[u8; 20]]) -> Result<Vec<u8>, MetainfoError> {
        let mut entries = vec![
            ("name", Encode::bytes(self.name.as_str())),
            ("piece length", Encode::Int(self.piece_len.into())),
            ("pieces", Encode::bytes(pieces.concat())),
        ];
        entries.push(match content {
            Content::Single(len) => ("length", length(*len)?),
            Content::Multi(files) => {
                let files: Result<_, _> = files.iter().map(file).collect();
                ("files", Encode::List(files?))
            }
        });
        if self.private {
            entries.push(("private", Encode::Int(1)));
        }
        Ok(Encode::dict(entries).to_vec())
    }
}

/// The smallest power of two of at least `total_len`/4096, from 16 KiB to 16 MiB.
pub fn auto_piece_len(total_len: u64) -> u32 {
    let wanted = total_len.div_ceil(4_096);
    let most = u64::from(MAX_AUTO_PIECE_LEN);
    u32::try_from(wanted.min(most).next_power_of_two())
        .unwrap_or(MAX_AUTO_PIECE_LEN)
        .max(MIN_PIECE_LEN)
}

fn joined(path: &[String]) -> impl Iterator<Item = u8> + '_ {
    path.iter()
        .enumerate()
        .flat_map(|(i, part)| (i > 0).then_some(b'/').into_iter().chain(part.bytes()))
}

fn length(len: u64) -> Result<Encode, MetainfoError> {
    let len = i64::try_from(len).map_err(|_| MetainfoError::Invalid("a file is too long"))?;
    Ok(Encode::Int(len))
}

fn file((path, len): &(Vec<String>, u64)) -> Result<Encode, MetainfoError> {
    let path = path.iter().map(|part| Encode::bytes(part.as_str()));
    Ok(Encode::dict([
        ("length", length(*len)?),
        ("path", Encode::List(path.collect())),
    ]))
}

/// Whether every name came through reading unchanged.
fn keeps(info: &Info, name: &str, content: &Content) -> bool {
    info.name() == name
        && match content {
            Content::Single(_) => true,
            Content::Multi(files) => files
                .iter()
                .zip(info.files())
                .all(|((path, _), file)| file.path.get(1..) == Some(&path[..])),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_too_large_to_be_read_is_refused_before_it_is_hashed() {
        let builder = |content| Builder {
            name: "a".to_owned(),
            content,
            piece_len: MIN_PIECE_LEN,
            private: false,
            announce: Vec::new(),
            comment: None,
            created: None,
        };
        let fits = 8 << 30;
        assert!(builder(Content::Single(fits)).check().is_ok());
        assert!(builder(Content::Single(9 << 30)).check().is_err());
        let files = vec![(vec!["x".repeat(200)], 1); 60_000];
        assert!(builder(Content::Multi(files)).check().is_err());
    }

    fn builder(content: Content) -> Builder {
        Builder {
            name: "n".into(),
            content,
            piece_len: MIN_PIECE_LEN,
            private: true,
            announce: vec![vec!["http://t/announce".into()]],
            comment: None,
            created: None,
        }
    }

    fn multi(files: &[(&str, u64)]) -> Content {
        let parts = |path: &str| path.split('/').map(str::to_owned).collect();
        Content::Multi(
            files
                .iter()
                .map(|(path, len)| (parts(path), *len))
                .collect(),
        )
    }

    #[test]
    fn what_is_built_reads_back_the_same() {
        let built = builder(Content::Single(20_000)).build(&[[1; 20], [2; 20]]);
        let built = built.unwrap();
        let read = Metainfo::from_bytes(&built.to_bytes()).unwrap();
        assert_eq!(read.info.info_hash(), built.info.info_hash());
        assert_eq!(read.info.raw(), built.info.raw());
        assert_eq!(read.announce, built.announce);
        assert!(read.info.private() && read.info.single_file());
        assert_eq!(
            &read.info.raw()[..],
            [
                &b"d6:lengthi20000e4:name1:n12:piece lengthi16384e6:pieces40:"[..],
                &[1; 20],
                &[2; 20],
                b"7:privatei1ee"
            ]
            .concat()
        );
    }

    #[test]
    fn files_are_sorted_by_the_bytes_of_their_paths() {
        let built = builder(multi(&[("b", 1), ("a/b", 2), ("a.b", 3), ("a/a/z", 4)]));
        let built = built.build(&[[1; 20]]).unwrap();
        let files = built.info.files();
        let paths: Vec<_> = files.iter().map(|file| file.path[1..].join("/")).collect();
        assert_eq!(paths, ["a.b", "a/a/z", "a/b", "b"]);
        assert_eq!(files[1].len, 4);
    }

    #[test]
    fn refuses_what_reading_would_change() {
        let refused = |content| builder(content).build(&[[1; 20]]).is_err();
        for path in ["", "a/..", "a//b", "a\\b", "a\nb"] {
            assert!(refused(multi(&[(path, 1)])), "{path:?}");
        }
        assert!(refused(multi(&[(&"x".repeat(256), 1)])));
        assert!(refused(multi(&[("a", 1), ("a", 1)])));
        assert!(refused(multi(&[("a", 1), ("a/b", 1)])));
        assert!(refused(multi(&[])));
        assert!(refused(Content::Single(0)));
        assert!(refused(Content::Single(u64::MAX)));
        assert!(refused(Content::Single(16_385)));
        assert!(!refused(Content::Single(16_384)));
    }

    #[test]
    fn refuses_piece_lengths_and_urls_that_others_cannot_use() {
        let refused = |change: fn(&mut Builder)| {
            let mut builder = builder(Content::Single(1));
            change(&mut builder);
            builder.build(&[[1; 20]]).is_err()
        };
        assert!(!refused(|_| {}));
        assert!(refused(|b| b.name = "..".into()));
        assert!(refused(|b| b.piece_len = 0));
        assert!(refused(|b| b.piece_len = 8_192));
        assert!(refused(|b| b.piece_len = 16_385));
        assert!(refused(|b| b.piece_len = 128 * 1024 * 1024));
        assert!(refused(|b| b.announce = vec![vec!["wss://t".into()]]));
    }

    #[test]
    fn the_automatic_piece_length_gives_about_4096_pieces() {
        assert_eq!(auto_piece_len(0), 16 * 1024);
        assert_eq!(auto_piece_len(64 * 1024 * 1024), 16 * 1024);
        assert_eq!(auto_piece_len(64 * 1024 * 1024 + 1), 32 * 1024);
        assert_eq!(auto_piece_len(1_519_802_169), 512 * 1024);
        assert_eq!(auto_piece_len(u64::MAX), 16 * 1024 * 1024);
    }
}
