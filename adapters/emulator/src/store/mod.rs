//! The cache store: short bodies in memory, and long ones in a folder where there is one.
//!
//! A key has its entry in one of the two; what comes last counts. Names of variants are in both, so that what a
//! restart leaves can be found.

pub mod disk;
pub mod memory;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use selvedge_core::body::Body;
use selvedge_core::cache::purge::{Ledger, Manner, Purge};
use selvedge_core::cache::stored::StoredResponse;
use selvedge_core::effect::{CacheEntry, CachePut};
use selvedge_core::time::Timestamp;

use crate::clock::Clock;
use disk::{BodyId, BodyWriter, DiskEntry, DiskStore};
use memory::MemoryStore;

/// Longest body that stays in memory where there is a folder for longer ones.
pub(crate) const MAX_MEMORY_BODY_BYTES: usize = 256 * 1024;

/// The cache store, shared by all threads.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) memory: MemoryStore,
    disk: Option<DiskStore>,
    ledger: RwLock<Ledger>,
    has_purged: AtomicBool,
}

/// What becomes of a body in the folder once it is whole.
#[derive(Clone, Debug)]
pub(crate) struct DiskPut {
    pub(crate) key: String,
    pub(crate) head: Arc<StoredResponse>,
    pub(crate) keep: Duration,
}

impl Store {
    pub(crate) fn new(memory: MemoryStore, disk: Option<DiskStore>) -> Self {
        let ledger = disk.as_ref().map(DiskStore::purged).unwrap_or_default();
        let has_purged = AtomicBool::new(!ledger.is_empty());
        Self { memory, disk, ledger: RwLock::new(ledger), has_purged }
    }

    pub(crate) fn disk(&self) -> Option<&DiskStore> {
        self.disk.as_ref()
    }

    /// Looks a key up in memory.
    pub(crate) fn get(&self, key: &str) -> Option<CacheEntry> {
        let entry = self.standing(key, self.memory.get(key)?)?;
        if let (CacheEntry::Variants(_), Some(disk)) = (&entry, &self.disk) {
            disk.touch(key);
        }
        Some(entry)
    }

