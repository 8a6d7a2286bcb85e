//! The access log: what is written of requests, and where to.

pub(crate) mod writer;

use std::path::PathBuf;

pub use selvedge_core::log::LogQuery;
pub use selvedge_log::sample::SampleRate;

/// A log with one line of JSON for each request.
///
/// Cookies, `Authorization` and bodies are never in it. Lines are written by a thread of their own; what it cannot keep up with is
/// dropped and counted, so that a slow disk makes no request wait.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where the lines go.
    pub to: LogTarget,
    /// What of a query is in a line beside what the policy allows; nothing by default. Unless it is all, the keys that caches show are
    /// not in it either.
    pub query: LogQuery,
    /// Whether the client's address is in a line even if the policy does not allow it; not by default, as it is personal data.
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

impl AccessLog {
    /// A log of every request that holds of queries and addresses what the policy allows.
    #[must_use]
    pub fn new(to: LogTarget) -> Self {
        Self { to, query: LogQuery::default(), address: false, sample: SampleRate::ALL }
    }
}
