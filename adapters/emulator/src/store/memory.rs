//! Stored responses in memory, shared by all threads.

mod key;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use selvedge_core::body::Body;
use selvedge_core::effect::{CacheEntry, CachePut};

use key::Key;

/// Most bytes of one body in memory; a longer one streams through without being kept there.
pub(crate) const MAX_STORED_BODY_BYTES: u64 = 8 * 1024 * 1024;
/// What an entry takes beside its key and its content.
const ENTRY_BYTES: usize = 256;
/// About what an entry with its content takes. It decides only how many keys are known of entries that had to make room.
const USUAL_BYTES: u64 = 4 * 1024;
/// Parts with a lock of their own, at most.
const MAX_SHARDS: u64 = 64;

/// Responses by key, bounded by their bytes. One whose time is up is not found any more, and makes room like one that nobody asks for.
pub struct MemoryStore {
    cache: Cache<Key, Kept, Bytes>,
    buffered_bytes: AtomicU64,
    max_bytes: u64,
    began: Instant,
}

#[derive(Clone, Debug)]
struct Kept {
    entry: CacheEntry,
    /// Milliseconds after the store began.
    until: u64,
}

/// A share of the memory in which bodies are gathered before they are stored.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    bytes: u64,
}

impl MemoryStore {
    /// Makes an empty store of at most `max_bytes`, beside which at most as much again is
    /// used to gather bodies.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(max_bytes)
            .estimated_items_capacity(usize::try_from(max_bytes / USUAL_BYTES).unwrap_or(usize::MAX))
            .shards(shards(max_bytes))
            .build()
            .expect("both capacities are set");
        let cache =
            Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { cache, buffered_bytes: AtomicU64::new(0), max_bytes, began: Instant::now() }
    }

    /// Returns the most bytes of the entries.
    pub(crate) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Looks an entry up.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<CacheEntry> {
        let kept = self.cache.get(key.as_bytes())?;
        let now = self.now();
        if kept.until <= now {
            self.cache.remove_if(key.as_bytes(), |kept| kept.until <= now);
            return None;
        }
        Some(kept.entry)
    }

    /// Stores an entry whose body is in memory; one that stays with the host is not stored.
    pub fn put(&self, put: CachePut) {
        let CachePut { key, entry, keep, .. } = put;
        if !keep.is_zero() && is_in_memory(&entry) {
            let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            let until = self.now().saturating_add(keep);
            // A body gets its reference count when it is first shared. Here that is beside the rest of the entry, where every lookup finds both.
            self.cache.insert(Key::new(key), Kept { entry: entry.clone(), until });
        }
    }

    pub(crate) fn remove(&self, key: &str) {
        self.cache.remove(key.as_bytes());
    }

    /// Returns the bytes and the number of the entries, with those whose time is up and whose room nobody has needed.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.cache.weight(), self.cache.len() as u64)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Adds `bytes` to what is reserved, or refuses when all bodies together would take too much.
    pub(crate) fn reserve(&self, reserved: &mut Reserved, bytes: u64) -> Result<(), BufferFull> {
        let before = self.buffered_bytes.fetch_add(bytes, Ordering::Relaxed);
        reserved.bytes += bytes;
        if before + bytes > self.max_bytes || reserved.bytes > MAX_STORED_BODY_BYTES {
            return Err(BufferFull);
        }
        Ok(())
    }

    pub(crate) fn release(&self, reserved: &mut Reserved) {
        self.buffered_bytes.fetch_sub(std::mem::take(&mut reserved.bytes), Ordering::Relaxed);
    }
}

/// There is no room to gather a body for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BufferFull;

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

/// So few that the longest body fits into a part and leaves room in it.
fn shards(max_bytes: u64) -> usize {
    let shards = max_bytes / (4 * MAX_STORED_BODY_BYTES);
    usize::try_from(shards.clamp(1, MAX_SHARDS)).expect("there are few")
}

/// Weighs entries by the memory that they take.
#[derive(Clone, Copy)]
struct Bytes;

impl Weighter<Key, Kept> for Bytes {
    fn weight(&self, key: &Key, kept: &Kept) -> u64 {
        let content = match &kept.entry {
            CacheEntry::Response(head, body) => head.approximate_bytes() + body.len().unwrap_or(0),
            CacheEntry::Variants(variants) => variants.names.len() * size_of::<http::HeaderName>(),
        };
        (ENTRY_BYTES + key.as_bytes().len() + content) as u64
    }
}

fn is_in_memory(entry: &CacheEntry) -> bool {
    match entry {
        CacheEntry::Response(_, Body::Host(_)) => false,
        CacheEntry::Response(_, Body::Empty | Body::Bytes(_)) | CacheEntry::Variants(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use selvedge_core::effect::Variants;
    use selvedge_core::time::Timestamp;

    use super::*;

    fn put(key: &str, keep: Duration) -> CachePut {
        let entry = CacheEntry::Variants(Variants { names: [].into(), since: Timestamp::default() });
        CachePut { key: key.to_owned(), entry, keep, ends_turn: None, is_body_kept: false }
    }

    #[test]
    fn an_entry_without_time_to_live_is_not_stored() {
        let store = MemoryStore::new(1 << 20);
        store.put(put("gone", Duration::ZERO));
        store.put(put("kept", Duration::from_secs(60)));
        assert!(store.get("gone").is_none());
        assert!(store.get("kept").is_some());
        assert_eq!(store.size(), (256 + 4, 1), "one entry with its key");
    }

    #[test]
    fn the_store_stays_within_its_bytes() {
        let store = MemoryStore::new(10 * 259);
        for n in 0..100 {
            store.put(put(&format!("{n:03}"), Duration::from_secs(60)));
        }
        let (bytes, entries) = store.size();
        assert!(bytes <= 10 * 259, "{bytes} bytes");
        assert!((1..=10).contains(&entries), "each entry takes 256 bytes and its key: {entries}");
    }

    #[test]
    fn gathering_is_bounded_for_one_body_and_for_all_together() {
        let store = MemoryStore::new(MAX_STORED_BODY_BYTES + 10);
        let (mut one, mut two) = (Reserved::default(), Reserved::default());
        assert_eq!(store.reserve(&mut one, MAX_STORED_BODY_BYTES), Ok(()), "as long as a body may be");
        assert_eq!(store.reserve(&mut two, 10), Ok(()), "as much as all may take");
        assert_eq!(store.reserve(&mut two, 1), Err(BufferFull), "one more in all");
        store.release(&mut two);
        assert_eq!(store.reserve(&mut one, 1), Err(BufferFull), "one more in this body");
        store.release(&mut one);
        assert_eq!(store.reserve(&mut two, 10), Ok(()), "everything was given back");
    }
}
