//! What happens to bots, by category.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BotCategory, Verdict};
use crate::geo::rules::Refusal;
use crate::headers::name::FieldName;

/// What to do, by category; a category without an entry is allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BotPolicy {
    /// Actions by category.
    pub rules: BTreeMap<BotCategory, BotAction>,
    /// Lower-case name of the request header in which a backend is told a tagged category.
    pub tag_header: FieldName,
}

/// What to do with a bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BotAction {
    /// Let it through.
    Allow,
    /// Let it through and tell the backend.
    Tag,
    /// Refuse it.
    Block(Refusal),
    /// Let it through so many times in a window.
    Limit(RateLimit),
}

/// So many requests in a window from one client address.
///
/// Windows are fixed and aligned to the Unix epoch, so a client can make up to
/// twice the number across the border of two windows. A client whose address is
/// unknown shares one count with all such clients of its category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests per window.
    pub requests: u32,
    /// Length of the window, whole seconds.
    pub window: Duration,
    /// The answer to requests beyond.
    pub refusal: Refusal,
}

impl BotPolicy {
    /// Returns what to do with a client; `None` when no rule speaks of it.
    #[must_use]
    pub fn decide(&self, verdict: Verdict) -> Option<&BotAction> {
        self.rules.get(&verdict.category()?)
    }
}

impl Default for BotPolicy {
    fn default() -> Self {
        Self { rules: BTreeMap::new(), tag_header: FieldName::new("selvedge-bot").expect("it is a token") }
    }
}