    /// Returns whether it may be worth while to look a key up in the folder.
    pub(crate) fn may_be_on_disk(&self, key: &str) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.contains(key))
    }

    /// Looks a key up in the folder; on a thread that may block.
    pub(crate) fn get_from_disk(&self, key: String) -> Option<DiskEntry> {
        let disk = self.disk.as_ref()?;
        match disk.get(&key, Clock::System.now())? {
            DiskEntry::Variants { variants, keep } => {
                self.memory.put(memory_put(key, CacheEntry::Variants(variants.clone()), keep));
                Some(DiskEntry::Variants { variants, keep })
            }
            DiskEntry::Response(head, body) => {
                let judged = self.judge(&key, head);
                if judged.is_none() {
                    disk.remove(&key);
                }
                Some(DiskEntry::Response(judged?, body))
            }
        }
    }

    /// Writes purges down; they hold from now on, and after a restart from when
    /// [`keep_purges`](Self::keep_purges) returns.
    pub(crate) fn purge(&self, purges: &[Purge], manner: Manner, now: Timestamp) {
        let mut ledger = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
        purges.iter().for_each(|purge| ledger.purge(purge, manner, now));
        self.has_purged.store(true, Ordering::Release);
    }

    /// Writes purges down in the folder, if there is one; on a thread that may block.
    pub(crate) fn keep_purges(&self, purges: &[Purge], manner: Manner, now: Timestamp) {
        let Some(disk) = &self.disk else { return };
        if let Err(error) = disk.purge(purges, manner, now) {
            tracing::warn!(%error, "a purge cannot be written down, so the cache folder will be emptied at the next start");
        }
    }

    /// Forgets what a key names; on a thread that may block.
    pub(crate) fn remove(&self, key: &str) {
        self.memory.remove(key);
        if let Some(disk) = &self.disk {
            disk.remove(key);
        }
    }

    /// Gives the entry in the folder that has this body another head; on a thread that may block.
    pub(crate) fn replace_head(&self, put: DiskPut, body: BodyId) {
        let DiskPut { key, head, keep } = put;
        let Some(disk) = &self.disk else { return };
        if let Err(error) = disk.replace_head(&key, body, head, keep, Clock::System.now()) {
            tracing::warn!(%error, "the head of a stored response cannot be renewed in the cache folder");
        }
    }

    /// The response as the purges left it. Until the first of them nobody waits for the ledger.
    fn judge(&self, key: &str, head: Arc<StoredResponse>) -> Option<Arc<StoredResponse>> {
        if !self.has_purged.load(Ordering::Acquire) {
            return Some(head);
        }
        self.ledger.read().unwrap_or_else(PoisonError::into_inner).judge(key, head)
    }

    /// The entry as the purges left it.
    fn standing(&self, key: &str, entry: CacheEntry) -> Option<CacheEntry> {
        let CacheEntry::Response(head, body) = entry else { return Some(entry) };
        let judged = self.judge(key, head);
        if judged.is_none() {
            self.memory.remove(key);
        }
        Some(CacheEntry::Response(judged?, body))
    }

    /// Returns whether a part of [`put`](Self::put) is the folder's.
    pub(crate) fn puts_to_disk(&self, put: &CachePut) -> bool {
        let is_for_disk = match &put.entry {
            CacheEntry::Variants(_) => self.disk.is_some(),
            CacheEntry::Response(_, body) => self.disk.is_some() && is_long(body),
        };
        !put.keep.is_zero() && (is_for_disk || self.may_be_on_disk(&put.key))
    }

    /// Stores an entry whose body is in memory; on a thread that may block when it [is for the folder](Self::puts_to_disk).
    pub(crate) fn put(&self, put: CachePut) {
        let Some(disk) = self.disk.as_ref().filter(|_| self.puts_to_disk(&put)) else {
            return self.memory.put(put);
        };
        let CachePut { key, entry, keep, .. } = put;
        let result = match entry {
            CacheEntry::Response(head, Body::Bytes(bytes)) if bytes.len() > MAX_MEMORY_BODY_BYTES => {
                self.put_long(DiskPut { key, head, keep }, &bytes)
            }
            CacheEntry::Variants(variants) => {
                let entry = CacheEntry::Variants(variants.clone());
                self.memory.put(memory_put(key.clone(), entry, keep));
                disk.put_variants(&key, variants, keep, Clock::System.now())
            }
            entry @ CacheEntry::Response(..) => {
                self.memory.put(memory_put(key.clone(), entry, keep));
                disk.remove(&key);
                Ok(())
            }
        };
        if let Err(error) = result {
            tracing::warn!(%error, "a response cannot be stored in the cache folder");
        }
    }

    /// Begins a body in the folder; on a thread that may block.
    pub(crate) fn writer(&self, key: &str) -> io::Result<BodyWriter> {
        let disk = self.disk.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        disk.writer(key, Clock::System.now())
    }

    /// Stores a body that is whole; on a thread that may block.
    pub(crate) fn commit(&self, writer: BodyWriter, put: DiskPut) -> io::Result<()> {
        let DiskPut { key, head, keep } = put;
        writer.commit(head, keep, Clock::System.now())?;
        self.memory.remove(&key);
        Ok(())
    }

    fn put_long(&self, put: DiskPut, bytes: &Bytes) -> io::Result<()> {
        let mut writer = self.writer(&put.key)?;
        writer.write(bytes)?;
        self.commit(writer, put)
    }
}

fn memory_put(key: String, entry: CacheEntry, keep: Duration) -> CachePut {
    CachePut { key, entry, keep, ends_turn: None, is_body_kept: false }
}

