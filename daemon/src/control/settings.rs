//! Settings: the configuration with what commands changed of it, and the methods `config.*`, `limits.*`, `daemon.reload`.
//!
//! Owns the table `settings`. What is set is in the database before it takes effect.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use p2p_wire::control::{ConfigKey, ConfigSet, ConfigValue, ErrorKind, Limits, Reload};

use super::Daemon;
use super::caller::Caller;
use super::{configured_shares, configured_trackers};
use crate::Fault;
use crate::config::{self, Config, Layers, Limit, Places, SECTIONS, SetError, When};
use crate::state::{State, StateError};

/// The settings of a running daemon.
pub struct Settings {
    places: Places,
    /// What was in force at the start, and still is for keys that a change of needs a restart.
    started: Config,
    layers: Mutex<Layers>,
}

impl Settings {
    /// Takes what the file says, and from the database what was set by command. Keys that do not exist any more are left out with a warning.
    pub async fn open(
        places: Places,
        file: toml::Table,
        state: &State,
    ) -> Result<Self, StateError> {
        let mut layers = Layers::new(places.mode, file);
        let read = state.call(|tx| {
            let mut query = tx.prepare("SELECT key, value FROM settings ORDER BY key")?;
            let rows = query.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
        });
        for (key, value) in read.await? {
            if let Err(error) = layers.set(&key, &value) {
                tracing::warn!("what was set by command is left out: {error}");
            }
        }
        for key in layers.overridden() {
            tracing::warn!(
                "{key}: what was set by command wins over the file; `p2pctl config unset {key}` takes it back"
            );
        }
        Ok(Self {
            places,
            started: layers.effective(),
            layers: Mutex::new(layers),
        })
    }

    /// What is in force now.
    pub fn now(&self) -> Config {
        self.layers().effective()
    }

    /// Where things are.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Where fetched items go now; below the state folder where the configuration names a home and there is none.
    pub fn download_dir(&self) -> PathBuf {
        let folder = self.now().daemon.download_dir;
        let resolved = folder.resolve(self.places.home.as_deref());
        resolved.unwrap_or_else(|| self.places.state.join("downloads"))
    }

    /// Keys that the file and a command set to different values.
    pub(super) fn overridden(&self) -> Vec<String> {
        self.layers().overridden()
    }

    /// Reads the file again. What changed, by when it takes effect; nothing changes if the file is wrong.
    fn reread(&self) -> Result<(Config, Reload), Fault> {
        let file = config::read(&self.places).map_err(|error| {
            Fault::new(
                ErrorKind::Failed,
                "the configuration was not reloaded",
                error.to_string(),
                "Mend the file; what was in force stays in force",
            )
        })?;
        let mut layers = self.layers();
        let before = layers.effective();
        layers.replace_file(file);
        let after = layers.effective();
        drop(layers);
        let (live, restart): (Vec<_>, Vec<_>) = config::changed(&before, &after)
            .into_iter()
            .partition(|(_, when)| *when == When::Live);
        let names = |keys: Vec<(String, When)>| keys.into_iter().map(|(key, _)| key).collect();
        let reload = Reload {
            applied: names(live),
            needs_restart: names(restart),
            problems: Vec::new(),
        };
        Ok((after, reload))
    }

    fn row(&self, key: &str) -> Result<ConfigValue, SetError> {
        let layers = self.layers();
        let (value, origin) = layers.value(key)?;
        let waiting = config::changed(&self.started, &layers.effective());
        let restart = waiting
            .iter()
            .any(|(changed, when)| changed == key && *when == When::Restart);
        Ok(ConfigValue {
            key: key.to_owned(),
            value,
            origin: origin.to_owned(),
            restart,
        })
    }

