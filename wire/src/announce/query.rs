//! Query strings.

use std::borrow::Cow;

use percent_encoding::{percent_decode_str, percent_encode};

use crate::text::ESCAPED;

/// The `key=value` pairs of a query string, in order. A key without `=` has an empty value.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                Cow::from(percent_decode_str(key)),
                Cow::from(percent_decode_str(value)),
            )
        })
}

/// Appends `key=value` with every byte outside of the unreserved set percent-encoded.
pub(super) fn push(query: &mut String, key: &str, value: &[u8]) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(key);
    query.push('=');
    query.extend(percent_encode(value, ESCAPED));
}
