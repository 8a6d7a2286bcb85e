//! `Cache-Status` as the access log has it.

use http::HeaderMap;
use selvedge_core::cache::status::CACHE_STATUS;
use selvedge_core::log::LogQuery;

use crate::access::MAX_TEXT_BYTES;

/// Whether the log tells what caches say about their keys, which hold queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKeys {
    /// It does not.
    Omit,
    /// It does.
    Show,
}

/// A key holds the query.
impl From<LogQuery> for CacheKeys {
    fn from(query: LogQuery) -> Self {
        match query {
            LogQuery::Omit | LogQuery::Names => Self::Omit,
            LogQuery::Whole => Self::Show,
        }
    }
}

/// Returns all caches' members of a response's `Cache-Status`, that of the edge being the last; `None` where there are none.
#[must_use]
pub fn cache_status(headers: &HeaderMap, keys: CacheKeys) -> Option<String> {
    let values = headers.get_all(&CACHE_STATUS).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let whole = values.collect::<Vec<_>>().join(", ");
    let whole = if keys == CacheKeys::Show { whole } else { without_keys(&whole) };
    (!whole.is_empty()).then(|| {
        // What is cut is the part of caches nearer to the origin.
        let from = whole.ceil_char_boundary(whole.len().saturating_sub(MAX_TEXT_BYTES));
        whole[from..].to_owned()
    })
}

/// Removes what caches say about their keys.
fn without_keys(status: &str) -> String {
    let mut kept = String::with_capacity(status.len());
    for parameter in parameters(status) {
        let is_key = parameter.strip_prefix(';').is_some_and(|rest| rest.trim_start().starts_with("key="));
        if !is_key {
            kept.push_str(parameter);
        }
    }
    kept
}

/// Splits before each `;` and `,` that is in no string.
fn parameters(status: &str) -> impl Iterator<Item = &str> {
    let (mut is_string, mut is_escaped) = (false, false);
    let mut rest = status;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = |(at, c): (usize, char)| {
            let is_end = !is_string && at > 0 && (c == ';' || c == ',');
            is_string ^= c == '"' && !is_escaped;
            is_escaped = is_string && c == '\\' && !is_escaped;
            is_end.then_some(at)
        };
        let (parameter, others) = rest.split_at(rest.char_indices().find_map(ends).unwrap_or(rest.len()));
        rest = others;
        Some(parameter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_is_the_last_to_speak_and_is_never_cut() {
        let mut headers = HeaderMap::new();
        assert_eq!(cache_status(&headers, CacheKeys::Show), None);
        headers.append(&CACHE_STATUS, format!("Far;detail={}", "x".repeat(MAX_TEXT_BYTES)).parse().unwrap());
        headers.append(&CACHE_STATUS, "Selvedge;hit;key=\"a?s3cret\"".parse().unwrap());
        for (keys, end) in
            [(CacheKeys::Omit, "x, Selvedge;hit"), (CacheKeys::Show, "x, Selvedge;hit;key=\"a?s3cret\"")]
        {
            let status = cache_status(&headers, keys).unwrap();
            assert_eq!((status.len(), status.ends_with(end)), (MAX_TEXT_BYTES, true), "{status}");
        }
    }

    #[test]
    fn keys_are_removed_and_nothing_else() {
        let rows = [
            ("Selvedge;hit;ttl=30", "Selvedge;hit;ttl=30"),
            ("Selvedge;hit;key=\"a?token=s3cret\";ttl=30", "Selvedge;hit;ttl=30"),
            ("Selvedge;hit; key=\"a;b,\\\"c\\\\\"", "Selvedge;hit"),
            ("Selvedge;hit;key=\"a\\\";s3cret\";ttl=30", "Selvedge;hit;ttl=30"),
            ("Selvedge;hit;key=\"a\\\\\";ttl=30", "Selvedge;hit;ttl=30"),
            ("A;key=token, Selvedge;hit;key=\"s3cret", "A, Selvedge;hit"),
            ("A;detail=\";key=\", B;keys=1", "A;detail=\";key=\", B;keys=1"),
            ("", ""),
        ];
        for (status, expected) in rows {
            assert_eq!(without_keys(status), expected, "{status}");
        }
    }
}