    fn layers(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the configuration file again, and applies what can be applied. Also what SIGHUP does.
pub async fn reread(daemon: &Daemon) -> Result<Reload, Fault> {
    let (config, mut reload) = daemon.settings.reread()?;
    apply(daemon, &config);
    // Trackers first: a share may name one.
    let trackers = configured_trackers(&config);
    daemon.trackers.follow_file(trackers).await?;
    let shares = configured_shares(&daemon.settings.places, &config);
    reload.problems = daemon.shares.follow_file(shares).await;
    for key in &reload.needs_restart {
        tracing::warn!("{key} changed and takes effect at the next start");
    }
    match reload.applied.as_slice() {
        [] => tracing::info!("configuration reloaded; nothing changed that takes effect now"),
        keys => tracing::info!("configuration reloaded; changed: {}", keys.join(", ")),
    }
    Ok(reload)
}

/// `daemon.reload`.
pub(super) async fn reload(daemon: &Arc<Daemon>, caller: &Caller) -> Result<Reload, Fault> {
    caller.admin("reload the configuration")?;
    reread(daemon).await
}

/// `config.get`.
pub(super) fn get(daemon: &Arc<Daemon>, key: ConfigKey) -> Result<Vec<ConfigValue>, Fault> {
    if !key.key.is_empty() {
        return Ok(vec![daemon.settings.row(&key.key).map_err(set_fault)?]);
    }
    let keys = SECTIONS.iter().flat_map(|(_, _, keys)| *keys);
    let rows = keys.map(|key| daemon.settings.row(&key.dotted()));
    rows.collect::<Result<_, _>>().map_err(set_fault)
}

/// `config.set`.
pub(super) async fn set(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    set: ConfigSet,
) -> Result<ConfigValue, Fault> {
    caller.admin("change the configuration")?;
    change(daemon, vec![(set.key.clone(), Some(set.value))]).await?;
    daemon.settings.row(&set.key).map_err(set_fault)
}

/// `config.unset`.
pub(super) async fn unset(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    key: ConfigKey,
) -> Result<ConfigValue, Fault> {
    caller.admin("change the configuration")?;
    change(daemon, vec![(key.key.clone(), None)]).await?;
    daemon.settings.row(&key.key).map_err(set_fault)
}

/// `limits.get`.
pub(super) fn limits(daemon: &Arc<Daemon>) -> Limits {
    limits_of(&daemon.settings.now())
}

/// `limits.set`.
pub(super) async fn set_limits(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    limits: Limits,
) -> Result<Limits, Fault> {
    caller.admin("change the limits")?;
    let keys = [
        ("limits.download", limits.down),
        ("limits.upload", limits.up),
    ];
    let text = |rate: u64| Limit(Some(rate).filter(|rate| *rate > 0)).to_string();
    let set = keys
        .into_iter()
        .filter_map(|(key, rate)| rate.map(|rate| (key.to_owned(), Some(text(rate)))));
    change(daemon, set.collect()).await?;
    Ok(self::limits(daemon))
}

/// The limits that a configuration means.
pub fn limits_of(config: &Config) -> Limits {
    Limits {
        down: config.limits.download.0,
        up: config.limits.upload.0,
    }
}

/// Sets keys, or takes back what was set: all or none, first in the database, then in force.
async fn change(daemon: &Arc<Daemon>, keys: Vec<(String, Option<String>)>) -> Result<(), Fault> {
    let mut tried = daemon.settings.layers().clone();
    let mut rows = Vec::with_capacity(keys.len());
    for (key, value) in &keys {
        let kept = match value {
            Some(text) => Some(tried.set(key, text).map_err(set_fault)?),
            None => {
                tried.unset(key).map_err(set_fault)?;
                None
            }
        };
        rows.push((key.clone(), kept));
    }
    let home = daemon.settings.places.home.as_deref();
    let folder = tried.effective().daemon.download_dir;
    if folder.resolve(home).is_none() {
        let why = format!(
            "daemon.download_dir: `{}` has no meaning: HOME is not set",
            folder.0
        );
        return Err(set_fault(SetError::WrongValue(why)));
    }
    let saved = rows.clone();
    let written = daemon.state.call(move |tx| {
        for (key, value) in saved {
            match value {
                Some(value) => tx.execute(
                    "INSERT INTO settings (key, value) VALUES (?1, ?2)
                     ON CONFLICT (key) DO UPDATE SET value = ?2",
                    (key, value),
                )?,
                None => tx.execute("DELETE FROM settings WHERE key = ?1", [key])?,
            };
        }
        Ok(())
    });
    written
        .await
        .map_err(|error| state_fault("change the configuration", &error))?;
    let config = {
        // Applied key by key: another change may have come in between.
        let mut layers = daemon.settings.layers();
        for (key, value) in &rows {
            let applied = match value {
                Some(value) => layers.set(key, value).map(drop),
                None => layers.unset(key),
            };
            applied.map_err(set_fault)?;
        }
        layers.effective()
    };
    apply(daemon, &config);
    Ok(())
}

/// Puts in force what can change while the daemon runs. The download folder is looked up at each use.
fn apply(daemon: &Daemon, config: &Config) {
    daemon.engine.set_limits(limits_of(config));
    daemon.log.set_level(config.daemon.log_level);
}

fn set_fault(error: SetError) -> Fault {
    let (kind, what, why) = match error {
        SetError::UnknownKey(why) => (ErrorKind::NotFound, "no such setting", why),
        SetError::WrongValue(why) => (ErrorKind::Usage, "that is no value for this setting", why),
    };
    Fault::new(
        kind,
        what,
        why,
        "See every key with its documentation:  p2pctl config defaults",
    )
}

/// The state database failed while the daemon was to `what`.
pub(super) fn state_fault(what: &str, error: &StateError) -> Fault {
    Fault::new(
        ErrorKind::Disk,
        format!("cannot {what}"),
        error.to_string(),
        "Check the disk of the state folder:  df -h",
    )
}
