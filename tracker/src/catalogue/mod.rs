//! The catalogue: what has been published, under which names, in which versions.
//!
//! An entry is named `owner/share/entry` and has versions; a version names a content by its info-hash. Several accounts may publish the same
//! content, each under names of its own. Only the `info` dictionary is kept: what else a .torrent holds may be secret.

mod listings;

use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use p2p_wire::api::{DEFAULT_SHARE, PatchFile, ProblemType, Publish, Visibility};
use p2p_wire::bencode::Encode;
use p2p_wire::metainfo::Metainfo;
use p2p_wire::{InfoHash, is_harmless};
use tokio::sync::Semaphore;

use crate::accounts::Login;
use crate::config::{Config, Publishers};
use crate::hooks::{Gate, Hooks};
use crate::ids::AccountId;
use crate::refusal::Refusal;
use crate::store::{FileQuery, FileRow, NewFile, Order, Store};
use crate::time::unix_now;

pub use listings::{Listings, Prefix};

/// .torrents that are read at once.
const PARSING: usize = 2;
const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 64;
const MAX_SHARE: usize = 255;
const MAX_ENTRY: usize = 1_024;
/// Bytes of paths that the search knows of one content.
const MAX_PATHS: usize = 256 * 1_024;
const MAX_WORDS: usize = 16;
const MAX_LIMIT: u32 = 500;
const DEFAULT_LIMIT: u32 = 50;

/// The catalogue.
pub struct Catalogue {
    store: Arc<dyn Store>,
    listings: Arc<Listings>,
    parsing: Semaphore,
}

/// What a list was asked for, as it came.
#[derive(Debug, Default, serde::Deserialize)]
pub struct ListParams {
    q: Option<String>,
    owner: Option<String>,
    share: Option<String>,
    sort: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
    versions: Option<u8>,
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
        let limit = page_limit(params.limit)?;
        let text = params.q.unwrap_or_default();
        if text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
            return Err(Refusal::invalid(
                "`q` has control characters",
                "Search for words as they stand in names.",
            ));
        }
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if words.len() > MAX_WORDS {
            return Err(Refusal::invalid(
                format!("`q` has more than {MAX_WORDS} words"),
                "Search for fewer of them.",
            ));
        }
        let query = FileQuery {
            account,
            words,
            owner: params.owner,
            share: params.share,
            versions: params.versions.unwrap_or(0) != 0,
            order: order(params.sort.as_deref(), params.after.as_deref())?,
            limit: limit + 1,
        };
        let sort = query.order.clone();
        let mut files = self.store.files(query).await?;
        let more = files.len() > limit as usize;
        files.truncate(limit as usize);
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

fn new_file(
    login: &Login,
    request: Publish,
    max_torrent: u64,
    max_stored: u64,
) -> Result<NewFile, Refusal> {
    let bad = |why: String, hint| Refusal::new(ProblemType::BadMetainfo, why, hint);
    check_tags(&request.tags)?;
    let bytes = BASE64
        .decode(request.metainfo.as_bytes())
        .map_err(|error| {
            bad(
                format!("`metainfo` is not base64: {error}"),
                "Send the whole .torrent in base64 (RFC 4648), padded.",
            )
        })?;
    if bytes.len() as u64 > max_torrent {
        return Err(Refusal::new(
            ProblemType::TooLarge,
            format!("the .torrent is larger than {max_torrent} bytes"),
            "Use larger pieces.",
        ));
    }
    let metainfo = Metainfo::from_bytes(&bytes).map_err(|error| {
        bad(
            format!("the .torrent cannot be used: {error}"),
            "Send a whole .torrent as p2pctl create or another program made it.",
        )
    })?;
    let info = &metainfo.info;
    let share = request.share.unwrap_or_else(|| DEFAULT_SHARE.to_owned());
    if share.len() > MAX_SHARE || share.contains('/') || !is_name(&share) {
        return Err(Refusal::invalid(
            "`share` cannot be the name of a share",
            format!(
                "Take 1 to {MAX_SHARE} bytes without `/` and control characters, and not `.` or `..`."
            ),
        ));
    }
    let entry = request.name.unwrap_or_else(|| info.name().to_owned());
    if entry.len() > MAX_ENTRY || !is_name(&entry) {
        return Err(Refusal::invalid(
            "`name` cannot be the name of an entry",
            format!(
                "Take 1 to {MAX_ENTRY} bytes without control characters; no part between `/` may be empty, `.` or `..`."
            ),
        ));
    }
    let mut paths = String::new();
    let real = info.files().iter().filter(|file| !file.padding);
    for file in real.clone() {
        if paths.len() < MAX_PATHS {
            paths.push_str(&file.path.join("/"));
            paths.push('\n');
        }
    }
    Ok(NewFile {
        account: login.account.id,
        node: login.node.row.id,
        share,
        entry,
        tags: request.tags,
        visibility: request.visibility,
        join: request.join,
        info_hash: info.info_hash(),
        info: info.raw().clone(),
        size: info.layout().total_len(),
        pieces: info.layout().pieces(),
        piece_len: info.layout().piece_len(),
        files: u32::try_from(real.count()).unwrap_or(u32::MAX),
        paths,
        max_stored,
        now: unix_now(),
    })
}

