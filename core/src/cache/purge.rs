//! Purge: what makes stored responses invalid before their time.
//!
//! A store need not find what a purge is about. It keeps a [`Ledger`] of what was purged and when, and asks it about
//! each response that it has found: one whose request left before the purge is not served. So a purge holds for every variant of a
//! URL, and for a response that is still on its way when it is made.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::stored::StoredResponse;
use crate::policy::blob::fnv1a64;
use crate::time::Timestamp;

/// What is purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purge {
    /// Every response of a URL: scheme, host, path and normalised query, as the first line of a cache key has them.
    Url(String),
    /// Every response whose URL starts so.
    Prefix(String),
    /// Every response with this surrogate tag.
    Tag(String),
    /// Every response of an origin (`https://host:port`) that is in this cache group,
    /// [RFC 9875](https://www.rfc-editor.org/rfc/rfc9875).
    Group {
        /// The origin.
        origin: String,
        /// The group's name.
        name: String,
    },
    /// Everything.
    Everything,
}

/// What becomes of what is purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner {
    /// It is gone.
    #[default]
    Hard,
    /// It is stale from now on: it may answer while it is fetched anew or when the backend fails, and can be validated.
    Soft,
}

/// What a ledger says of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing was purged that concerns it.
    Valid,
    /// It became stale at this time.
    StaleSince(Timestamp),
    /// It is gone.
    Gone,
}

/// Purges by name that are told apart.
const MAX_NAMES: usize = 1 << 15;

/// How many slots the names of older purges share. One of them purges another one's responses now and then, which costs a fetch and is
/// never wrong.
const SLOTS: usize = 1 << 16;

/// Most prefixes; the oldest one becomes a purge of everything.
const MAX_PREFIXES: usize = 256;

/// What was purged and when, in bounded memory: at most a few mebibytes, and nothing until the first purge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    hard: Marks,
    soft: Marks,
}

/// Times of purges of one manner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Marks {
    everything: Timestamp,
    /// By hash of a name.
    names: BTreeMap<u64, Timestamp>,
    /// By part of the hash of a name; empty until there were too many names.
    slots: Vec<Timestamp>,
    prefixes: VecDeque<(String, Timestamp)>,
}

impl Ledger {
    /// Returns whether nothing was purged yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes a purge down.
    pub fn purge(&mut self, purge: &Purge, manner: Manner, now: Timestamp) {
        let marks = match manner {
            Manner::Hard => &mut self.hard,
            Manner::Soft => &mut self.soft,
        };
        match purge {
            Purge::Url(url) => marks.mark(&["url", url], now),
            Purge::Tag(tag) => marks.mark(&["tag", tag], now),
            Purge::Group { origin, name } => marks.mark(&["group", origin, name], now),
            Purge::Prefix(prefix) => marks.mark_prefix(prefix, now),
            Purge::Everything => marks.everything = marks.everything.max(now),
        }
    }

    /// Returns a stored response, which was found under `key`, as the purges left it: as it was, stale, or not at all.
    ///
    /// A response whose request left at the very millisecond of a purge counts as purged.
    #[must_use]
    pub fn judge(&self, key: &str, stored: Arc<StoredResponse>) -> Option<Arc<StoredResponse>> {
        match self.standing(key, &stored) {
            Standing::Valid => Some(stored),
            Standing::StaleSince(time) => Some(Arc::new(stored.stale_since(time))),
            Standing::Gone => None,
        }
    }

    fn standing(&self, key: &str, stored: &StoredResponse) -> Standing {
        let url = key.split('\n').next().unwrap_or_default();
        if self.hard.latest(url, stored).is_some_and(|purged| stored.request_time() <= purged) {
            return Standing::Gone;
        }
        match self.soft.latest(url, stored).filter(|purged| stored.request_time() <= *purged) {
            Some(purged) => Standing::StaleSince(purged),
            None => Standing::Valid,
        }
    }
}

