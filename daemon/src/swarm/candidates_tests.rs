//! Addresses of one swarm, dialled by hand.

use super::*;
use crate::swarm::sim::start;

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 6881))
}

fn dials(candidates: &mut Candidates, connected: usize, now: Instant) -> Vec<SocketAddr> {
    std::iter::from_fn(|| candidates.next(connected, 50, now)).collect()
}

#[test]
fn an_address_is_dialled_once_and_only_if_it_can_be_one() {
    let t = start();
    let mut candidates = Candidates::new(&[], t);
    let mapped = SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), 6881);
    let bad = ["10.0.0.9:0", "0.0.0.0:1", "224.0.0.1:1"].map(|a| a.parse().unwrap());
    candidates.add(&[addr(1), addr(1), mapped, addr(2)], t);
    candidates.add(&bad, t);
    assert_eq!(dials(&mut candidates, 0, t), [addr(1), addr(2)]);
    candidates.add(&[addr(1)], t);
    assert_eq!(dials(&mut candidates, 0, t), []);
    candidates.check_invariants();
}

#[test]
fn failures_wait_longer_and_longer_but_not_long_when_alone() {
    let t = start();
    let mut candidates = Candidates::new(&[], t);
    candidates.add(&[addr(1)], t);
    let mut now = t;
    let mut waits = Vec::new();
    for want in [Want::Badly, Want::Lonely, Want::Little, Want::Little] {
        assert_eq!(dials(&mut candidates, 0, now), [addr(1)]);
        candidates.want(want, now);
        candidates.failed(addr(1), now);
        let due = candidates.next_due(0, 50).unwrap();
        waits.push((due - now).as_secs());
        now = due;
    }
    assert_eq!(waits, [2, 4, 40, 80]);
}

/// Fails again and again whenever it is dialled; the last rest.
fn fail(candidates: &mut Candidates, times: u32, now: &mut Instant) -> Duration {
    let mut rest = Duration::ZERO;
    for _ in 0..times {
        assert_eq!(candidates.next(0, 50, *now), Some(addr(1)));
        candidates.failed(addr(1), *now);
        candidates.check_invariants();
        let due = candidates.next_due(0, 50).unwrap();
        rest = due - *now;
        *now = due;
    }
    rest
}

#[test]
fn while_nobody_has_what_is_missing_an_address_is_tried_for_ever_and_every_half_minute_for_hours() {
    let begin = start();
    let mut now = begin;
    let mut candidates = Candidates::new(&[], now);
    candidates.add(&[addr(1)], now);
    assert_eq!(fail(&mut candidates, 5, &mut now), LONGEST_LONELY);
    let mut rest_after = |hours: u64| {
        let mut rest = Duration::ZERO;
        while now - begin < Duration::from_secs(hours * 3_600) {
            rest = fail(&mut candidates, 1, &mut now);
        }
        rest.as_secs()
    };
    let rests = [1, 8, 24, 7 * 24, 100 * 24].map(&mut rest_after);
    assert_eq!(rests, [30, 90, 150, 390, LONGEST_BACK_OFF.as_secs()]);
}

#[test]
fn an_address_that_is_of_no_use_is_tried_every_half_minute_while_nobody_has_what_is_missing() {
    let mut now = start();
    let mut candidates = Candidates::new(&[], now);
    candidates.add(&[addr(1)], now);
    fail(&mut candidates, 5, &mut now);
    for n in 0..100 {
        assert_eq!(candidates.next(0, 50, now), Some(addr(1)));
        candidates.link(addr(1), PeerKey(n));
        candidates.unlink(PeerKey(n), Ending::Useless, now);
        let due = candidates.next_due(0, 50).unwrap();
        assert_eq!(due - now, LONGEST_LONELY, "it was of no use {n} times");
        now = due;
    }
}

#[test]
fn an_address_that_never_answers_is_forgotten_where_there_are_many() {
    for (want, others, rest) in [
        (Want::Lonely, 0, Some(LONGEST_BACK_OFF)),
        (Want::Badly, 0, Some(LONGEST_LONELY)),
        (Want::Lonely, FEW as u8, None),
        (Want::Badly, FEW as u8, None),
    ] {
        let mut now = start();
        let mut candidates = Candidates::new(&[], now);
        candidates.want(want, now);
        candidates.add(&[addr(1)], now);
        let much_later = now + Duration::from_secs(1_000_000);
        (0..others).for_each(|n| candidates.add(&[addr(100 + n)], much_later));
        fail(&mut candidates, MAX_FAILURES - 1, &mut now);
        assert_eq!(candidates.next(0, 50, now), Some(addr(1)));
        candidates.failed(addr(1), now);
        let due = candidates.next_due(0, 50).filter(|due| *due < much_later);
        let kept = due.map(|due| due - now);
        assert_eq!(kept, rest, "{want:?} with {others} others");
    }
}

