//! Which entries there are, in the order in which they go.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use selvedge_core::time::Timestamp;

use super::format::{BodyRef, Digest};

/// Space that a file takes at least, and of which it takes a multiple: a block of most file systems.
const FILE_BYTES: u64 = 4096;

/// The entries and the space that they and unfinished files take.
#[derive(Debug)]
pub(super) struct Index {
    slots: HashMap<Digest, Slot>,
    by_use: BTreeMap<u64, Digest>,
    by_expiry: BTreeSet<(Timestamp, Digest)>,
    last_number: u64,
    bytes: u64,
    unfinished_bytes: u64,
    max_bytes: u64,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) keep_until: Timestamp,
    pub(super) body: Option<BodyRef>,
    /// Tells this entry from earlier and later ones under its key.
    pub(super) generation: u64,
    bytes: u64,
    last_use: u64,
}

impl Index {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            slots: HashMap::new(),
            by_use: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            last_number: 0,
            bytes: 0,
            unfinished_bytes: 0,
            max_bytes,
        }
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Slot> {
        self.slots.get(digest).copied()
    }

    /// Adds the entry that was used last of all, and returns the one in whose place it comes.
    pub(super) fn insert(
        &mut self,
        digest: Digest,
        keep_until: Timestamp,
        body: Option<BodyRef>,
        bytes: u64,
    ) -> Option<Slot> {
        let replaced = self.remove(&digest);
        let number = self.next_number();
        let slot = Slot { keep_until, body, generation: number, bytes, last_use: number };
        self.slots.insert(digest, slot);
        self.by_use.insert(number, digest);
        self.by_expiry.insert((keep_until, digest));
        self.bytes += bytes;
        replaced
    }

    pub(super) fn remove(&mut self, digest: &Digest) -> Option<Slot> {
        let slot = self.slots.remove(digest)?;
        self.by_use.remove(&slot.last_use);
        self.by_expiry.remove(&(slot.keep_until, *digest));
        self.bytes -= slot.bytes;
        Some(slot)
    }

    /// Notes that an entry was used.
    pub(super) fn touch(&mut self, digest: &Digest) {
        let number = self.next_number();
        if let Some(slot) = self.slots.get_mut(digest) {
            self.by_use.remove(&slot.last_use);
            slot.last_use = number;
            self.by_use.insert(number, *digest);
        }
    }

    /// Returns an entry whose time is up.
    pub(super) fn expired(&self, now: Timestamp) -> Option<Digest> {
        self.by_expiry.first().filter(|(keep_until, _)| *keep_until <= now).map(|(_, digest)| *digest)
    }

    pub(super) fn least_recently_used(&self) -> Option<Digest> {
        self.by_use.first_key_value().map(|(_, digest)| *digest)
    }

    /// Returns the keys' digests, in no order.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.slots.keys()
    }

    /// Returns whether there would be room if every entry went.
    pub(super) fn can_fit(&self, more_bytes: u64) -> bool {
        self.unfinished_bytes.saturating_add(more_bytes) <= self.max_bytes
    }

    /// Returns whether there is room.
    pub(super) fn fits(&self, more_bytes: u64) -> bool {
        let taken = self.bytes.saturating_add(self.unfinished_bytes);
        taken.saturating_add(more_bytes) <= self.max_bytes
    }

    pub(super) fn reserve(&mut self, bytes: u64) {
        self.unfinished_bytes += bytes;
    }

    pub(super) fn release(&mut self, bytes: u64) {
        self.unfinished_bytes -= bytes;
    }

    /// Returns the bytes of all entries and of what is unfinished, and the number of entries.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.bytes + self.unfinished_bytes, self.slots.len() as u64)
    }

    pub(super) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// Returns the space that a file of `length` bytes counts for.
pub(super) fn space(length: u64) -> u64 {
    length.div_ceil(FILE_BYTES).max(1).saturating_mul(FILE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::format::digest;

    fn until(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut index = Index::new(100);
        for key in ["a", "b", "c"] {
            index.insert(digest(key), until(9), None, 10);
        }
        index.touch(&digest("a"));
        index.insert(digest("b"), until(9), None, 10);
        let order = std::iter::from_fn(|| {
            let next = index.least_recently_used()?;
            index.remove(&next).map(|_| next)
        });
        assert_eq!(order.collect::<Vec<_>>(), ["c", "a", "b"].map(digest));
        assert_eq!(index.size(), (0, 0));
    }

    #[test]
    fn bytes_are_those_of_the_entries_and_of_what_is_unfinished() {
        let mut index = Index::new(100);
        assert!(index.insert(digest("a"), until(9), None, 60).is_none());
        index.reserve(30);
        assert_eq!(index.size(), (90, 1));
        assert!(index.fits(10) && !index.fits(11) && !index.fits(u64::MAX));
        let replaced = index.insert(digest("a"), until(9), None, 5).unwrap();
        assert_eq!((replaced.bytes, index.size()), (60, (35, 1)));
        index.release(30);
        assert_eq!(index.size(), (5, 1));
    }

    #[test]
    fn an_entry_has_expired_at_the_end_of_its_time() {
        let mut index = Index::new(100);
        index.insert(digest("late"), until(20), None, 1);
        index.insert(digest("soon"), until(10), None, 1);
        assert_eq!(index.expired(until(9)), None);
        assert_eq!(index.expired(until(10)), Some(digest("soon")));
        index.insert(digest("soon"), until(30), None, 1);
        assert_eq!(index.expired(until(10)), None, "the new entry counts");
    }

    #[test]
    fn a_file_counts_for_whole_blocks() {
        assert_eq!([0, 1, 4096, 4097].map(space), [4096, 4096, 4096, 8192]);
    }
}
