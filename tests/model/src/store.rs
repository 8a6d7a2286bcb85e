//! A cache store in memory, as the core asks of a host.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_core::body::Body;
use selvedge_core::cache::purge::{Ledger, Manner, Purge};
use selvedge_core::cache::stored::StoredResponse;
use selvedge_core::effect::{CacheEntry, CachePurge, Variants};
use selvedge_core::time::Timestamp;

/// What is stored under a key.
#[derive(Clone, Debug)]
pub enum Item {
    /// A response.
    Response(Arc<StoredResponse>, Bytes),
    /// The names that tell variants apart.
    Variants(Variants),
}

/// A store that forgets what it was told to keep no longer.
#[derive(Debug, Default)]
pub struct Store {
    items: BTreeMap<String, (Item, Timestamp)>,
    ledger: Ledger,
}

impl Store {
    /// Looks a key up.
    #[must_use]
    pub fn get(&self, key: &str, now: Timestamp) -> Option<Item> {
        let (item, _) = self.items.get(key).filter(|(_, until)| now < *until)?;
        let Item::Response(head, body) = item else { return Some(item.clone()) };
        let head = self.ledger.judge(key, Arc::clone(head))?;
        Some(Item::Response(head, body.clone()))
    }

    /// Keeps an item until a time.
    pub fn put(&mut self, key: String, item: Item, until: Timestamp) {
        self.items.insert(key, (item, until));
    }

    /// Performs a purge of the core.
    pub fn invalidate(&mut self, purge: &CachePurge) {
        purge.purges.iter().for_each(|what| self.ledger.purge(what, purge.manner, purge.at));
        purge.keys.iter().for_each(|key| drop(self.items.remove(key)));
    }

    /// Performs a purge of the operator.
    pub fn purge(&mut self, what: &Purge, manner: Manner, now: Timestamp) {
        self.ledger.purge(what, manner, now);
    }
}

impl Item {
    /// As the core gets it.
    pub fn entry(self, body: impl FnOnce(Bytes) -> Body) -> CacheEntry {
        match self {
            Self::Response(head, content) => CacheEntry::Response(head, body(content)),
            Self::Variants(variants) => CacheEntry::Variants(variants),
        }
    }

    /// As the core gives it.
    pub fn of(entry: CacheEntry, content: impl FnOnce(Body) -> Bytes) -> Self {
        match entry {
            CacheEntry::Response(head, body) => Self::Response(head, content(body)),
            CacheEntry::Variants(variants) => Self::Variants(variants),
        }
    }
}
