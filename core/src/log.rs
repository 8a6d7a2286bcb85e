//! What a policy allows the access log to hold of clients: plain data, which no decision of the core depends on.

use serde::{Deserialize, Serialize};

/// What of a request may be in the access log although it is personal data, or may hold secrets. Default: nothing.
///
/// Of these a trace has the user agent alone, where it is allowed. The country, the kind of device, the bot category and variations are always
/// told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Whether the client's address is.
    pub client_address: bool,
    /// What of the query is.
    pub query: LogQuery,
    /// Whether what the client calls itself is.
    pub user_agent: bool,
}

impl Log {
    /// Returns it as a number, for a host on the other side of a boundary: 1 for the address, 2 for the user agent, and 4 for the names of
    /// a query's parameters or 8 for all of it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        let query = match self.query {
            LogQuery::Omit => 0,
            LogQuery::Names => 4,
            LogQuery::Whole => 8,
        };
        self.client_address as u8 | (self.user_agent as u8) << 1 | query
    }
}

/// What of a query is in the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "policy-file", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogQuery {
    /// Nothing.
    #[default]
    Omit,
    /// The parameters' names.
    Names,
    /// All of it, with whatever secrets it holds; the keys of caches too, which have it in them.
    Whole,
}
