//! The classifier.

use http::HeaderMap;
use http::header::USER_AGENT;

use super::MAX_USER_AGENT_BYTES;
use super::category::BotCategory;
use super::form::Window;
use super::heuristic::{self, Heuristic};
use super::index;
use super::table::{self, Pattern};
use super::verdict::{Evidence, Verdict};
use crate::facts::Facts;

/// Platforms call a score below this one likely automated.
const LIKELY_HUMAN_SCORE: u8 = 30;

/// Tells bots from people, by the crawler list, the headers and the platform's word.
///
/// It holds nothing: the list is compiled in, in the form in which it is searched.
///
/// # Examples
/// ```
/// use selvedge_core::bot::{BotCategory, Classifier};
///
/// let classifier = Classifier::new();
/// let found = classifier.classify_user_agent(b"Mozilla/5.0 (compatible; bingbot/2.0)");
/// assert_eq!(found, Some((BotCategory::SearchEngine, "bingbot")));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Classifier(());

impl Classifier {
    /// Makes a classifier of the list that is compiled in.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }

    /// Classifies a client by its headers and by what the platform knows.
    ///
    /// The first of these that says something decides:
    /// 1. no user agent at all;
    /// 2. the user agent's name in the list, of several lines and names the most severe;
    /// 3. client hints that name a headless browser;
    /// 4. the platform: a crawler that it verified, or a score that it calls automated
    ///    (1 to 29), is [`BotCategory::Unknown`]; any other score (30 to 99) is no bot;
    /// 5. a browser's user agent without the headers that browsers send.
    ///
    /// A platform that knows nothing (`None`, or a score of 0) leaves it to the headers.
    #[must_use]
    pub fn classify(&self, headers: &HeaderMap, facts: &Facts) -> Verdict {
        if heuristic::is_anonymous(headers) {
            return Heuristic::NoUserAgent.verdict();
        }
        if let Some(pattern) = worst_pattern(headers) {
            return Verdict::new(Some(pattern.category), Evidence::Pattern(pattern.name));
        }
        if heuristic::hints_headless(headers) {
            return Heuristic::HeadlessClientHint.verdict();
        }
        ask_platform(facts)
            .or_else(|| heuristic::missing_from_browser(headers).map(Heuristic::verdict))
            .unwrap_or_default()
    }

    /// Returns the most severe category that a user agent names, with the pattern that found it.
    ///
    /// Of equally severe patterns the first in the list counts. Case matters, as it
    /// does upstream. Only the first [`MAX_USER_AGENT_BYTES`] are looked at; they
    /// need not be UTF-8.
    #[must_use]
    pub fn classify_user_agent(&self, user_agent: &[u8]) -> Option<(BotCategory, &'static str)> {
        let pattern = table::pattern(worst_position(user_agent)?);
        Some((pattern.category, pattern.name))
    }

    /// Returns the names of all patterns that match.
    #[cfg(test)]
    pub(super) fn matching(&self, user_agent: &[u8]) -> std::collections::BTreeSet<&'static str> {
        let mut names = std::collections::BTreeSet::new();
        let window = Window::new(user_agent, MAX_USER_AGENT_BYTES);
        index::for_each_match(window, |pattern| {
            names.insert(table::pattern(pattern).name);
        });
        names
    }
}

fn worst_pattern(headers: &HeaderMap) -> Option<Pattern> {
    let lines = headers.get_all(USER_AGENT).iter();
    lines.filter_map(|line| worst_position(line.as_bytes())).min().map(table::pattern)
}

fn worst_position(user_agent: &[u8]) -> Option<u16> {
    let mut worst: Option<u16> = None;
    let window = Window::new(user_agent, MAX_USER_AGENT_BYTES);
    index::for_each_match(window, |pattern| {
        worst = Some(worst.map_or(pattern, |worst| worst.min(pattern)));
    });
    worst
}

fn ask_platform(facts: &Facts) -> Option<Verdict> {
    let unknown_bot = Verdict::new(Some(BotCategory::Unknown), Evidence::Platform);
    if facts.is_verified_bot == Some(true) {
        return Some(unknown_bot);
    }
    match facts.bot_score {
        None | Some(0) => None,
        Some(1..LIKELY_HUMAN_SCORE) => Some(unknown_bot),
        Some(LIKELY_HUMAN_SCORE..) => Some(Verdict::default()),
    }
}
