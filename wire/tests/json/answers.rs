//! What else p2pctl prints with `--json`.

use p2p_wire::control::{
    CertificateState, ConfigValue, FetchAdded, Finding, Hook, Link, PathText, Reload,
    TrackerCertificate,
};
use serde_json::json;

use super::{frozen, item, item_json};

#[test]
fn a_fetch_and_a_link() {
    let mut added = FetchAdded {
        item: item(),
        added: true,
        only: vec!["*.iso".into()],
    };
    let added_json = json!({"item": item_json(), "added": true, "only": ["*.iso"]});
    frozen(&added, added_json);
    added.only.clear();
    frozen(&added, json!({"item": item_json(), "added": true}));
    let link = Link {
        magnet: "magnet:?".into(),
        name: None,
    };
    frozen(&link, json!({"magnet": "magnet:?", "name": null}));
}

#[test]
fn a_setting_and_a_reload() {
    let value = ConfigValue {
        key: "limits.download".into(),
        value: "\"5MiB/s\"".into(),
        origin: "set".into(),
        restart: false,
    };
    frozen(
        &value,
        json!({"key": "limits.download", "value": "\"5MiB/s\"", "origin": "set", "restart": false}),
    );
    let mut reload = Reload {
        applied: vec!["a".into()],
        needs_restart: vec!["b".into()],
        problems: vec!["c".into()],
    };
    frozen(
        &reload,
        json!({"applied": ["a"], "needs_restart": ["b"], "problems": ["c"]}),
    );
    reload.problems.clear();
    frozen(&reload, json!({"applied": ["a"], "needs_restart": ["b"]}));
}

#[test]
fn a_hook() {
    let hook = Hook {
        event: "item.finished".into(),
        name: "10-a".into(),
        path: Some(PathText::Text("/h".into())),
        state: "refused".into(),
        reason: Some("r".into()),
    };
    frozen(
        &hook,
        json!({"event": "item.finished", "name": "10-a", "path": "/h", "state": "refused", "reason": "r"}),
    );
}

#[test]
fn what_doctor_finds() {
    let finding = Finding::warning("disk", "t", "f");
    frozen(
        &finding,
        json!({"check": "disk", "level": "warning", "text": "t", "fix": "f"}),
    );
    let finding = Finding::ok("disk", "t");
    frozen(
        &finding,
        json!({"check": "disk", "level": "ok", "text": "t", "fix": null}),
    );
    let level = serde_json::to_value(Finding::fault("disk", "t", "f")).unwrap();
    assert_eq!(level["level"], "fault");
}

#[test]
fn a_certificate_of_a_tracker() {
    for (state, name) in [
        (CertificateState::None, "none"),
        (CertificateState::Trusted, "trusted"),
        (CertificateState::Unknown, "unknown"),
        (CertificateState::Unreachable, "unreachable"),
    ] {
        let shown = TrackerCertificate {
            url: "https://t".into(),
            state,
            fingerprint: None,
            reason: Some("r".into()),
        };
        frozen(
            &shown,
            json!({"url": "https://t", "state": name, "fingerprint": null, "reason": "r"}),
        );
    }
}
