//! The pieces of an item in words: what is here, how many hold the rest, and who held last what nobody is known to hold.

use jiff::Timestamp;
use p2p_wire::api::MissingRange;
use p2p_wire::control::ItemPieces;

use crate::human;

/// What is here, how many hold the rest, and what nobody is known to hold.
pub(crate) fn piece_lines(pieces: &ItemPieces, now: Timestamp) -> Vec<String> {
    let here: u64 = pieces
        .here
        .iter()
        .map(|(first, last)| u64::from(last.saturating_sub(*first)) + 1)
        .sum();
    let counts = || {
        let runs = pieces.holders.iter().filter(|(pieces, _)| *pieces > 0);
        runs.map(|(_, holders)| *holders)
    };
    let among = match pieces.source.as_str() {
        "peers" => " among connected peers",
        _ => "",
    };
    let mut first = format!(
        "{} pieces of {}; here {}. Known holders{among}: ",
        human::count(pieces.pieces.into()),
        human::size(pieces.piece_len.into()),
        human::count(here),
    );
    first.push_str(&match (counts().min(), counts().max()) {
        (Some(least), Some(most)) => format!("least {least}, most {most}"),
        _ => "nothing is known".to_owned(),
    });
    match pieces.unknown {
        0 => {}
        1 => first.push_str("; 1 peer does not report"),
        more => first.push_str(&format!("; {more} peers do not report")),
    }
    let mut lines = vec![first];
    lines.extend(missing_lines(&pieces.missing, among, now));
    lines
}

/// Ranges in a sentence at most.
const RANGES: usize = 8;

/// What nobody is known to hold, as the part of a sentence; `None` if there is nothing.
pub(crate) fn missing_in_short(pieces: &ItemPieces, name: &str, now: Timestamp) -> Option<String> {
    let first = pieces.missing.first()?;
    let ranges: Vec<String> = pieces.missing.iter().take(RANGES).map(range).collect();
    let more = match pieces.missing.len() > RANGES {
        true => format!(" and more (p2pctl show {name} --pieces)"),
        false => String::new(),
    };
    Some(format!(
        "nobody is known to hold pieces {}{more} of {name}{}",
        ranges.join(", "),
        last_holder(first, now)
    ))
}

fn range(range: &MissingRange) -> String {
    match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    }
}

fn last_holder(range: &MissingRange, now: Timestamp) -> String {
    match (&range.last_held_by, &range.last_held) {
        (Some(by), Some(when)) => format!("; last held by {by} ({})", human::ago(when, now)),
        (Some(by), None) => format!("; last held by {by}"),
        (None, _) => String::new(),
    }
}

/// A line for each last holder, with the ranges it had.
fn missing_lines(missing: &[MissingRange], among: &str, now: Timestamp) -> Vec<String> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for one in missing {
        let (held, text) = (last_holder(one, now), range(one));
        match groups.iter_mut().find(|(known, _)| *known == held) {
            Some((_, ranges)) => ranges.push(text),
            None => groups.push((held, vec![text])),
        }
    }
    let line = |(held, ranges): (String, Vec<String>)| {
        format!("0 known holders{among}: {}{held}", ranges.join(", "))
    };
    groups.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_nobody_is_known_to_hold_are_listed_by_who_held_them_last() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let range = |first, last, by: Option<&str>| MissingRange {
            first,
            last,
            last_held_by: by.map(str::to_owned),
            last_held: by.map(|_| "2026-01-02T10:00:00Z".to_owned()),
        };
        let mut pieces = ItemPieces {
            pieces: 8_320,
            piece_len: 16 << 20,
            here: vec![(0, 3_825), (4_000, 4_000)],
            holders: vec![(812, 12), (29, 0), (7_479, 3), (0, 99)],
            unknown: 3,
            missing: vec![
                range(812, 840, Some("nas2")),
                range(7, 8, None),
                range(900, 900, Some("nas2")),
            ],
            source: "tracker".to_owned(),
        };
        assert_eq!(
            piece_lines(&pieces, now),
            [
                "8,320 pieces of 16 MiB; here 3,827. Known holders: least 0, most 12; 3 peers do not report",
                "0 known holders: 812-840, 900; last held by nas2 (2 h ago)",
                "0 known holders: 7-8",
            ]
        );
        pieces.holders.clear();
        pieces.unknown = 0;
        pieces.missing.clear();
        assert_eq!(
            piece_lines(&pieces, now),
            ["8,320 pieces of 16 MiB; here 3,827. Known holders: nothing is known"]
        );
        pieces.source = "peers".to_owned();
        pieces.missing.push(range(7, 8, None));
        assert_eq!(
            piece_lines(&pieces, now)[1],
            "0 known holders among connected peers: 7-8"
        );
    }
}
