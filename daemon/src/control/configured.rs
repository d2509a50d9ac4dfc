//! What the configuration file names: shares and trackers, as the parts that hold them take them.

use p2p_wire::control::{PathText, ShareAdd};

use crate::config::{Config, Places};
use crate::share::NewShare;

/// The shares of the file. They belong to the user whose daemon it is, on the system's daemon to root.
pub fn configured_shares(places: &Places, config: &Config) -> Vec<NewShare> {
    let shares = config.share.iter().filter_map(|share| {
        let path = share.path.resolve(places.home.as_deref())?;
        Some(NewShare {
            owner: places.mode.owner(),
            configured: true,
            add: ShareAdd {
                // It came out of a text, so it is one.
                path: PathText::Text(path.to_string_lossy().into_owned()),
                each: share.each,
                name: share.name.clone(),
                join: false,
                tracker: share.tracker.clone(),
                publish: true,
                exclude: share.exclude.clone(),
                visibility: Default::default(),
                piece_len: None,
                once: false,
                force: false,
            },
        })
    });
    shares.collect()
}

/// The trackers of the file: name and URL.
pub fn configured_trackers(config: &Config) -> Vec<(String, String)> {
    let trackers = config.trackers.iter();
    let pairs = trackers.map(|(name, tracker)| (name.clone(), tracker.url.clone()));
    pairs.collect()
}
