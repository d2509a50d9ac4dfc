use super::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(1)
}

fn tiers(tiers: &[&[&str]]) -> Vec<Vec<String>> {
    let text = |tier: &&[&str]| {
        tier.iter()
            .map(|url| format!("http://{url}/announce"))
            .collect()
    };
    tiers.iter().map(text).collect()
}

fn peers(interval: u32, min_interval: Option<u32>) -> Peers {
    Peers {
        interval,
        min_interval,
        ..Peers::default()
    }
}

fn ask(schedule: &mut Schedule, now: Instant) -> Attempt {
    assert!(schedule.due().is_some_and(|due| due <= now), "not due");
    let attempt = schedule.attempt().unwrap();
    assert_eq!(schedule.due(), None, "two requests at once");
    attempt
}

fn fail(schedule: &mut Schedule, now: Instant) {
    schedule.failed("no".into(), None, now, &mut rng());
}

#[test]
fn says_started_until_a_tracker_took_it_and_then_nothing() {
    let now = Instant::now();
    let mut s = Schedule::new(tiers(&[&["a"]]), now, &mut rng());
    assert_eq!(ask(&mut s, now).event, Event::Started);
    fail(&mut s, now);
    let now = s.due().unwrap();
    assert_eq!(ask(&mut s, now).event, Event::Started);
    s.answered(Event::Started, &peers(1_800, None), now, &mut rng());
    let due = s.due().unwrap();
    assert!(due >= now + Duration::from_secs(1_620) && due <= now + Duration::from_secs(1_800));
    assert_eq!(ask(&mut s, due).event, Event::None);
}

#[test]
fn asks_the_next_tier_only_when_the_one_before_failed_and_returns_to_the_first() {
    let now = Instant::now();
    let mut s = Schedule::new(tiers(&[&["a"], &["b"]]), now, &mut rng());
    assert!(ask(&mut s, now).url.contains("//a/"));
    fail(&mut s, now);
    assert!(ask(&mut s, now).url.contains("//b/"));
    s.answered(Event::Started, &peers(60, None), now, &mut rng());
    let now = s.due().unwrap();
    assert!(ask(&mut s, now).url.contains("//a/"));
}

#[test]
fn the_tracker_that_answered_moves_to_the_front_of_its_tier() {
    let now = Instant::now();
    let mut s = Schedule::new(tiers(&[&["a", "b", "c"]]), now, &mut rng());
    ask(&mut s, now);
    fail(&mut s, now);
    let second = ask(&mut s, now).url;
    s.answered(Event::Started, &peers(60, None), now, &mut rng());
    let now = s.due().unwrap();
    assert_eq!(ask(&mut s, now).url, second);
}

#[test]
fn backs_off_when_all_failed_but_never_beyond_the_bound() {
    let mut now = Instant::now();
    let mut s = Schedule::new(tiers(&[&["a"], &["b"]]), now, &mut rng());
    let mut waits = Vec::new();
    for _ in 0..20 {
        ask(&mut s, now);
        fail(&mut s, now);
        ask(&mut s, now);
        fail(&mut s, now);
        waits.push(s.due().unwrap() - now);
        now = s.due().unwrap();
    }
    assert!(waits[0] <= FIRST_WAIT && waits[5] > waits[0]);
    assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT));
    assert_eq!(s.error(), Some("no"));
}

#[test]
fn waits_as_long_as_the_tracker_asks() {
    let now = Instant::now();
    let mut s = Schedule::new(tiers(&[&["a"]]), now, &mut rng());
    ask(&mut s, now);
    s.failed(
        "busy".into(),
        Some(Duration::from_secs(600)),
        now,
        &mut rng(),
    );
    assert_eq!(s.due(), Some(now + Duration::from_secs(600)));
}

#[test]
fn completed_goes_at_once_even_when_it_comes_while_a_request_is_out() {
    let now = Instant::now();
    let mut s = Schedule::new(tiers(&[&["a"]]), now, &mut rng());
    let first = ask(&mut s, now);
    s.completed(now);
    assert_eq!(s.due(), None);
    s.answered(first.event, &peers(1_800, Some(300)), now, &mut rng());
    assert_eq!(ask(&mut s, now).event, Event::Completed);
    s.answered(Event::Completed, &peers(1_800, None), now, &mut rng());
    assert!(s.due().unwrap() > now);
}

#[test]
fn a_wish_waits_for_the_minimum_interval_but_not_for_a_back_off() {
    let now = Instant::now();
    let mut s = Schedule::new(tiers(&[&["a"]]), now, &mut rng());
    ask(&mut s, now);
    s.answered(Event::Started, &peers(1_800, Some(300)), now, &mut rng());
    s.hurry(now + Duration::from_secs(5));
    let now = now + Duration::from_secs(300);
    assert_eq!(s.due(), Some(now));
    ask(&mut s, now);
    fail(&mut s, now);
    s.hurry(now);
    assert_eq!(s.due(), Some(now));
}

#[test]
fn stopped_is_said_once_and_only_to_trackers_that_know_us() {
    let now = Instant::now();
    let mut s = Schedule::new(tiers(&[&["a"]]), now, &mut rng());
    assert!(!s.stop(now), "nobody knows us yet");

    let mut s = Schedule::new(tiers(&[&["a"]]), now, &mut rng());
    ask(&mut s, now);
    s.answered(Event::Started, &peers(1_800, Some(300)), now, &mut rng());
    assert!(s.stop(now) && !s.is_over());
    assert_eq!(ask(&mut s, now).event, Event::Stopped);
    s.answered(Event::Stopped, &peers(1_800, None), now, &mut rng());
    assert!(s.is_over());
}

#[test]
fn urls_that_cannot_be_asked_are_shown_and_skipped() {
    let now = Instant::now();
    let only_udp = vec![vec!["udp://a:1/announce".to_owned()]];
    let mut s = Schedule::new(only_udp, now, &mut rng());
    assert_eq!((s.due(), s.attempt()), (None, None));
    let message = s.rows().next().unwrap().0.message.clone();
    assert_eq!(
        message.as_deref(),
        Some("announces over udp are not supported yet")
    );

    let mut mixed = tiers(&[&["b"]]);
    mixed.insert(0, vec!["udp://a:1".into(), "wss://c".into()]);
    let mut s = Schedule::new(mixed, now, &mut rng());
    assert!(ask(&mut s, now).url.contains("//b/"));
}

#[test]
fn the_tracker_id_is_echoed_to_the_tracker_that_gave_it() {
    let now = Instant::now();
    let mut s = Schedule::new(tiers(&[&["a"]]), now, &mut rng());
    ask(&mut s, now);
    let reply = Peers {
        tracker_id: Some("id7".into()),
        ..peers(60, None)
    };
    s.answered(Event::Started, &reply, now, &mut rng());
    let now = s.due().unwrap();
    assert_eq!(ask(&mut s, now).tracker_id.as_deref(), Some("id7"));
}
