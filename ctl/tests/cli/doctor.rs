//! `doctor` as its users see it.

use p2p_wire::control::ErrorKind;
use serde_json::{Value, json};

use crate::fake::{Fake, welcome};
use crate::run::{alone, piped, terminal};

fn findings(level: &str) -> Value {
    json!([
        {"check": "disk", "level": "ok", "text": "9 GiB free for /d.", "fix": null},
        {"check": "clock", "level": level, "text": "The clock is wrong.", "fix": "sudo timedatectl set-ntp true"}
    ])
}

#[test]
fn each_finding_has_the_command_that_mends_it() {
    let fake = Fake::answering(&[("daemon.doctor", findings("warning"))]);
    let ran = terminal(&fake, &["doctor"]);
    assert_eq!(ran.code, 0, "a warning is no failure: {}", ran.err);
    assert!(
        ran.out.contains("Mend it:  sudo timedatectl set-ntp true"),
        "{}",
        ran.out
    );
    let ran = piped(&fake, &["doctor", "--json"]);
    let all: Value = serde_json::from_str(&ran.out).unwrap();
    let checks: Vec<&str> = (all.as_array().unwrap().iter())
        .map(|finding| finding["check"].as_str().unwrap())
        .collect();
    assert_eq!(checks, ["socket", "versions", "disk", "clock"]);
    assert_eq!(all[3]["fix"], "sudo timedatectl set-ntp true");
}

#[test]
fn what_does_not_work_ends_with_1() {
    let fake = Fake::answering(&[("daemon.doctor", findings("fault"))]);
    assert_eq!(piped(&fake, &["doctor"]).code, 1);

    let home = tempfile::tempdir().unwrap();
    let ran = alone(home.path(), &["doctor"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("daemon enable"), "{}", ran.out);
}

#[test]
fn other_versions_and_unwell_daemons_are_found() {
    let fake = Fake::answering(&[("daemon.doctor", json!([]))]);
    let ran = piped(&fake, &["doctor"]);
    assert!(
        ran.out.contains("warning\tversions") && ran.out.contains("p2pd 9.9.9"),
        "{}",
        ran.out
    );

    let fake = Fake::raw(|call, peer| match call.method.as_str() {
        "hello" => {
            let mut unwell = welcome();
            unwell["unhealthy"] = json!("the port is taken");
            peer.answer(call, unwell);
        }
        _ => peer.refuse(call, ErrorKind::Failed, "no", "unwell", ""),
    });
    let ran = piped(&fake, &["doctor"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("the port is taken"), "{}", ran.out);
}
