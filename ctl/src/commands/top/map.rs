//! The picture of an item's pieces: a row of cells, each for the same number of pieces.

use p2p_wire::control::ItemPieces;

/// What a cell's pieces are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// All here.
    Here,
    /// Some here.
    Partly,
    /// None here; others have them.
    There,
    /// None here, and of some nobody is known to have them.
    Nowhere,
}

impl Cell {
    /// How it is drawn.
    pub(super) fn symbol(self) -> char {
        match self {
            Self::Here => '█',
            Self::Partly => '▒',
            Self::There => '·',
            Self::Nowhere => '!',
        }
    }
}

/// At most `cells` cells, no more than there are pieces.
pub(super) fn cells(pieces: &ItemPieces, cells: usize) -> Vec<Cell> {
    let all = u64::from(pieces.pieces);
    let cells = (cells as u64).min(all);
    if cells == 0 {
        return Vec::new();
    }
    let mut here = vec![0u64; cells as usize];
    let mut nowhere = vec![false; cells as usize];
    for (first, last) in &pieces.here {
        let range = u64::from(*first)..u64::from(*last).saturating_add(1).min(all);
        each_cell(range, all, cells, |cell, number| {
            if let Some(sum) = here.get_mut(cell) {
                *sum += number;
            }
        });
    }
    let mut at = 0u64;
    for (number, holders) in &pieces.holders {
        let end = at.saturating_add(u64::from(*number)).min(all);
        if *holders == 0 {
            each_cell(at..end, all, cells, |cell, _| {
                if let Some(none) = nowhere.get_mut(cell) {
                    *none = true;
                }
            });
        }
        at = end;
    }
    let whole = |cell: usize| {
        let cell = cell as u64;
        begin(cell + 1, all, cells) - begin(cell, all, cells)
    };
    let cell = |(index, (here, nowhere)): (usize, (u64, bool))| match here {
        0 if nowhere => Cell::Nowhere,
        0 => Cell::There,
        some if some >= whole(index) => Cell::Here,
        _ => Cell::Partly,
    };
    here.into_iter()
        .zip(nowhere)
        .enumerate()
        .map(cell)
        .collect()
}

/// The first piece of a cell.
fn begin(cell: u64, pieces: u64, cells: u64) -> u64 {
    // Both are below 2^32, so the product fits.
    cell * pieces / cells
}

/// Calls `on` with each cell that `range` touches and how many of its pieces are in the range.
fn each_cell(range: std::ops::Range<u64>, pieces: u64, cells: u64, mut on: impl FnMut(usize, u64)) {
    if range.is_empty() {
        return;
    }
    let mut cell = range.start * cells / pieces;
    while begin(cell, pieces, cells) < range.end && cell < cells {
        let from = begin(cell, pieces, cells).max(range.start);
        let to = begin(cell + 1, pieces, cells).min(range.end);
        if from < to {
            on(cell as usize, to - from);
        }
        cell += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(pieces: u32, here: &[(u32, u32)], holders: &[(u32, u32)], width: usize) -> String {
        let pieces = ItemPieces {
            pieces,
            piece_len: 16_384,
            here: here.to_vec(),
            holders: holders.to_vec(),
            unknown: 0,
            missing: Vec::new(),
            source: "peers".into(),
        };
        cells(&pieces, width)
            .into_iter()
            .map(Cell::symbol)
            .collect()
    }

    #[test]
    fn pieces_are_drawn_in_as_many_cells_as_fit() {
        assert_eq!(drawn(4, &[(0, 1)], &[(4, 1)], 80), "██··");
        assert_eq!(drawn(8, &[(0, 4)], &[(8, 1)], 4), "██▒·");
        assert_eq!(
            drawn(8, &[(0, 1), (6, 7)], &[(4, 1), (1, 0), (3, 1)], 4),
            "█·!█"
        );
        assert_eq!(drawn(0, &[], &[], 4), "");
        assert_eq!(drawn(7, &[(0, 6)], &[], 3), "███");
        assert_eq!(drawn(4, &[], &[], 0), "");
    }

    #[test]
    fn ranges_beyond_the_pieces_are_cut() {
        assert_eq!(drawn(2, &[(1, u32::MAX)], &[(u32::MAX, 0)], 2), "!█");
        assert_eq!(drawn(2, &[(9, 10)], &[], 2), "··");
    }
}
