//! The values that go into and come out of a [`super::Store`].

use p2p_wire::InfoHash;
use p2p_wire::api::Visibility;

use crate::ids::{AccountId, NodeId, SecretHash};

/// A committed change of what is mirrored in memory.
#[derive(Clone, Debug)]
pub enum Change {
    /// Made or changed.
    Account(AccountRow),
    /// Removed, with its machines and sessions.
    AccountGone(AccountId),
    /// Made, renamed or seen.
    Node(NodeRow),
    /// Removed, with its sessions.
    NodeGone(NodeId),
    /// Began.
    Session(SessionRow),
    /// Ended.
    SessionGone(SecretHash),
    /// What is published of a content now; `None` when nothing is.
    Listing(InfoHash, Option<ListingRow>),
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Number.
    pub id: AccountId,
    /// Name.
    pub username: String,
    /// Administrator.
    pub admin: bool,
    /// May neither log in nor announce.
    pub disabled: bool,
    /// Generation of the passkey; grows when it is rotated.
    pub generation: u32,
    /// Seconds since 1970.
    pub created: i64,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Number.
    pub id: NodeId,
    /// The id it is given.
    pub public: [u8; 16],
    /// Whose it is.
    pub account: AccountId,
    /// Name, unique in the account.
    pub name: String,
    /// Seconds since 1970.
    pub last_seen: i64,
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Hash of the token.
    pub token: SecretHash,
    /// Whose it is.
    pub account: AccountId,
    /// Where it is.
    pub node: NodeId,
}

/// What is published of one content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingRow {
    /// Number of pieces.
    pub pieces: u32,
    /// `owner/share/entry` of the newest entry.
    pub name: String,
    /// Who published it, and who may see that.
    pub entries: Vec<(AccountId, Visibility)>,
}

/// An account to make.
#[derive(Clone)]
pub struct NewAccount {
    /// Name.
    pub username: String,
    /// Encoded hash of the password.
    pub password_hash: String,
    /// Administrator.
    pub admin: bool,
    /// Hash of the invitation that must be good and is used up.
    pub invite: Option<SecretHash>,
    /// Seconds since 1970.
    pub now: i64,
}

/// A session to make.
#[derive(Clone)]
pub struct NewSession {
    /// Who logs in.
    pub account: AccountId,
    /// Hash of the token.
    pub token: SecretHash,
    /// The id this machine says it has.
    pub node: Option<[u8; 16]>,
    /// The id it gets when it has none that is known.
    pub fresh_node: [u8; 16],
    /// Name the machine wants.
    pub node_name: String,
    /// Machines the account may have.
    pub max_nodes: u32,
    /// Seconds since 1970.
    pub now: i64,
}

/// What is to be published.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Who publishes.
    pub account: AccountId,
    /// From which machine.
    pub node: NodeId,
    /// Share.
    pub share: String,
    /// Name.
    pub entry: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Who sees it.
    pub visibility: Visibility,
    /// Joins a share that other machines of the account have.
    pub join: bool,
    /// What it is.
    pub info_hash: InfoHash,
    /// The raw `info` dictionary.
    pub info: bytes::Bytes,
    /// Bytes in all.
    pub size: u64,
    /// Number of pieces.
    pub pieces: u32,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// Number of files.
    pub files: u32,
    /// The paths in it, one a line, for the search.
    pub paths: String,
    /// Seconds since 1970.
    pub now: i64,
}

/// A version of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRow {
    /// Number; later ones are greater.
    pub id: i64,
    /// What it is.
    pub info_hash: InfoHash,
    /// Whose it is.
    pub account: AccountId,
    /// The name of that account.
    pub owner: String,
    /// Share.
    pub share: String,
    /// Name.
    pub entry: String,
    /// From 1.
    pub version: u32,
    /// The newest of its name.
    pub newest: bool,
    /// Bytes in all.
    pub size: u64,
    /// Number of pieces.
    pub pieces: u32,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// Number of files.
    pub files: u32,
    /// Tags.
    pub tags: Vec<String>,
    /// Who sees it.
    pub visibility: Visibility,
    /// Seconds since 1970.
    pub published: i64,
}