impl Marks {
    fn mark(&mut self, words: &[&str], now: Timestamp) {
        if self.names.len() == MAX_NAMES {
            self.slots.resize(SLOTS, Timestamp::default());
            for (name, time) in std::mem::take(&mut self.names) {
                let slot = &mut self.slots[slot(name)];
                *slot = (*slot).max(time);
            }
        }
        let time = self.names.entry(hash(words)).or_default();
        *time = (*time).max(now);
    }

    fn mark_prefix(&mut self, prefix: &str, now: Timestamp) {
        if let Some((_, time)) = self.prefixes.iter_mut().find(|(known, _)| known == prefix) {
            *time = (*time).max(now);
            return;
        }
        if self.prefixes.len() == MAX_PREFIXES
            && let Some((_, oldest)) = self.prefixes.pop_front()
        {
            self.everything = self.everything.max(oldest);
        }
        self.prefixes.push_back((prefix.to_owned(), now));
    }

    /// The latest purge that concerns a response; `None` when there was none.
    fn latest(&self, url: &str, stored: &StoredResponse) -> Option<Timestamp> {
        let prefixes = self.prefixes.iter().filter(|(prefix, _)| url.starts_with(prefix.as_str()));
        let by_prefix = prefixes.map(|(_, time)| *time).max().unwrap_or_default();
        let latest = self.everything.max(by_prefix).max(self.latest_by_name(url, stored));
        (latest > Timestamp::default()).then_some(latest)
    }

    fn latest_by_name(&self, url: &str, stored: &StoredResponse) -> Timestamp {
        if self.names.is_empty() && self.slots.is_empty() {
            return Timestamp::default();
        }
        let origin = origin(url);
        let tags = stored.tags().iter().map(|tag| hash(&["tag", tag]));
        let groups = stored.groups().into_iter().map(|group| hash(&["group", origin, &group]));
        let names = [hash(&["url", url])].into_iter().chain(tags).chain(groups);
        names.map(|name| self.time(name)).max().unwrap_or_default()
    }

    fn time(&self, name: u64) -> Timestamp {
        let older = self.slots.get(slot(name)).copied().unwrap_or_default();
        self.names.get(&name).copied().unwrap_or_default().max(older)
    }
}

/// The scheme, host and port of a URL.
#[must_use]
pub fn origin(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find(['/', '?']).map_or(url.len(), |at| after_scheme + at);
    &url[..end]
}

/// Hashes words and the ends of words.
fn hash(words: &[&str]) -> u64 {
    fnv1a64(words.iter().flat_map(|word| word.bytes().chain([0xff])))
}

