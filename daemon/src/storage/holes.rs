//! Pieces that cannot be what they are said to be, told without reading them.

use std::fs::File;
use std::ops::Range;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use p2p_hash::Digest;
use p2p_wire::{Bitfield, PieceIndex};

use super::tree::Held;
use super::{StorageError, Tree, piece};

impl Tree {
    /// Those of `claimed` that lie in a hole of a file, where nothing was ever written, and are no pieces of zeros. What lies in more than one
    /// file is not looked at.
    pub fn hollow(&self, claimed: &Bitfield) -> Result<Vec<u32>, StorageError> {
        let layout = self.info.layout();
        let piece_len = u64::from(layout.piece_len());
        let mut zeros = Zeros::default();
        let mut hollow = Vec::new();
        let roots = Held::default();
        for (index, place) in self.info.files().iter().enumerate() {
            let file = match self.open_to_read(&roots, index) {
                Ok(file) if !place.padding => file,
                // What is not there is found by its stamp.
                _ => continue,
            };
            for hole in holes(&file, place.len) {
                let (from, to) = (place.offset + hole.start, place.offset + hole.end);
                let numbers = from.div_ceil(piece_len)..to.div_ceil(piece_len);
                let pieces = numbers.filter_map(|number| layout.piece(u32::try_from(number).ok()?));
                for piece in pieces.filter(|piece| claimed.get(piece.get())) {
                    let end = layout.offset(piece) + u64::from(layout.len_of(piece));
                    if end <= to && !zeros.is(self, piece) {
                        hollow.push(piece.get());
                    }
                }
            }
        }
        Ok(hollow)
    }
}

/// The hashes of zeros, for the two lengths that pieces have.
#[derive(Default)]
struct Zeros(Vec<(u32, Digest)>);

impl Zeros {
    fn is(&mut self, tree: &Tree, piece: PieceIndex) -> bool {
        let len = tree.info.layout().len_of(piece);
        let known = self
            .0
            .iter()
            .find(|(of, _)| *of == len)
            .map(|(_, hash)| *hash);
        let hash = known.unwrap_or_else(|| {
            let hash = piece::sha1(&vec![0; len as usize]);
            self.0.push((len, hash));
            hash
        });
        hash == tree.info.piece_hash(piece)
    }
}

/// Where the first `len` bytes of a file hold no data; nothing where the file system cannot tell.
fn holes(file: &File, len: u64) -> Vec<Range<u64>> {
    let mut holes = Vec::new();
    let mut at = 0;
    while at < len {
        let Some(hole) = seek(file, at, Whence::SeekHole).filter(|hole| *hole < len) else {
            break;
        };
        let data = seek(file, hole, Whence::SeekData).unwrap_or(len).min(len);
        holes.push(hole..data);
        at = data.max(hole + 1);
    }
    holes
}

fn seek(file: &File, from: u64, whence: Whence) -> Option<u64> {
    let from = i64::try_from(from).ok()?;
    match lseek(file, from, whence) {
        Ok(at) => u64::try_from(at).ok(),
        // No data, or no hole, from here on.
        Err(Errno::ENXIO) => None,
        Err(error) => {
            tracing::debug!("holes cannot be found: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::sync::Arc;

    use p2p_hash::{FileSpec, Options, Progress, hash_files};
    use p2p_wire::metainfo::{Builder, Content};

    use super::*;
    use crate::resume::Site;
    use crate::storage::{Disk, TreeSpec};

    const PIECE: usize = 65_536;

    #[test]
    fn a_claimed_piece_in_a_hole_is_found_unless_it_is_one_of_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        // Pieces: data, zeros, data, data, and a short one of zeros.
        let mut content = vec![7; 4 * PIECE + 1_000];
        content[PIECE..2 * PIECE].fill(0);
        content[4 * PIECE..].fill(0);
        std::fs::write(&path, &content).unwrap();
        let len = content.len() as u64;
        let specs = [FileSpec::new(&path, len)];
        let options = Options::default();
        let hashes = hash_files(&specs, PIECE as u32, &options, &Progress::new()).unwrap();
        let builder = Builder {
            name: "f".into(),
            content: Content::Single(len),
            piece_len: PIECE as u32,
            private: false,
            announce: vec![],
            comment: None,
            created: None,
        };
        let info = Arc::new(builder.build(&hashes).unwrap().info);
        let sparse = File::create(&path).unwrap();
        sparse.set_len(len).unwrap();
        sparse.write_all_at(&content[..PIECE], 0).unwrap();
        sparse
            .write_all_at(&content[3 * PIECE..][..10], 3 * PIECE as u64)
            .unwrap();
        if holes(&sparse, len).is_empty() {
            eprintln!(
                "skipped: the file system of {} knows no holes",
                path.display()
            );
            return;
        }
        let tree = Disk::alone(1).tree(TreeSpec {
            info: &info,
            site: &Site::Foreign(path),
            stage: dir.path(),
            wanted: &[true],
            writable: false,
            stamps: vec![],
        });
        assert_eq!(tree.hollow(&Bitfield::full(5)).unwrap(), [2]);
        assert!(tree.hollow(&Bitfield::new(5)).unwrap().is_empty());
        let good: Vec<u32> = info
            .layout()
            .iter()
            .filter(|piece| tree.is_good(*piece).unwrap())
            .map(PieceIndex::get)
            .collect();
        assert_eq!(good, [0, 1, 4]);
    }
}