/// Names travel in URLs and end up as paths: no empty or dotted parts, nothing a terminal would act on.
fn is_name(path: &str) -> bool {
    let part_ok = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(part_ok) && path.chars().all(is_harmless)
}

fn check_tags(tags: &[String]) -> Result<(), Refusal> {
    let tag_ok =
        |tag: &String| !tag.is_empty() && tag.len() <= MAX_TAG && tag.chars().all(is_harmless);
    if tags.len() <= MAX_TAGS && tags.iter().all(tag_ok) {
        return Ok(());
    }
    Err(Refusal::invalid(
        "`tags` are too many, or one of them cannot be a tag",
        format!(
            "Take at most {MAX_TAGS}, each of 1 to {MAX_TAG} bytes without control characters."
        ),
    ))
}

fn split_version(entry: &str) -> Option<(&str, u32)> {
    let (name, version) = entry.rsplit_once('@')?;
    Some((name, version.parse().ok()?))
}

/// How many rows a page has.
pub(crate) fn page_limit(limit: Option<u32>) -> Result<u32, Refusal> {
    match limit {
        None => Ok(DEFAULT_LIMIT),
        Some(limit @ 1..=MAX_LIMIT) => Ok(limit),
        Some(limit) => Err(Refusal::invalid(
            format!("`limit` cannot be {limit}"),
            format!("Take 1 to {MAX_LIMIT}; the rest is on the next pages."),
        )),
    }
}

/// The order of a list: from `sort` on the first page, from `after` on the next ones.
fn order(sort: Option<&str>, after: Option<&str>) -> Result<Order, Refusal> {
    let first = match sort.unwrap_or("new") {
        "new" => Order::New(None),
        "name" => Order::Name(None),
        "size" => Order::Size(None),
        _ => {
            return Err(Refusal::invalid(
                "`sort` names no order",
                "Take `new`, `name` or `size`.",
            ));
        }
    };
    let Some(after) = after else { return Ok(first) };
    let order = BASE64URL_NOPAD
        .decode(after.as_bytes())
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    order
        .filter(|order| std::mem::discriminant(order) == std::mem::discriminant(&first))
        .ok_or_else(|| {
            Refusal::invalid(
                "`after` is not what an earlier page of this list gave as `next`",
                "Leave it out for the first page; keep `sort` the same on all.",
            )
        })
}

fn cursor(order: &Order, last: &FileRow) -> String {
    let next = match order {
        Order::New(_) => Order::New(Some(last.id)),
        Order::Name(_) => Order::Name(Some((
            last.owner.clone(),
            last.share.clone(),
            last.entry.clone(),
            last.id,
        ))),
        Order::Size(_) => Order::Size(Some((last.size, last.id))),
    };
    BASE64URL_NOPAD.encode(&serde_json::to_vec(&next).expect("numbers and strings are JSON"))
}
