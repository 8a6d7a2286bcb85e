//! The access log: what is written of requests, and where to.

pub(crate) mod writer;

use std::path::PathBuf;

use selvedge_log::access::{MAX_PATH_BYTES, cut, query_names};
use selvedge_log::cache_status::CacheKeys;
pub use selvedge_log::sample::SampleRate;

/// A log with one line of JSON for each request.
///
/// Cookies, `Authorization` and bodies are never in it. Lines are written by a thread of their own; what it cannot keep up with is
/// dropped and counted, so that a slow disk makes no request wait.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where the lines go.
    pub to: LogTarget,
    /// What of a query is in a line; nothing by default. Unless it is all, the keys that caches show are not in it either.
    pub query: LogQuery,
    /// Whether the client's address is in a line; not by default, as it is personal data.
    pub address: bool,
    /// How many of the requests have a line; all by default. Those that the edge answers with a 5xx always have one.
    pub sample: SampleRate,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The standard output.
    Stdout,
    /// The end of a file, which is made where there is none. It stays open; whoever rotates it copies and truncates it.
    File(PathBuf),
}

/// What of a query is in the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogQuery {
    /// Nothing.
    #[default]
    Omit,
    /// The parameters' names.
    Names,
    /// All of it, with whatever secrets it holds.
    Whole,
}

impl AccessLog {
    /// A log of every request that holds neither queries nor addresses.
    #[must_use]
    pub fn new(to: LogTarget) -> Self {
        Self { to, query: LogQuery::default(), address: false, sample: SampleRate::ALL }
    }
}

/// A cache's key holds the query.
impl From<LogQuery> for CacheKeys {
    fn from(query: LogQuery) -> Self {
        match query {
            LogQuery::Omit | LogQuery::Names => Self::Omit,
            LogQuery::Whole => Self::Show,
        }
    }
}

impl LogQuery {
    /// Leaves of a query what may be in the log.
    pub(crate) fn keep(self, query: &str) -> Option<String> {
        match self {
            Self::Omit => None,
            Self::Names => Some(cut(&query_names(query), MAX_PATH_BYTES).to_owned()),
            Self::Whole => Some(cut(query, MAX_PATH_BYTES).to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_in_the_log_as_far_as_was_said() {
        let query = "token=s3cret&page=2";
        assert_eq!(LogQuery::Omit.keep(query), None);
        assert_eq!(LogQuery::Names.keep(query).as_deref(), Some("token&page"));
        assert_eq!(LogQuery::Whole.keep(query).as_deref(), Some(query));
        assert_eq!(LogQuery::Whole.keep(&"a".repeat(9000)).map(|query| query.len()), Some(MAX_PATH_BYTES));
    }
}
