//! What commonly goes wrong between the daemon and a tracker.

use jiff::Timestamp;
use p2p_wire::api::Reachable;
use p2p_wire::control::{Finding, Tracker};

use crate::Fault;

/// Seconds that two clocks may differ: more disturbs who compares times, less is the way of networks.
const CLOCK_SKEW_S: i64 = 30;

pub(super) fn login(tracker: &Tracker, tested: Result<Tracker, Fault>) -> Finding {
    let name = &tracker.name;
    match (&tracker.username, tested) {
        (None, Ok(_)) => {
            let text = format!("Tracker {name} answers, but nobody is logged in to it.");
            Finding::fault("login", text, format!("p2pctl login {name}"))
        }
        (Some(user), Ok(_)) => {
            Finding::ok("login", format!("Logged in to tracker {name} as {user}."))
        }
        (_, Err(fault)) => Finding::fault("login", fault.to_string(), fault.fix),
    }
}

/// `ends`: when its certificate does, if that is soon.
pub(super) fn transport(
    tracker: &Tracker,
    safe: Result<(), Fault>,
    ends: Option<Timestamp>,
) -> Finding {
    let (name, url) = (&tracker.name, &tracker.url);
    if let Some(ends) = ends {
        let text =
            format!("The certificate of tracker {name} ends on {ends}, and was not renewed yet.");
        let fix =
            "renew it on the tracker's machine, then there:  sudo systemctl reload p2p-tracker";
        return Finding::warning("transport", text, fix);
    }
    match safe {
        Ok(()) if url.starts_with("https:") => {
            let text = format!("Tracker {name} is reached by TLS.");
            Finding::ok("transport", text)
        }
        Ok(()) => {
            let text = format!("Tracker {name} is reached without TLS, inside a private network.");
            Finding::ok("transport", text)
        }
        Err(fault) => {
            let secure = url.replacen("http:", "https:", 1);
            let fix = format!("p2pctl tracker rm {name} && p2pctl tracker add {name} {secure}");
            Finding::fault("transport", fault.why, fix)
        }
    }
}

pub(super) fn reachable(tracker: &str, port: u16, answer: &Reachable) -> Finding {
    let address = &answer.address;
    if answer.reachable {
        let text = format!("Tracker {tracker} can connect to this machine at {address}.");
        return Finding::ok("port", text);
    }
    let why = answer.why.as_deref().unwrap_or("no reason given");
    let text = format!(
        "Tracker {tracker} cannot connect to {address}: {why}. Others can be connected to from here, but cannot connect to here."
    );
    Finding::warning("port", text, format!("sudo ufw allow {port}/tcp"))
}

/// Nothing where the time there cannot be read.
pub(super) fn clock(tracker: &str, there: &str, here: Timestamp) -> Option<Finding> {
    let there: Timestamp = there.parse().ok()?;
    let ahead = here.as_second().saturating_sub(there.as_second());
    if ahead.abs() > CLOCK_SKEW_S {
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        let text = format!(
            "The clock here is {} s {way} that of tracker {tracker}.",
            ahead.abs()
        );
        return Some(Finding::warning(
            "clock",
            text,
            "sudo timedatectl set-ntp true",
        ));
    }
    let text = format!("The clock agrees with that of tracker {tracker}.");
    Some(Finding::ok("clock", text))
}

#[cfg(test)]
mod tests {
    use p2p_wire::control::{ErrorKind, Level};

    use super::super::tests::mends;
    use super::*;

    fn tracker(username: Option<&str>, url: &str) -> Tracker {
        Tracker {
            name: "home".into(),
            url: url.into(),
            username: username.map(str::to_owned),
            node: None,
            fingerprint: None,
            state: "ok".into(),
            reason: None,
            queued: 0,
        }
    }

    fn fault() -> Fault {
        Fault::new(
            ErrorKind::Tracker,
            "what",
            "why",
            "p2pctl tracker test home",
        )
    }

    #[test]
    fn a_missing_login_and_a_silent_tracker_are_found() {
        let known = tracker(Some("ann"), "http://nas:6969");
        assert_eq!(login(&known, Ok(known.clone())).level, Level::Ok);
        mends(&login(&known, Err(fault())), Level::Fault, "tracker test");
        let stranger = tracker(None, "http://nas:6969");
        mends(
            &login(&stranger, Ok(stranger.clone())),
            Level::Fault,
            "p2pctl login home",
        );
    }

    #[test]
    fn passwords_without_encryption_are_found() {
        assert_eq!(
            transport(&tracker(None, "https://x"), Ok(()), None).level,
            Level::Ok
        );
        let plain = tracker(None, "http://x");
        assert_eq!(transport(&plain, Ok(()), None).level, Level::Ok);
        mends(
            &transport(&plain, Err(fault()), None),
            Level::Fault,
            "tracker add home https://x",
        );
    }

    #[test]
    fn a_certificate_that_ends_soon_is_found() {
        let ends = "2026-01-31T12:00:00Z".parse().ok();
        let found = transport(&tracker(None, "https://x"), Ok(()), ends);
        mends(&found, Level::Warning, "systemctl reload p2p-tracker");
        assert!(found.text.contains("2026-01-31"), "{found:?}");
    }

    #[test]
    fn a_closed_port_is_found() {
        let answer = |why: Option<&str>| Reachable {
            address: "192.0.2.1:7".into(),
            reachable: why.is_none(),
            why: why.map(str::to_owned),
            time: String::new(),
        };
        assert_eq!(reachable("home", 7, &answer(None)).level, Level::Ok);
        mends(
            &reachable("home", 7, &answer(Some("refused"))),
            Level::Warning,
            "7/tcp",
        );
    }

    #[test]
    fn a_wrong_clock_is_found() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let at = |there: &str| clock("home", there, now);
        assert_eq!(at("2026-01-31T12:00:20Z").unwrap().level, Level::Ok);
        for wrong in ["2026-01-31T12:01:00Z", "2025-01-31T12:00:00Z"] {
            mends(&at(wrong).unwrap(), Level::Warning, "timedatectl");
        }
        assert_eq!(at("soon"), None);
    }
}
