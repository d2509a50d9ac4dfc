//! A share folder, and a stand-in for the engine.

use std::collections::HashMap;
use std::fs;
use std::sync::Mutex as StdMutex;

use p2p_wire::InfoHash;
use p2p_wire::control::{PathText, ShareAdd};
use p2p_wire::metainfo::Metainfo;

use crate::engine::{Content, FileStamp, NewItem, Place};
use crate::share::holder::{Holder, Whose};
use crate::share::*;
use crate::state::StateLock;
use crate::tracker::testing::eventually;
use crate::tracker::{Outcome, OutcomeKind};

/// Holds items as the engine would, and nothing else.
#[derive(Clone, Default)]
pub(super) struct Fake(
    pub(super) Arc<StdMutex<HashMap<InfoHash, (PathBuf, Metainfo)>>>,
    Arc<StdMutex<Standing>>,
    /// Which share each item belongs to.
    Arc<StdMutex<HashMap<InfoHash, Whose>>>,
    /// Whether what is held is answered late.
    Arc<tokio::sync::watch::Sender<bool>>,
);

/// The share whose releases are never answered, and whether one was asked for.
#[derive(Default)]
struct Standing(Option<String>, bool);

impl Fake {
    /// From now on a release of `share` is never answered.
    pub(super) fn stand_still(&self, share: &str) {
        self.1.lock().unwrap().0 = Some(share.into());
    }

    pub(super) fn is_standing(&self) -> bool {
        self.1.lock().unwrap().1
    }

    /// Whether it answers only later that it holds what it was given.
    pub(super) fn answer_late(&self, late: bool) {
        self.3.send_replace(late);
    }

    pub(super) fn names(&self) -> Vec<String> {
        let items = self.0.lock().unwrap();
        let mut names: Vec<String> = items
            .values()
            .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub(super) fn hash_of(&self, name: &str) -> Option<InfoHash> {
        let items = self.0.lock().unwrap();
        items
            .iter()
            .find(|(_, (path, _))| path.ends_with(name))
            .map(|(hash, _)| *hash)
    }
}

impl Holder for Fake {
    async fn hold(&self, new: NewItem) -> Result<bool, Fault> {
        let (Content::Metainfo(mut meta), Place::Hashed(path, stamps)) = (new.content, new.place)
        else {
            panic!("shares hold what they hashed");
        };
        assert_eq!(stamps.len(), meta.info.files().len());
        meta.announce = new.trackers;
        let hash = meta.info.info_hash();
        let share = new.share.map(|name| (name, new.owner));
        self.2.lock().unwrap().entry(hash).or_insert(share);
        let is_new = {
            let mut items = self.0.lock().unwrap();
            match items.get_mut(&hash) {
                Some((_, known)) => {
                    known.announce.extend(meta.announce);
                    false
                }
                None => items.insert(hash, (path, *meta)).is_none(),
            }
        };
        let mut late = self.3.subscribe();
        late.wait_for(|late| !late).await.unwrap();
        Ok(is_new)
    }
    async fn release(&self, item: InfoHash, share: &str, _owner: u32) {
        let stands = {
            let mut standing = self.1.lock().unwrap();
            standing.1 = standing.0.as_deref() == Some(share);
            standing.1
        };
        if stands {
            std::future::pending().await
        }
        self.0.lock().unwrap().remove(&item);
    }
    async fn relocate(
        &self,
        item: InfoHash,
        path: PathBuf,
        _stamps: Vec<FileStamp>,
    ) -> Result<(), Fault> {
        self.0.lock().unwrap().get_mut(&item).unwrap().0 = path;
        Ok(())
    }
    async fn metainfo(&self, item: InfoHash) -> Option<Metainfo> {
        Some(self.0.lock().unwrap().get(&item)?.1.clone())
    }
    async fn held(&self) -> Vec<(InfoHash, Whose)> {
        let (items, shares) = (self.0.lock().unwrap(), self.2.lock().unwrap());
        let held = items.keys().map(|item| (*item, shares[item].clone()));
        held.collect()
    }
    async fn revive(&self, _item: InfoHash) {}
}

pub(super) struct Rig {
    pub(super) hub: Arc<Hub<Fake>>,
    pub(super) fake: Fake,
    pub(super) state: State,
    pub(super) events: Events,
    _lock: Arc<StateLock>,
    /// The shares of the configuration file.
    pub(super) configured: Vec<NewShare>,
    pub(super) dir: Arc<tempfile::TempDir>,
}

pub(super) fn new(add: ShareAdd) -> NewShare {
    NewShare {
        add,
        owner: nix::unistd::geteuid().as_raw(),
        configured: false,
    }
}

impl Rig {
    pub(super) async fn new() -> Self {
        Self::scanning(Duration::from_secs(3_600)).await
    }

