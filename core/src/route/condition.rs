//! Conditions on a request, and when one set of them covers another.

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::bot::{BotCategory, Verdict};
use crate::device::DeviceClass;
use crate::facts::Facts;
use crate::geo::places::{Places, Presence};
use crate::headers::cookies;
use crate::target::Query;

/// Conditions on a request; all of them must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// Query parameters, each with what one of its values must be.
    pub query: Vec<(String, ValuePattern)>,
    /// Request headers by lower-case name, each with what one of its values must be.
    pub headers: Vec<(String, ValuePattern)>,
    /// Cookies, each with what its value must be.
    pub cookies: Vec<(String, ValuePattern)>,
    /// Where the client must be.
    pub place: Option<PlaceCondition>,
    /// Device classes, any of them; empty for all.
    pub devices: Vec<DeviceClass>,
    /// Bot classes, any of them; empty for all.
    pub bots: Vec<BotClass>,
}

/// Where a client must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaceCondition {
    /// The places.
    pub places: Places,
    /// Whether a client whose place is unknown meets the condition.
    pub includes_unknown: bool,
}

/// A text in which `*` stands for any characters, also none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValuePattern(String);

/// A class of clients as conditions name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BotClass {
    /// Nothing says that it is a bot.
    Human,
    /// A bot of any category.
    Any,
    /// A bot of this category.
    Category(BotCategory),
}

/// What conditions look at.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Query<'a>,
    pub(crate) facts: &'a Facts,
    pub(crate) device: DeviceClass,
    pub(crate) verdict: Verdict,
}

impl Conditions {
    /// Returns how many conditions there are: the measure of specificity.
    #[must_use]
    pub fn count(&self) -> usize {
        let lists = [self.place.is_some(), !self.devices.is_empty(), !self.bots.is_empty()];
        let set = lists.into_iter().filter(|is_set| *is_set).count();
        self.query.len() + self.headers.len() + self.cookies.len() + set
    }

    pub(crate) fn hold(&self, subject: Subject<'_>) -> bool {
        self.query
            .iter()
            .all(|(name, pattern)| subject.query.values(name).any(|v| pattern.is_match(v.as_bytes())))
            && self.headers.iter().all(|(name, pattern)| {
                subject.headers.get_all(name.as_str()).iter().any(|v| pattern.is_match(v.as_bytes()))
            })
            && self.cookies.iter().all(|(name, pattern)| {
                cookies::find(subject.headers, name).is_some_and(|v| pattern.is_match(v.as_ref()))
            })
            && self.place.as_ref().is_none_or(|place| place.holds(subject.facts))
            && (self.devices.is_empty() || self.devices.contains(&subject.device))
            && (self.bots.is_empty() || self.bots.iter().any(|class| class.is_match(subject.verdict)))
    }

    /// Returns whether every request that meets `other` meets these conditions too.
    ///
    /// May miss a case, and never claims one that is not so.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers_values(&self.query, &other.query)
            && covers_values(&self.headers, &other.headers)
            && covers_values(&self.cookies, &other.cookies)
            && match (&self.place, &other.place) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(own), Some(other)) => own.covers(other),
            }
            && covers_list(&self.devices, &other.devices)
            && (covers_list(&self.bots, &other.bots)
                || !other.bots.is_empty() && self.covers_every_bot(other))
    }

    fn covers_every_bot(&self, other: &Self) -> bool {
        self.bots.contains(&BotClass::Any)
            && other
                .bots
                .iter()
                .all(|class| *class != BotClass::Human || self.bots.contains(&BotClass::Human))
    }
}

fn covers_values(own: &[(String, ValuePattern)], other: &[(String, ValuePattern)]) -> bool {
    let implied = |(name, pattern): &(String, ValuePattern)| {
        other.iter().any(|(other_name, other)| name == other_name && (pattern == other || pattern.0 == "*"))
    };
    own.iter().all(implied)
}

fn covers_list<T: PartialEq>(own: &[T], other: &[T]) -> bool {
    own.is_empty() || !other.is_empty() && other.iter().all(|item| own.contains(item))
}

impl PlaceCondition {
    fn holds(&self, facts: &Facts) -> bool {
        match self.places.matches(facts) {
            Presence::Inside => true,
            Presence::Outside => false,
            Presence::Unknown => self.includes_unknown,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self.places.covers(&other.places) && (self.includes_unknown || !other.includes_unknown)
    }
}

impl ValuePattern {
    /// Makes a pattern; every text is one.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns whether a value matches, byte by byte and case-sensitively.
    #[must_use]
    pub fn is_match(&self, value: &[u8]) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0.as_bytes() == value };
        let Some(mut value) = value.strip_prefix(first.as_bytes()) else { return false };
        let (middles, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        for part in middles.split('*').filter(|part| !part.is_empty()) {
            let Some(at) = find(value, part.as_bytes()) else { return false };
            value = &value[at + part.len()..];
        }
        value.ends_with(last.as_bytes())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

impl BotClass {
    /// Reads `human`, `any` or the name of a category.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        match name {
            "human" => Some(Self::Human),
            "any" => Some(Self::Any),
            _ => BotCategory::new(name).map(Self::Category),
        }
    }

    fn is_match(self, verdict: Verdict) -> bool {
        match self {
            Self::Human => verdict.category().is_none(),
            Self::Any => verdict.category().is_some(),
            Self::Category(category) => verdict.category() == Some(category),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        let rows = [
            ("abc", "abc", true),
            ("abc", "ABC", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*c", "abc", true),
            ("a*c", "ac", true),
            ("ab*bc", "abc", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*b*", "abc", true),
            ("**", "x", true),
        ];
        for (pattern, value, expected) in rows {
            assert_eq!(
                ValuePattern::new(pattern).is_match(value.as_bytes()),
                expected,
                "{pattern} on {value}"
            );
        }
    }

    #[test]
    fn fewer_and_wider_conditions_cover_more() {
        let header = |value: &str| Conditions {
            headers: vec![("x-a".to_owned(), ValuePattern::new(value))],
            ..Conditions::default()
        };
        let bots = |classes: &[BotClass]| Conditions { bots: classes.to_vec(), ..Conditions::default() };
        let scraper = BotClass::Category(BotCategory::Scraper);
        let rows = [
            (Conditions::default(), header("1"), true),
            (header("1"), Conditions::default(), false),
            (header("*"), header("1"), true),
            (header("1"), header("2"), false),
            (bots(&[BotClass::Any]), bots(&[scraper]), true),
            (bots(&[BotClass::Any]), bots(&[BotClass::Human]), false),
            (bots(&[BotClass::Any]), bots(&[]), false),
            (bots(&[scraper]), bots(&[BotClass::Any]), false),
        ];
        for (wide, narrow, expected) in rows {
            assert_eq!(wide.covers(&narrow), expected, "{wide:?} over {narrow:?}");
        }
    }
}
