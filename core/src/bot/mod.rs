//! Which clients are bots, of what kind, and what gives them away.
//!
//! A [`Classifier`] knows the crawler list that is compiled in: the published
//! `crawler-user-agents` (`data/crawlers.tsv`, with its licence) and the overlay that
//! Selvedge keeps (`data/crawlers-overlay.tsv`). Beside the user agent it weighs
//! the headers around it and what the platform says. The list names
//! those who name themselves; a bot that imitates a browser well is not found.

mod category;
mod classifier;
mod form;
mod heuristic;
mod index;
#[cfg(feature = "policy-file")]
mod list;
#[cfg(feature = "policy-file")]
mod make;
pub mod rules;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

pub use category::BotCategory;
pub use classifier::Classifier;
pub use heuristic::Heuristic;
#[cfg(feature = "policy-file")]
pub use make::crawler_table;
pub use verdict::{Evidence, Verdict};

/// How much of a user agent is looked at: four times the longest that crawlers publish.
///
/// It bounds the time that a hostile one takes; a name behind it is not seen.
pub const MAX_USER_AGENT_BYTES: usize = 1024;