    /// With so long between scans.
    pub(super) async fn scanning(rescan: Duration) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        fs::create_dir(dir.path().join("Public")).unwrap();
        let (state, lock) = State::open(&dir.path().join("state")).unwrap();
        Self::start(dir, state, Arc::new(lock), Fake::default(), vec![], rescan).await
    }

    pub(super) async fn start(
        dir: Arc<tempfile::TempDir>,
        state: State,
        lock: Arc<StateLock>,
        fake: Fake,
        configured: Vec<NewShare>,
        rescan: Duration,
    ) -> Self {
        let events = Events::default();
        let local = crate::net::LocalAddrs::default();
        let trackers = Trackers::open(state.clone(), events.clone(), vec![], local)
            .await
            .unwrap();
        let config = Config {
            settle: Duration::from_millis(100),
            max_delay: Duration::from_secs(2),
            rescan,
            ignore_file: ".p2pignore".into(),
            exclude: vec!["*.part".into()],
            threads: 1,
            io: p2p_hash::Io::Auto,
            refused: vec![dir.path().join("state")],
        };
        let (s, f, e) = (state.clone(), fake.clone(), events.clone());
        let hub = Hub::start(config, configured.clone(), s, f, trackers, e);
        let hub = hub.await.unwrap();
        Self {
            hub,
            fake,
            state,
            events,
            _lock: lock,
            configured,
            dir,
        }
    }

    /// The same daemon after a restart.
    pub(super) async fn restart(self) -> Self {
        // Without a handle, the tasks of the shares end.
        self.hub.folders().clear();
        drop(self.hub);
        let (state, lock) = (self.state, self._lock);
        let rescan = Duration::from_secs(3_600);
        Self::start(self.dir, state, lock, self.fake, self.configured, rescan).await
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("Public").join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn options(&self) -> ShareAdd {
        let path = PathText::from(&*self.dir.path().join("Public"));
        serde_json::from_value(serde_json::json!({ "path": path })).unwrap()
    }

    pub(super) async fn share(&self) -> Share {
        self.hub.add(new(self.options())).await.unwrap()
    }

    pub(super) async fn until_held(&self, names: &[&str]) {
        let what = format!("{names:?} are held");
        eventually(&what, async || (self.fake.names() == names).then_some(())).await;
    }

    pub(super) async fn until_done(&self) -> Share {
        eventually("all is done", async || {
            let share = self.hub.list(None).remove(0);
            (share.pending == 0).then_some(share)
        })
        .await
    }

    /// Says what a tracker made of the publish of a file.
    pub(super) async fn tell(&self, name: &str, kind: OutcomeKind) {
        self.tell_of(self.fake.hash_of(name).unwrap(), kind).await;
    }

    /// Says what a tracker made of the publish of an item, whoever has it.
    pub(super) async fn tell_of(&self, item: InfoHash, kind: OutcomeKind) {
        let outcome = Outcome {
            item,
            owner: nix::unistd::geteuid().as_raw(),
            share: None,
            entry: None,
            kind,
        };
        self.hub.take_outcomes(vec![outcome]).await;
    }

    pub(super) fn topics(&self) -> Vec<String> {
        let (events, _) = self.events.subscribe(0);
        events.into_iter().map(|event| event.topic).collect()
    }

    /// What waits for a tracker: `+name` and `-`, in order.
    pub(super) async fn queue(&self) -> Vec<String> {
        self.state
            .call(|db| {
                let mut query = db.prepare("SELECT entry FROM publishes ORDER BY id")?;
                query
                    .query_map([], |row| row.get::<_, Option<String>>(0))?
                    .map(|row| Ok(row?.map_or("-".into(), |name| format!("+{name}"))))
                    .collect()
            })
            .await
            .unwrap()
    }
}