impl FileRow {
    /// `owner/share/entry`.
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.owner, self.share, self.entry)
    }
}

/// Order of a list, with where the last page ended.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Order {
    /// Newest first; after this number.
    New(Option<i64>),
    /// By owner, share, entry.
    Name(Option<(String, String, String, i64)>),
    /// Largest first.
    Size(Option<(u64, i64)>),
}

/// Which files to list.
#[derive(Clone, Debug)]
pub struct FileQuery {
    /// Who asks: their own entries are listed whatever their visibility.
    pub account: AccountId,
    /// Words that must all occur in the name or a path.
    pub words: Vec<String>,
    /// Of this owner alone.
    pub owner: Option<String>,
    /// Of this share alone.
    pub share: Option<String>,
    /// Older versions too.
    pub versions: bool,
    /// In what order.
    pub order: Order,
    /// At most so many.
    pub limit: u32,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NewLine {
    /// Milliseconds since 1970.
    pub time: i64,
    /// What kind.
    pub event: &'static str,
    /// Account.
    pub account: Option<String>,
    /// Machine.
    pub node: Option<String>,
    /// Content.
    pub info_hash: Option<InfoHash>,
    /// `owner/share/entry`.
    pub name: Option<String>,
    /// The sentence.
    pub text: String,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Grows with every line.
    pub seq: i64,
    /// Milliseconds since 1970.
    pub time: i64,
    /// What kind.
    pub event: String,
    /// Account.
    pub account: Option<String>,
    /// Machine.
    pub node: Option<String>,
    /// Content.
    pub info_hash: Option<InfoHash>,
    /// `owner/share/entry`.
    pub name: Option<String>,
    /// The sentence.
    pub text: String,
}

/// Which lines of the log to read; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LogQuery {
    /// About this content.
    #[serde(default)]
    pub info_hash: Option<InfoHash>,
    /// About files with this in their name.
    #[serde(default)]
    pub file: Option<String>,
    /// Of this account.
    #[serde(default)]
    pub account: Option<String>,
    /// `published` and `unpublished` alone.
    #[serde(default)]
    pub publishes: bool,
    /// Older than this line.
    #[serde(default)]
    pub before: Option<i64>,
    /// At most so many.
    #[serde(default)]
    pub limit: u32,
}

impl LogQuery {
    /// Whether `line` is one of those asked for, `before` and `limit` aside.
    pub fn matches(&self, line: &LogLine) -> bool {
        let name = line.name.as_deref().unwrap_or_default();
        self.info_hash
            .is_none_or(|hash| line.info_hash == Some(hash))
            && self
                .file
                .as_ref()
                .is_none_or(|file| name.to_lowercase().contains(&file.to_lowercase()))
            && self
                .account
                .as_ref()
                .is_none_or(|account| line.account.as_ref() == Some(account))
            && (!self.publishes || matches!(line.event.as_str(), "published" | "unpublished"))
    }
}

/// Who was last known to hold a run of pieces.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HeldRange {
    /// First piece.
    pub first: u32,
    /// Last piece, inclusive.
    pub last: u32,
    /// `account/node`.
    pub holder: String,
    /// Seconds since 1970.
    pub at: i64,
}

/// Something that hooks must still be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookDue {
    /// Grows with every row.
    pub id: i64,
    /// The same each time it is told.
    pub event_id: String,
    /// Its name.
    pub event: String,
    /// Milliseconds since 1970.
    pub time: i64,
    /// Whose it is.
    pub account: String,
    /// Which file, unless it is about the account.
    pub file: Option<HookFile>,
    /// The names of the hooks that have heard.
    pub told: Vec<String>,
}

/// The file of a [`HookDue`], as it was when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFile {
    /// Share.
    pub share: String,
    /// Name.
    pub entry: String,
    /// From 1.
    pub version: u32,
    /// What it is.
    pub info_hash: InfoHash,
    /// Bytes in all.
    pub size: u64,
}
