//! Lists of the catalogue in pages: what is asked for, and where the next page begins.

use data_encoding::BASE64URL_NOPAD;

use crate::ids::AccountId;
use crate::refusal::Refusal;
use crate::store::{FileQuery, FileRow, Order};

const MAX_WORDS: usize = 16;
const MAX_LIMIT: u32 = 500;
const DEFAULT_LIMIT: u32 = 50;

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

impl ListParams {
    /// What the store is asked for: one more than is on the page, which tells whether there is another.
    pub(super) fn query(self, account: AccountId) -> Result<FileQuery, Refusal> {
        let limit = page_limit(self.limit)?;
        let text = self.q.unwrap_or_default();
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
        Ok(FileQuery {
            account,
            words,
            owner: self.owner,
            share: self.share,
            versions: self.versions.unwrap_or(0) != 0,
            order: order(self.sort.as_deref(), self.after.as_deref())?,
            limit: limit + 1,
        })
    }
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

/// What to give as `after` for the page behind `last`.
pub(super) fn cursor(order: &Order, last: &FileRow) -> String {
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
