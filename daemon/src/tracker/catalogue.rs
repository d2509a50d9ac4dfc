//! The catalogue of a tracker: publishing, finding, fetching.

use std::collections::HashSet;

use p2p_wire::InfoHash;
use p2p_wire::api::{self, FileEntry, Node, Page, Publish};
use p2p_wire::control::{ErrorKind, Search};

use super::Trackers;
use super::registry::state_fault;
use crate::Fault;

/// Versions of a name that are looked up at most.
const MAX_VERSIONS: u32 = 100;

impl Trackers {
    /// Publishes now.
    pub async fn publish(&self, name: Option<&str>, request: Publish) -> Result<FileEntry, Fault> {
        let what = match &request.name {
            Some(name) => format!("cannot publish {name}"),
            None => "cannot publish".to_owned(),
        };
        let entry = self.logged_in(name, &what)?;
        let published = self.inner.api(&entry).publish(&request).await;
        let file = self.inner.checked(&entry, &what, published)?.file;
        self.inner.emit_published(self.user, &file);
        Ok(file)
    }

    /// Publishes as soon as there is a login and the tracker answers; kept over restarts. The outcome is an event (`published`, or
    /// `tracker.error` when the tracker refuses for good).
    pub async fn publish_later(
        &self,
        name: Option<&str>,
        item: InfoHash,
        request: Publish,
    ) -> Result<(), Fault> {
        let tracker = self.queue_name(name)?;
        let queued = self
            .inner
            .queue
            .publish(&tracker, self.user, item, &request);
        let queued = queued.await;
        queued.map_err(|error| state_fault("cannot queue a publish", &error))
    }

    /// Takes this machine's part of the account's entries for `item` out of the catalogue, as soon as the tracker answers.
    pub async fn withdraw_later(&self, name: Option<&str>, item: InfoHash) -> Result<(), Fault> {
        let tracker = self.queue_name(name)?;
        let queued = self.inner.queue.withdraw(&tracker, self.user, item).await;
        queued.map_err(|error| state_fault("cannot queue a withdrawal", &error))
    }

    /// Takes the account's entries for `item` out now, whichever machine published them.
    pub async fn unpublish(&self, name: Option<&str>, item: InfoHash) -> Result<(), Fault> {
        let what = format!("cannot unpublish {item}");
        let entry = self.logged_in(name, &what)?;
        let gone = self.inner.api(&entry).unpublish(item).await;
        self.inner.checked(&entry, &what, gone)?;
        self.inner.emit_unpublished(item, &entry);
        Ok(())
    }

    /// The catalogue's entry of an info-hash (or prefix), or of `owner/share/entry[@N]`.
    pub async fn find(&self, name: Option<&str>, target: &str) -> Result<FileEntry, Fault> {
        let what = format!("cannot find {target}");
        let is_hash =
            (4..=40).contains(&target.len()) && target.chars().all(|c| c.is_ascii_hexdigit());
        // A name of the catalogue has no such part, and a URL would lose it on its way.
        let is_path = target
            .split('/')
            .any(|part| matches!(part, "" | "." | ".."));
        if !is_hash && (is_path || target.split('/').count() < 3) {
            return Err(Fault::new(
                ErrorKind::NotFound,
                what,
                "It is neither an info-hash, nor 4 or more digits of one, nor owner/share/entry.",
                "Look for its whole name:  p2pctl search",
            ));
        }
        let entry = self.logged_in(name, &what)?;
        let api = self.inner.api(&entry);
        let file = if is_hash {
            api.file(&target.to_ascii_lowercase()).await
        } else {
            api.named(target).await
        };
        self.inner.checked(&entry, &what, file)
    }

    /// All that is needed to start fetching.
    pub async fn fetch(&self, name: Option<&str>, item: InfoHash) -> Result<api::Fetch, Fault> {
        let what = format!("cannot fetch {item}");
        let entry = self.logged_in(name, &what)?;
        let fetch = self.inner.api(&entry).fetch(item).await;
        self.inner.checked(&entry, &what, fetch)
    }

    /// Versions of a name, the newest first.
    pub async fn versions(
        &self,
        name: Option<&str>,
        file: &FileEntry,
    ) -> Result<Vec<FileEntry>, Fault> {
        let path = format!("{}/{}/{}", file.owner, file.share, file.entry);
        let what = format!("cannot list the versions of {path}");
        let entry = self.logged_in(name, &what)?;
        let api = self.inner.api(&entry);
        let newest = self.inner.checked(&entry, &what, api.named(&path).await)?;
        let mut number = newest.version;
        let mut versions = vec![newest];
        while number > 1 && versions.len() < MAX_VERSIONS as usize {
            number -= 1;
            match api.named(&format!("{path}@{number}")).await {
                Ok(version) => versions.push(version),
                // Withdrawn: a gap in the numbers.
                Err(error) if error.problem() == Some(api::ProblemType::NotFound) => {}
                Err(error) => return self.inner.checked(&entry, &what, Err(error)),
            }
        }
        Ok(versions)
    }

    /// What the tracker knows of the pieces.
    pub async fn availability(
        &self,
        name: Option<&str>,
        item: InfoHash,
    ) -> Result<api::Availability, Fault> {
        let what = format!("cannot tell who holds {item}");
        let entry = self.logged_in(name, &what)?;
        let known = self.inner.api(&entry).availability(item).await;
        self.inner.checked(&entry, &what, known)
    }

    /// Searches the catalogue.
    pub async fn search(&self, search: Search) -> Result<Page<FileEntry>, Fault> {
        let what = "cannot search";
        let entry = self.logged_in(search.tracker.as_deref(), what)?;
        let mut query = Vec::new();
        query.extend(search.text.as_deref().map(|text| ("q", text)));
        query.extend(search.owner.as_deref().map(|owner| ("owner", owner)));
        query.extend(search.after.as_deref().map(|after| ("after", after)));
        let page = self.inner.api(&entry).files(&query).await;
        self.inner.checked(&entry, what, page)
    }

    /// Machines of the accounts.
    pub async fn nodes(&self, name: Option<&str>) -> Result<Vec<Node>, Fault> {
        let what = "cannot list the machines";
        let entry = self.logged_in(name, what)?;
        let nodes = self.inner.api(&entry).nodes().await;
        self.inner.checked(&entry, what, nodes)
    }

    /// Items with a publish or withdrawal in the queue.
    pub async fn queued_items(&self) -> Result<HashSet<InfoHash>, Fault> {
        let items = self.inner.queue.items(self.user).await;
        items.map_err(|error| state_fault("cannot read the publish queue", &error))
    }

    /// Where a queued request goes: a known tracker, or `""` while there is none and none was named.
    fn queue_name(&self, name: Option<&str>) -> Result<String, Fault> {
        match self.entry(name) {
            Ok(entry) => Ok(entry.name),
            Err(_) if name.is_none() => Ok(String::new()),
            Err(fault) => Err(fault),
        }
    }
}