#[test]
fn when_the_last_who_had_what_is_missing_leaves_all_are_tried_within_half_a_minute() {
    let mut now = start();
    let mut candidates = Candidates::new(&[], now);
    candidates.add(&[addr(1), addr(2), addr(3)], now);
    candidates.want(Want::Little, now);
    for _ in 0..8 {
        let tried = dials(&mut candidates, 1, now);
        assert_eq!(tried.len(), 3);
        tried.iter().for_each(|a| candidates.failed(*a, now));
        now = candidates.next_due(1, 50).unwrap();
    }
    now -= LONGEST_BACK_OFF - Duration::from_secs(10);
    assert_eq!(dials(&mut candidates, 1, now), []);
    candidates.want(Want::Badly, now);
    candidates.check_invariants();
    assert_eq!(dials(&mut candidates, 0, now), [], "one after the other");
    now += LONGEST_LONELY;
    assert_eq!(dials(&mut candidates, 0, now).len(), 3);
}

#[test]
fn an_address_that_is_named_again_is_tried_at_once_but_not_all_the_time() {
    let mut now = start();
    let mut candidates = Candidates::new(&[], now);
    candidates.add(&[addr(1)], now);
    candidates.want(Want::Little, now);
    assert_eq!(fail(&mut candidates, 8, &mut now), LONGEST_BACK_OFF);
    now -= LONGEST_BACK_OFF;
    candidates.add(&[addr(1)], now);
    assert_eq!(candidates.next_due(0, 50), Some(now + NAMED_BACK_OFF));
    now += Duration::from_secs(60);
    candidates.add(&[addr(1)], now);
    assert_eq!(dials(&mut candidates, 0, now), [addr(1)]);
}

#[test]
fn who_came_by_itself_is_tried_again_soon() {
    let mut now = start();
    let mut candidates = Candidates::new(&[], now);
    candidates.add(&[addr(1)], now);
    fail(&mut candidates, 8, &mut now);
    candidates.link(addr(1), PeerKey(1));
    candidates.unlink(PeerKey(1), Ending::Useless, now);
    assert_eq!(candidates.next_due(0, 50), Some(now + LONELY_BACK_OFF));
}

#[test]
fn a_thousand_dead_addresses_are_no_storm_though_all_are_named_every_second() {
    let mut now = start();
    let mut candidates = Candidates::new(&[], now);
    let dead: Vec<SocketAddr> = (0..1_000u16)
        .map(|n| SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 6881)))
        .collect();
    let mut tries = 0;
    for second in 0..3_600 {
        candidates.add(&dead, now);
        while let Some(addr) = candidates.next(0, 50, now) {
            candidates.failed(addr, now);
            tries += u32::from(second >= 60);
        }
        now += Duration::from_secs(1);
    }
    candidates.check_invariants();
    let per_second = tries / 3_540;
    assert!((1..=5).contains(&per_second), "{tries} in an hour");
}

#[test]
fn an_address_for_which_there_was_no_room_has_not_failed() {
    let mut now = start();
    let mut candidates = Candidates::new(&[], now);
    candidates.add(&[addr(1)], now);
    for _ in 0..2 * MAX_FAILURES {
        assert_eq!(candidates.next(0, 50, now), Some(addr(1)));
        candidates.put_off(addr(1), now);
        candidates.check_invariants();
        now += FIRST_BACK_OFF;
    }
    candidates.next(0, 50, now);
    candidates.failed(addr(1), now);
    assert_eq!(candidates.next_due(0, 50), Some(now + LONELY_BACK_OFF));
}

#[test]
fn few_at_a_time_and_never_more_than_there_is_room() {
    let t = start();
    let mut candidates = Candidates::new(&[], t);
    candidates.add(&(1..=100).map(addr).collect::<Vec<_>>(), t);
    assert_eq!(dials(&mut candidates, 0, t).len(), MAX_HALF_OPEN);
    candidates.link(addr(1), PeerKey(1));
    candidates.failed(addr(2), t);
    assert_eq!(dials(&mut candidates, 31, t).len(), 1);
    candidates.check_invariants();
}

#[test]
fn only_the_chosen_addresses_and_never_the_banned() {
    let t = start();
    let mut candidates = Candidates::new(&[addr(1), addr(2)], t);
    candidates.add(&[addr(3)], t);
    candidates.ban(addr(2));
    candidates.add(&[addr(2)], t);
    assert_eq!(dials(&mut candidates, 0, t), [addr(1)]);
    assert!(!candidates.allows(addr(3)) && !candidates.allows(addr(2)));
}

#[test]
fn a_connected_peer_is_not_dialled_by_its_other_address() {
    let t = start();
    let mut candidates = Candidates::new(&[], t);
    candidates.add(&[addr(1)], t);
    candidates.link(addr(1), PeerKey(5));
    assert_eq!(dials(&mut candidates, 1, t), []);
    candidates.unlink(PeerKey(5), Ending::Useful, t);
    assert_eq!(candidates.next_due(0, 50), Some(t + LONELY_BACK_OFF));
}

#[test]
fn peers_that_were_not_needed_wait_until_they_are() {
    let t = start();
    let mut candidates = Candidates::new(&[], t);
    candidates.add(&[addr(1)], t);
    assert_eq!(dials(&mut candidates, 0, t), [addr(1)]);
    candidates.link(addr(1), PeerKey(5));
    candidates.unlink(PeerKey(5), Ending::NotNeeded, t);
    assert!(!candidates.is_active(t + Duration::from_secs(600)));
    candidates.reconsider(t);
    assert_eq!(dials(&mut candidates, 0, t), [addr(1)]);
}
