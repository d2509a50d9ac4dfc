//! The catalogue: what has been published, under which names, in which versions.
//!
//! An entry is named `owner/share/entry` and has versions; a version names a content by its info-hash. Several accounts may publish the same
//! content, each under names of its own. Only the `info` dictionary is kept: what else a .torrent holds may be secret.

mod content;
mod listings;
mod pages;

use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::api::{PatchFile, ProblemType, Publish, Visibility};
use p2p_wire::bencode::Encode;
use tokio::sync::Semaphore;

use crate::accounts::Login;
use crate::config::{Config, Publishers};
use crate::hooks::{Gate, Hooks};
use crate::ids::AccountId;
use crate::refusal::Refusal;
use crate::store::{FileRow, NewFile, Store};

use content::{check_tags, new_file};
pub use listings::{Listings, Prefix};
pub use pages::ListParams;
use pages::cursor;
pub(crate) use pages::page_limit;

/// .torrents that are read at once.
const PARSING: usize = 2;

/// The catalogue.
pub struct Catalogue {
    store: Arc<dyn Store>,
    listings: Arc<Listings>,
    parsing: Semaphore,
}

impl Catalogue {
    /// Over this store, with its mirror.
    pub fn new(store: Arc<dyn Store>, listings: Arc<Listings>) -> Self {
        Self {
            store,
            listings,
            parsing: Semaphore::new(PARSING),
        }
    }

    /// What is published, in memory.
    pub fn listings(&self) -> &Listings {
        &self.listings
    }

    /// Publishes; true when it made a new version.
    pub async fn publish(
        &self,
        login: &Login,
        request: Publish,
        config: &Config,
        hooks: &Hooks,
    ) -> Result<(FileRow, bool), Refusal> {
        if config.catalogue.publish == Publishers::Admins && !login.account.admin {
            return Err(Refusal::new(
                ProblemType::Forbidden,
                "only administrators publish on this tracker",
                "Ask one of them to publish it, or to change catalogue.publish.",
            ));
        }
        let by = login.clone();
        let max_torrent = config.catalogue.max_torrent.0;
        let max_stored = config.limits.stored_per_account.0;
        let parse = move || new_file(&by, request, max_torrent, max_stored);
        let new = {
            // Base64, bencode and SHA-1 of megabytes, and what is made of them in memory: a few at a time, beside announces.
            let _turn = self.parsing.acquire().await;
            tokio::task::spawn_blocking(parse)
                .await
                .map_err(|_| Refusal::internal("the .torrent could not be read"))??
        };
        let gate = Gate::PrePublish;
        // A machine publishes all it has at each start: what stands there already was asked about.
        if hooks.guards(gate, config).await && !self.stands(&new).await? {
            let account = &login.account.username;
            hooks.ask(gate, account, Some(&new), config).await?;
        }
        Ok(self.store.publish(new).await?)
    }

    /// Removes the caller's entries of a content. Answers what is gone.
    pub async fn unpublish(&self, login: &Login, hash: InfoHash) -> Result<Vec<FileRow>, Refusal> {
        self.require_own(login, hash)?;
        Ok(self.store.unpublish(login.account.id, hash).await?)
    }

    /// Takes this machine's part of the caller's entries of a content away. Answers what is gone with it.
    pub async fn withdraw(&self, login: &Login, hash: InfoHash) -> Result<Vec<FileRow>, Refusal> {
        let (account, node) = (login.account.id, login.node.row.id);
        Ok(self.store.withdraw(account, node, hash).await?)
    }

    /// Changes tags or visibility of the caller's entries of a content.
    pub async fn patch(
        &self,
        login: &Login,
        hash: InfoHash,
        patch: PatchFile,
    ) -> Result<FileRow, Refusal> {
        self.require_own(login, hash)?;
        if let Some(tags) = &patch.tags {
            check_tags(tags)?;
        }
        let files = self
            .store
            .patch(login.account.id, hash, patch.tags, patch.visibility)
            .await?;
        files.into_iter().next().ok_or_else(|| not_yours(hash))
    }

