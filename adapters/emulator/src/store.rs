//! The cache store, shared by all threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;
use selvedge_core::body::Body;
use selvedge_core::effect::{CacheEntry, CachePut};

/// Most bytes of one stored body; a longer one streams through without being stored.
pub(crate) const MAX_STORED_BODY_BYTES: u64 = 8 * 1024 * 1024;
/// What an entry takes beside its key and its content.
const ENTRY_BYTES: usize = 256;

/// Responses by key, bounded by their bytes; each is dropped when its time is up.
#[derive(Debug)]
pub(crate) struct Store {
    cache: Cache<String, Kept>,
    buffered_bytes: AtomicU64,
    max_bytes: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    entry: CacheEntry,
    keep: Duration,
}

/// A share of the memory in which bodies are gathered before they are stored.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    bytes: u64,
}

impl Store {
    /// Makes an empty store of at most `max_bytes`, beside which at most as much again is
    /// used to gather bodies.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let cache = Cache::builder().max_capacity(max_bytes).weigher(weigh).expire_after(KeepTime).build();
        Self { cache, buffered_bytes: AtomicU64::new(0), max_bytes }
    }

    /// Returns the most bytes of the entries.
    pub(crate) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    pub(crate) fn get(&self, key: &str) -> Option<CacheEntry> {
        self.cache.get(key).map(|kept| kept.entry)
    }

    /// Stores an entry whose body is in memory; one that stays with the host is not stored.
    pub(crate) fn put(&self, put: CachePut) {
        let CachePut { key, entry, keep } = put;
        if !keep.is_zero() && is_in_memory(&entry) {
            self.cache.insert(key, Kept { entry, keep });
        }
    }

    /// Returns the bytes and the number of the entries, as far as the store has caught up.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.cache.run_pending_tasks();
        (self.cache.weighted_size(), self.cache.entry_count())
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

#[expect(clippy::ptr_arg, reason = "the store's weigher is given its key type")]
fn weigh(key: &String, kept: &Kept) -> u32 {
    let content = match &kept.entry {
        CacheEntry::Response(head, body) => head.approximate_bytes() + body.len().unwrap_or(0),
        CacheEntry::Variants(names) => names.len() * size_of::<http::HeaderName>(),
    };
    u32::try_from(ENTRY_BYTES + key.len() + content).unwrap_or(u32::MAX)
}

fn is_in_memory(entry: &CacheEntry) -> bool {
    match entry {
        CacheEntry::Response(_, Body::Host(_)) => false,
        CacheEntry::Response(_, Body::Empty | Body::Bytes(_)) | CacheEntry::Variants(_) => true,
    }
}

struct KeepTime;

impl Expiry<String, Kept> for KeepTime {
    fn expire_after_create(&self, _: &String, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.keep)
    }

    fn expire_after_update(
        &self,
        _: &String,
        kept: &Kept,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, keep: Duration) -> CachePut {
        CachePut { key: key.to_owned(), entry: CacheEntry::Variants([].into()), keep }
    }

    #[test]
    fn an_entry_without_time_to_live_is_not_stored() {
        let store = Store::new(1 << 20);
        store.put(put("gone", Duration::ZERO));
        store.put(put("kept", Duration::from_secs(60)));
        assert!(store.get("gone").is_none());
        assert!(store.get("kept").is_some());
        assert_eq!(store.size(), (256 + 4, 1), "one entry with its key");
    }

    #[test]
    fn the_store_stays_within_its_bytes() {
        let store = Store::new(10 * 259);
        for n in 0..100 {
            store.put(put(&format!("{n:03}"), Duration::from_secs(60)));
        }
        let (bytes, entries) = store.size();
        assert!(bytes <= 10 * 259, "{bytes} bytes");
        assert!((1..=10).contains(&entries), "each entry takes 256 bytes and its key: {entries}");
    }

    #[test]
    fn gathering_is_bounded_for_one_body_and_for_all_together() {
        let store = Store::new(MAX_STORED_BODY_BYTES + 10);
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
