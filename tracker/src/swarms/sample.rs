//! Picking peers for an answer.

use super::peer::Row;

/// Up to `want` rows of some lists taken as one, that `fits` agrees to: two windows at random places, so the cost is that of the answer
/// however large the swarm, and peers that joined together do not meet only each other.
pub(super) fn sample(
    lists: &[&[Row]],
    want: u32,
    random: u64,
    fits: impl Fn(&Row) -> bool,
) -> Vec<Row> {
    let len = lists.iter().map(|list| list.len()).sum();
    let want = want as usize;
    let row = |mut at: usize| {
        for list in lists {
            match list.get(at) {
                Some(row) => return Some(row),
                None => at -= list.len(),
            }
        }
        None
    };
    // One more than wanted, because at most one row is the asker itself.
    if len <= want + 1 {
        return (0..len)
            .filter_map(row)
            .filter(|row| fits(row))
            .take(want)
            .cloned()
            .collect();
    }
    let (half, window) = (len / 2, (want + 1).div_ceil(2));
    let offset = |random: u32, room: usize| random as usize % (room.saturating_sub(window) + 1);
    let low = offset(random as u32, half);
    let high = half + offset((random >> 32) as u32, len - half);
    let windows = (low..(low + window).min(half)).chain(high..(high + window).min(len));
    windows
        .filter_map(row)
        .filter(|row| fits(row))
        .take(want)
        .cloned()
        .collect()
}
