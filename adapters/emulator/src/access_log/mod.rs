//! The access log: what is written of requests, and where to.

pub(crate) mod cache_status;
pub(crate) mod writer;

use std::path::PathBuf;

use selvedge_core::transaction::Seed;
use selvedge_log::access::{MAX_PATH_BYTES, cut, query_names};

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

/// A share of all requests, chosen by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRate(u64);

impl AccessLog {
    /// A log of every request that holds neither queries nor addresses.
    #[must_use]
    pub fn new(to: LogTarget) -> Self {
        Self { to, query: LogQuery::default(), address: false, sample: SampleRate::ALL }
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

impl SampleRate {
    /// Every request.
    pub const ALL: Self = Self(u64::MAX);

    /// Makes a share from 0 (none) to 1 (all); `None` of any other number.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product is between 0 and 2^64, where a cast saturates"
    )]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self((share * u64::MAX as f64) as u64))
    }

    /// Whether a request is chosen; ids are evenly spread.
    pub(crate) fn has(self, id: Seed) -> bool {
        let (first, _) = id.split_first_chunk().expect("an id is longer than a number");
        self == Self::ALL || u64::from_be_bytes(*first) < self.0
    }
}

#[cfg(test)]
mod tests {
    use selvedge_native::random::Seeds;

    use super::*;

    #[test]
    fn a_share_chooses_as_many_by_id_and_always_the_same() {
        let seeds = Seeds::new();
        let ids: Vec<Seed> = (0..10_000).map(|_| seeds.next()).collect();
        for (share, least, most) in [(0.0, 0, 0), (0.1, 800, 1200), (0.5, 4700, 5300), (1.0, 10_000, 10_000)]
        {
            let rate = SampleRate::new(share).unwrap();
            let chosen: Vec<bool> = ids.iter().map(|id| rate.has(*id)).collect();
            let count = chosen.iter().filter(|chosen| **chosen).count();
            assert!((least..=most).contains(&count), "{count} of {share}");
            assert!(ids.iter().map(|id| rate.has(*id)).eq(chosen), "the id decides");
        }
        for no_share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(SampleRate::new(no_share), None, "{no_share}");
        }
        assert!(SampleRate::ALL.has([0xff; 16]), "all are all");
        assert!(!SampleRate::new(0.0).unwrap().has([0; 16]), "none are none");
    }

    #[test]
    fn a_query_is_in_the_log_as_far_as_was_said() {
        let query = "token=s3cret&page=2";
        assert_eq!(LogQuery::Omit.keep(query), None);
        assert_eq!(LogQuery::Names.keep(query).as_deref(), Some("token&page"));
        assert_eq!(LogQuery::Whole.keep(query).as_deref(), Some(query));
        assert_eq!(LogQuery::Whole.keep(&"a".repeat(9000)).map(|query| query.len()), Some(MAX_PATH_BYTES));
    }
}
