//! What was found out about a client, and how.

use std::fmt;

use super::category::BotCategory;
use super::heuristic::Heuristic;

/// What a client is taken for, and why.
///
/// The default is a client without a sign of a bot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    category: Option<BotCategory>,
    evidence: Evidence,
}

/// What a [`Verdict`] rests on.
///
/// Displayed as a kind and a name, such as `pattern Googlebot\/` or `heuristic no-accept`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// Nothing speaks for a bot.
    #[default]
    None,
    /// The user agent matches this pattern of the crawler list.
    Pattern(&'static str),
    /// The headers show this sign.
    Heuristic(Heuristic),
    /// The platform's own bot detection says so.
    Platform,
}

impl Verdict {
    pub(super) const fn new(category: Option<BotCategory>, evidence: Evidence) -> Self {
        Self { category, evidence }
    }

    /// What an earlier stage found out, without its evidence.
    pub(crate) const fn known(category: Option<BotCategory>) -> Self {
        Self { category, evidence: Evidence::None }
    }

    /// Returns the kind of bot; `None` when nothing speaks for a bot.
    #[must_use]
    pub const fn category(&self) -> Option<BotCategory> {
        self.category
    }

    /// Returns what the verdict rests on.
    #[must_use]
    pub const fn evidence(&self) -> Evidence {
        self.evidence
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Pattern(name) => write!(f, "pattern {name}"),
            Self::Heuristic(heuristic) => write!(f, "heuristic {}", heuristic.as_str()),
            Self::Platform => f.write_str("platform"),
        }
    }
}