/// The low bits of the hash are its worst.
fn slot(name: u64) -> usize {
    usize::try_from(name >> 48).expect("16 bits fit") % SLOTS
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::cache::stored::Arrival;
    use crate::cache::tests::{NOW, headers, lifetimes, secs};

    const KEY: &str = "https://a.test:8443/shop/1?b=2\nfact:country=DE";

    fn asked_at(request_time: Timestamp) -> StoredResponse {
        StoredResponse::new(Arrival {
            status: StatusCode::OK,
            headers: headers(&[("cache-groups", "\"scripts\", \"all\"")]),
            request: &HeaderMap::new(),
            lifetimes: lifetimes(60, 0, 0),
            tags: vec!["product-1".to_owned()],
            keeps_cookies: false,
            request_time,
            response_time: request_time + secs(5),
        })
    }

    fn group(origin: &str, name: &str) -> Purge {
        Purge::Group { origin: origin.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_purge_concerns_what_it_names_and_was_asked_for_before() {
        let url = |url: &str| Purge::Url(url.to_owned());
        let prefix = |prefix: &str| Purge::Prefix(prefix.to_owned());
        let rows = [
            (url("https://a.test:8443/shop/1?b=2"), true),
            (url("https://a.test:8443/shop/1"), false),
            (url("http://a.test:8443/shop/1?b=2"), false),
            (prefix("https://a.test:8443/shop/"), true),
            (prefix("https://a.test:8443/shop/2"), false),
            (prefix("https://a.test:8443/shop/1?b=2\nfact"), false),
            (Purge::Tag("product-1".to_owned()), true),
            (Purge::Tag("product-2".to_owned()), false),
            (group("https://a.test:8443", "scripts"), true),
            (group("https://a.test:8443", "styles"), false),
            (group("https://a.test", "scripts"), false),
            (Purge::Everything, true),
        ];
        for (purge, concerns) in rows {
            let mut ledger = Ledger::default();
            ledger.purge(&purge, Manner::Hard, NOW);
            let gone = if concerns { Standing::Gone } else { Standing::Valid };
            assert_eq!(ledger.standing(KEY, &asked_at(NOW)), gone, "{purge:?}");
            assert_eq!(
                ledger.standing(KEY, &asked_at(NOW + secs(1))),
                Standing::Valid,
                "asked for later: {purge:?}"
            );
        }
    }

    #[test]
    fn a_response_on_its_way_when_the_purge_is_made_is_purged() {
        let mut ledger = Ledger::default();
        ledger.purge(&Purge::Everything, Manner::Hard, NOW + secs(2));
        let stored = asked_at(NOW);
        assert!(stored.response_time() > NOW + secs(2), "it arrives after the purge");
        assert_eq!(ledger.standing(KEY, &stored), Standing::Gone);
    }

    #[test]
    fn a_soft_purge_makes_stale_and_a_hard_one_wins() {
        let mut ledger = Ledger::default();
        let tag = Purge::Tag("product-1".to_owned());
        ledger.purge(&tag, Manner::Soft, NOW + secs(1));
        assert_eq!(ledger.standing(KEY, &asked_at(NOW)), Standing::StaleSince(NOW + secs(1)));
        ledger.purge(&tag, Manner::Hard, NOW);
        assert_eq!(ledger.standing(KEY, &asked_at(NOW)), Standing::Gone);
        assert_eq!(ledger.standing(KEY, &asked_at(NOW + secs(1))), Standing::StaleSince(NOW + secs(1)));
    }

    #[test]
    fn more_prefixes_than_there_is_room_for_purge_too_much_and_never_too_little() {
        let mut ledger = Ledger::default();
        for at in 0..=MAX_PREFIXES {
            ledger.purge(&Purge::Prefix(format!("https://b.test/{at}")), Manner::Hard, NOW);
        }
        assert_eq!(ledger.hard.prefixes.len(), MAX_PREFIXES, "what is kept is bounded");
        assert_eq!(
            ledger.standing("https://b.test/0/a", &asked_at(NOW)),
            Standing::Gone,
            "the first is not forgotten"
        );
        assert_eq!(ledger.standing(KEY, &asked_at(NOW + secs(1))), Standing::Valid);
    }

    #[test]
    fn more_names_than_there_is_room_for_purge_too_much_and_never_too_little() {
        let mut ledger = Ledger::default();
        let url = |at: usize| format!("https://b.test/{at}");
        for at in 0..3 * MAX_NAMES {
            ledger.purge(&Purge::Url(url(at)), Manner::Hard, NOW);
        }
        assert!(
            ledger.hard.names.len() <= MAX_NAMES && ledger.hard.slots.len() == SLOTS,
            "what is kept is bounded"
        );
        for at in 0..3 * MAX_NAMES {
            assert_eq!(ledger.standing(&url(at), &asked_at(NOW)), Standing::Gone, "{at}");
        }
        assert_eq!(ledger.standing(&url(0), &asked_at(NOW + secs(1))), Standing::Valid, "asked for later");
    }

    #[test]
    fn an_origin_ends_where_path_or_query_begin() {
        for url in ["https://a.test:1/b?c", "https://a.test:1?b://c", "https://a.test:1"] {
            assert_eq!(origin(url), "https://a.test:1", "{url}");
        }
    }
}