    /// The content that a whole info-hash, or a prefix of one, stands for.
    pub fn resolve(&self, text: &str, account: AccountId) -> Result<InfoHash, Refusal> {
        let text = text.to_ascii_lowercase();
        if text.len() < 4 || text.len() > 40 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(Refusal::invalid(
                "that is no info-hash",
                "Give its 40 hex digits, or the first 4 or more of them.",
            ));
        }
        let found = match text.parse::<InfoHash>() {
            Ok(hash) => self
                .listings
                .visible(&hash, account)
                .map_or(Prefix::None, |_| Prefix::One(hash)),
            Err(_) => self.listings.by_prefix(&text, account),
        };
        match found {
            Prefix::One(hash) => Ok(hash),
            Prefix::None => Err(nothing_under(&text)),
            Prefix::Several => Err(Refusal::new(
                ProblemType::Ambiguous,
                format!("more than one file begins with {text}"),
                "Give more digits.",
            )),
        }
    }

    /// The entry of a content to show to an account: its own if it has one, else the newest that it may see.
    pub async fn entry(&self, hash: InfoHash, account: AccountId) -> Result<FileRow, Refusal> {
        let files = self.store.entries_of(hash).await?;
        let own = files.iter().find(|file| file.account == account);
        let seen = own.or_else(|| files.iter().find(|file| is_visible(file, account)));
        seen.cloned()
            .ok_or_else(|| nothing_under(&hash.to_string()))
    }

    /// The version that a name stands for; `entry` may end in `@N`.
    pub async fn named(
        &self,
        owner: String,
        share: String,
        entry: String,
        account: AccountId,
    ) -> Result<FileRow, Refusal> {
        let missing = Refusal::not_found(
            format!("there is no {owner}/{share}/{entry}"),
            "Look for it:  p2pctl search",
        );
        // A name may itself end in what looks like a version.
        let whole = self
            .store
            .named(owner.clone(), share.clone(), entry.clone(), None)
            .await?;
        let found = match (whole, split_version(&entry)) {
            (None, Some((name, version))) => {
                self.store
                    .named(owner, share, name.to_owned(), Some(version))
                    .await?
            }
            (whole, _) => whole,
        };
        found
            .filter(|file| is_visible(file, account))
            .ok_or(missing)
    }

    /// A page of the catalogue, and what to give as `after` for the next.
    pub async fn list(
        &self,
        params: ListParams,
        account: AccountId,
    ) -> Result<(Vec<FileRow>, Option<String>), Refusal> {
        let query = params.query(account)?;
        let limit = query.limit as usize - 1;
        let sort = query.order.clone();
        let mut files = self.store.files(query).await?;
        let more = files.len() > limit;
        files.truncate(limit);
        let next = files
            .last()
            .filter(|_| more)
            .map(|last| cursor(&sort, last));
        Ok((files, next))
    }

    /// The .torrent of a content with this announce URL and nothing else beside the `info` dictionary, which stays byte for byte.
    pub async fn torrent(&self, hash: InfoHash, announce_url: &str) -> Result<Vec<u8>, Refusal> {
        let info = self.store.info(hash).await?;
        let info = info.ok_or_else(|| nothing_under(&hash.to_string()))?;
        Ok(Encode::dict([
            ("announce", Encode::bytes(announce_url)),
            ("info", Encode::Raw(info)),
        ])
        .to_vec())
    }

    /// Whether the account has published this content under this name.
    async fn stands(&self, new: &NewFile) -> Result<bool, Refusal> {
        let entries = self.store.entries_of(new.info_hash).await?;
        let same = |file: &FileRow| {
            (file.account, &file.share, &file.entry) == (new.account, &new.share, &new.entry)
        };
        Ok(entries.iter().any(same))
    }

    fn require_own(&self, login: &Login, hash: InfoHash) -> Result<(), Refusal> {
        let listing = self.listings.get(&hash);
        let own = listing.is_some_and(|listing| {
            listing
                .entries
                .iter()
                .any(|(owner, _)| *owner == login.account.id)
        });
        if own { Ok(()) } else { Err(not_yours(hash)) }
    }
}

fn nothing_under(text: &str) -> Refusal {
    Refusal::not_found(
        format!("nothing is published under {text}"),
        "Look for it:  p2pctl search",
    )
}

fn not_yours(hash: InfoHash) -> Refusal {
    Refusal::new(
        ProblemType::Forbidden,
        format!("{hash} is published by others, not by you"),
        "Only who published an entry can change or remove it.",
    )
}

fn is_visible(file: &FileRow, account: AccountId) -> bool {
    file.visibility != Visibility::Own || file.account == account
}

fn split_version(entry: &str) -> Option<(&str, u32)> {
    let (name, version) = entry.rsplit_once('@')?;
    Some((name, version.parse().ok()?))
}
