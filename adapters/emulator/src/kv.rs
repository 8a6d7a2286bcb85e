//! The key-value store: in memory, bounded, gone when the emulator ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use selvedge_core::effect::StoreError;

const MAX_KEY_BYTES: usize = 512;
/// Bookkeeping of one entry, so that empty values count too.
const ENTRY_BYTES: usize = 64;

/// A map that refuses writes once it is full.
#[derive(Debug)]
pub(crate) struct KvStore {
    max_bytes: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    values: BTreeMap<String, Bytes>,
    bytes: usize,
}

impl KvStore {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, entries: Mutex::default() }
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        check_key(key)?;
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.values.get(key).cloned())
    }

    pub(crate) fn put(&self, key: String, value: Bytes) -> Result<(), StoreError> {
        check_key(&key)?;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let old = entries.values.get(&key).map_or(0, |old| weight(&key, old));
        let bytes = entries.bytes - old + weight(&key, &value);
        if bytes > self.max_bytes {
            return Err(StoreError);
        }
        entries.bytes = bytes;
        entries.values.insert(key, value);
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), StoreError> {
    if key.len() > MAX_KEY_BYTES { Err(StoreError) } else { Ok(()) }
}

fn weight(key: &str, value: &Bytes) -> usize {
    ENTRY_BYTES + key.len() + value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_refuses_new_bytes_and_keeps_the_old_ones() {
        let store = KvStore::new(ENTRY_BYTES + 1 + 10);
        assert_eq!(store.put("a".into(), Bytes::from_static(b"0123456789")), Ok(()), "exactly full");
        assert_eq!(store.put("b".into(), Bytes::new()), Err(StoreError), "an empty value takes room too");
        assert_eq!(store.put("a".into(), Bytes::from_static(b"0123456789x")), Err(StoreError));
        assert_eq!(store.get("a"), Ok(Some(Bytes::from_static(b"0123456789"))));
        assert_eq!(
            store.put("a".into(), Bytes::from_static(b"9876543210")),
            Ok(()),
            "replacing frees the old value"
        );
    }

    #[test]
    fn a_key_over_512_bytes_is_refused_both_ways() {
        let store = KvStore::new(10_000);
        assert_eq!(store.put("k".repeat(512), Bytes::new()), Ok(()));
        assert_eq!(store.put("k".repeat(513), Bytes::new()), Err(StoreError));
        assert_eq!(store.get(&"k".repeat(513)), Err(StoreError));
        assert_eq!(store.get("absent"), Ok(None));
    }
}
