//! Drawings: one character a piece.
use super::*;
use rand::SeedableRng;

/// A set: `*` in, anything else out.
fn set(drawing: &str) -> Bitfield {
    let mut set = Bitfield::new(drawing.len() as u32);
    for (i, _) in drawing.match_indices('*') {
        set.set(i as u32);
    }
    set
}

/// A picker where as many peers have each piece as the digits say, and the pieces of `have` are ours.
fn picker(availability: &str, have: &str) -> Picker {
    let pieces = availability.len() as u32;
    let mut open = Bitfield::full(pieces);
    set(have).iter().for_each(|piece| {
        open.clear(piece);
    });
    let layout = Layout::new(u64::from(pieces) * 65_536, 65_536).unwrap();
    let mut picker = Picker::new(&layout, open);
    for (piece, digit) in availability.bytes().enumerate() {
        for _ in b'0'..digit {
            picker.add_many(std::iter::once(piece as u32));
        }
    }
    picker
}

/// All pieces that some seed picks from a peer that has `peer`.
fn picks(picker: &mut Picker, peer: &str, mode: Mode) -> Vec<u32> {
    let has = set(peer);
    let mut picked: Vec<u32> = (0..200)
        .filter_map(|seed| {
            picker.stale = true;
            picker.pick(&has, mode, &mut SmallRng::seed_from_u64(seed))
        })
        .collect();
    picked.sort_unstable();
    picked.dedup();
    picked
}

#[test]
fn picks_the_rarest_piece_it_does_not_have() {
    let mut p = picker("2223333", "* *    ");
    assert_eq!(picks(&mut p, "*******", Mode::Rarest), [1]);
}

#[test]
fn equally_rare_pieces_are_picked_at_random() {
    let mut p = picker("1121222", "       ");
    assert_eq!(picks(&mut p, "*******", Mode::Rarest), [0, 1, 3]);
}

#[test]
fn picks_only_what_the_peer_has() {
    let mut p = picker("1122233", "       ");
    assert_eq!(picks(&mut p, "  *  **", Mode::Rarest), [2]);
    assert_eq!(picks(&mut p, "     **", Mode::Rarest), [5, 6]);
    assert_eq!(picks(&mut p, "       ", Mode::Rarest), [0u32; 0]);
}

#[test]
fn what_the_whole_swarm_lacks_comes_first() {
    let mut p = picker("1122233", "       ");
    p.set_rarest(&[4, 6]);
    assert_eq!(picks(&mut p, "*******", Mode::Rarest), [4, 6]);
    p.set_rarest(&[]);
    assert_eq!(picks(&mut p, "*******", Mode::Rarest), [0, 1]);
}

#[test]
fn pieces_that_only_complete_peers_have_are_the_rarest() {
    let mut p = picker("1011011", "       ");
    p.add_seed();
    assert_eq!(picks(&mut p, "*******", Mode::Rarest), [1, 4]);
    p.remove_seed();
    assert_eq!(picks(&mut p, "* ** **", Mode::Rarest), [0, 2, 3, 5, 6]);
}

#[test]
fn sequential_takes_the_lowest_and_random_takes_any() {
    let mut p = picker("3213213", "**     ");
    assert_eq!(picks(&mut p, "** ****", Mode::Sequential), [3]);
    assert_eq!(picks(&mut p, "*******", Mode::Random), [2, 3, 4, 5, 6]);
}

#[test]
fn haves_move_pieces_one_bucket_at_a_time() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut p = picker("1111", "    ");
    let all = Bitfield::full(4);
    p.pick(&all, Mode::Rarest, &mut rng);
    for piece in [0, 2, 3, 3, 3] {
        p.add_one(piece, &mut rng);
        p.check_invariants(p.counts.iter().map(|n| u64::from(*n)).sum(), 0);
    }
    assert_eq!(p.pick(&all, Mode::Rarest, &mut rng), Some(1));
    assert!(p.remove(1) && !p.remove(1));
    assert!([0, 2].contains(&p.pick(&all, Mode::Rarest, &mut rng).unwrap()));
    p.remove_one(3, &mut rng);
    p.remove_one(3, &mut rng);
    p.remove_one(3, &mut rng);
    assert_eq!(p.pick(&all, Mode::Rarest, &mut rng), Some(3));
    assert!(p.insert(1, &mut rng));
    p.check_invariants(6, 0);
}

#[test]
fn copies_are_the_rarest_plus_the_share_above() {
    assert_eq!(picker("2223", "    ").copies(&set("    ")), 2.25);
    assert_eq!(picker("2223", "    ").copies(&set("*** ")), 3.0);
    assert_eq!(picker("0110", "    ").copies(&set("    ")), 0.5);
}

#[test]
fn short_pieces_are_picked_in_rows_and_those_of_a_small_item_are_not() {
    const LEN: u32 = 262_144;
    // The pieces that were picked before the one in front of them.
    let breaks = |pieces: u32| -> Vec<u32> {
        let layout = Layout::new(u64::from(pieces) * u64::from(LEN), LEN).unwrap();
        let all = Bitfield::full(pieces);
        let mut picker = Picker::new(&layout, all.clone());
        picker.add_seed();
        let mut rng = SmallRng::seed_from_u64(1);
        let mut turn = vec![0; pieces as usize];
        for now in 0..pieces {
            let piece = picker.pick(&all, Mode::Rarest, &mut rng).unwrap();
            picker.remove(piece);
            turn[piece as usize] = now;
        }
        let before = |n: &u32| turn[*n as usize] < turn[*n as usize - 1];
        (1..pieces).filter(before).collect()
    };
    let row = EXTENT as u32 / LEN;
    let large = breaks(8_192);
    assert!(!large.is_empty() && large.iter().all(|n| n % row == 0));
    assert!(breaks(256).iter().any(|n| n % row != 0));
}