fn is_long(body: &Body) -> bool {
    body.len().is_some_and(|length| length > MAX_MEMORY_BODY_BYTES)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode, header};
    use selvedge_core::cache::lifetime::{LifetimeSource, Lifetimes};
    use selvedge_core::cache::stored::Arrival;
    use selvedge_core::effect::Variants;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Clock = Clock::System;

    fn response(length: usize) -> CacheEntry {
        let lifetimes = Lifetimes::without_stale(HOUR, LifetimeSource::Rule);
        let head = StoredResponse::new(Arrival {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            request: &HeaderMap::new(),
            lifetimes,
            tags: Vec::new(),
            keeps_cookies: false,
            request_time: NOW.now(),
            response_time: NOW.now(),
        });
        CacheEntry::Response(Arc::new(head), Body::from(Bytes::from(vec![7; length])))
    }

    fn put(entry: CacheEntry, keep: Duration) -> CachePut {
        memory_put("a".to_owned(), entry, keep)
    }

    fn variants() -> Variants {
        Variants { names: [header::ACCEPT].into(), since: Timestamp::from_millis(7) }
    }

    /// Where a key's entry is.
    fn places(store: &Store) -> [bool; 2] {
        [store.get("a").is_some(), store.get_from_disk("a".to_owned()).is_some()]
    }

    #[test]
    fn what_comes_last_counts_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskStore::open(dir.path(), 1 << 30, NOW.now()).unwrap();
        let store = Store::new(MemoryStore::new(1 << 20), Some(disk));
        let steps = [
            ("short", response(MAX_MEMORY_BODY_BYTES), [true, false]),
            ("long", response(MAX_MEMORY_BODY_BYTES + 1), [false, true]),
            ("short again", response(1), [true, false]),
            ("variants", CacheEntry::Variants(variants()), [true, true]),
            ("long again", response(MAX_MEMORY_BODY_BYTES + 1), [false, true]),
        ];
        for (what, entry, expected) in steps {
            store.put(put(entry, HOUR));
            assert_eq!(places(&store), expected, "{what}");
        }
        store.put(put(response(1), Duration::ZERO));
        assert_eq!(places(&store), [false, true], "what is not to be kept changes nothing");
    }

    #[test]
    fn without_a_folder_every_body_is_for_memory() {
        let store = Store::new(MemoryStore::new(1 << 20), None);
        let long = put(response(MAX_MEMORY_BODY_BYTES + 1), HOUR);
        assert!(!store.puts_to_disk(&long));
        store.put(long);
        assert_eq!(places(&store), [true, false]);
    }

    #[test]
    fn what_was_purged_stays_purged_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let disk = DiskStore::open(dir.path(), 1 << 30, NOW.now()).unwrap();
            Store::new(MemoryStore::new(1 << 20), Some(disk))
        };
        let find = |store: &Store, key: &str| store.get_from_disk(key.to_owned()).is_some();
        let store = open();
        for key in ["a", "b"] {
            store.put(memory_put(key.to_owned(), response(MAX_MEMORY_BODY_BYTES + 1), HOUR));
        }
        store.keep_purges(&[Purge::Url("a".to_owned())], Manner::Hard, NOW.now());
        assert!(find(&store, "a"), "it holds after a restart");
        drop(store);
        let store = open();
        assert_eq!([find(&store, "a"), find(&store, "b")], [false, true]);
        store.put(memory_put("a".to_owned(), response(MAX_MEMORY_BODY_BYTES + 1), HOUR));
        drop(store);
        std::fs::remove_file(dir.path().join("purges.1")).unwrap();
        assert!(!find(&open(), "b"), "a folder that cannot say what was purged has nothing");
    }

    #[test]
    fn variants_from_the_folder_are_in_memory_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let disk = DiskStore::open(dir.path(), 1 << 30, NOW.now()).unwrap();
            Store::new(MemoryStore::new(1 << 20), Some(disk))
        };
        open().put(put(CacheEntry::Variants(variants()), HOUR));
        let store = open();
        assert!(store.get("a").is_none());
        assert!(store.may_be_on_disk("a") && store.get_from_disk("a".to_owned()).is_some());
        assert!(matches!(store.get("a"), Some(CacheEntry::Variants(found)) if found == variants()));
    }
}
