//! The cache store on Spin's key-value store, which has no expiry, no list by prefix and no compare-and-swap.
//!
//! Entries lie in a fixed number of slots, so that the store is bounded without an index that could be wrong. The head of
//! a key is in one of two slots: a lookup reads two values at most, and storing reads two and writes one. Of two
//! slots that are taken, the one that was written longer ago is written over; with a single one, two pages that are
//! asked for all the time could push each other out for ever. A body that does not fit into its head lies in one slot of its own, or
//! in up to sixteen. Everything of one entry has the same random generation: what was written over, or only in part, is not there, and
//! no body is ever put together from two.

mod layout;
mod memory;
mod record;
#[cfg(test)]
mod tests;

use std::future::Future;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use selvedge_core::body::Body;
use selvedge_core::effect::{CacheEntry, CachePut, StoreError};
use selvedge_core::time::Timestamp;
use selvedge_core::wire::{decode_entry, encode_entry};

use layout::{Class, Layout};
use memory::Memory;
use record::{Content, Generation, Head};

pub(crate) use memory::Reserved;

/// How many parts of a body are read at the same time.
const READ_AT_ONCE: usize = 4;

/// Longest key of a handler's own value, as the core promises.
const MAX_KEY_BYTES: usize = 512;

/// A key-value store of the platform.
pub(crate) trait Values {
    /// Reads a value.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>>;

    /// Writes a value.
    fn set(&self, key: &str, value: &[u8]) -> impl Future<Output = Result<(), StoreError>>;
}

/// Responses, and the values of handlers.
pub(crate) struct Store<V> {
    values: V,
    layout: Layout,
    memory: Memory,
}

/// A body in memory, and what it takes there.
struct Loaded {
    bytes: Vec<u8>,
    _reserved: Reserved,
}

impl<V: Values> Store<V> {
    /// Takes at most so many bytes for responses.
    pub(crate) fn new(max_bytes: u64, values: V) -> Self {
        Self { values, layout: Layout::of(max_bytes), memory: Memory::default() }
    }

    /// Reserves memory for a body that is to be stored.
    pub(crate) fn reserve(&self) -> Reserved {
        self.memory.reserve()
    }

    /// Looks a response up; a store that fails has none.
    ///
    /// One whose time is over is there until another takes its place: that it is stale is for the core to say.
    pub(crate) async fn get(&self, key: &str) -> Option<CacheEntry> {
        for place in self.layout.heads(key)? {
            let Ok(Some(value)) = self.values.get(&place).await else { continue };
            let Some((generation, head)) = Head::read(&value) else { continue };
            if head.key == key {
                let body = self.body(&head, &generation).await?;
                return decode_entry(head.meta, body);
            }
        }
        None
    }

    /// Stores a response with its body, replacing what the key names. What does not fit, or is refused, is not stored.
    pub(crate) async fn put(&self, put: CachePut, body: Bytes, now: Timestamp, generation: Generation) {
        let CachePut { key, entry, keep, .. } = put;
        if keep.is_zero() {
            return;
        }
        let (meta, written) = (encode_entry(&entry), now.as_millis());
        let expires = written.saturating_add(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
        let head = |content| Head { key: &key, written, expires, meta: &meta, content }.write(&generation);
        let here = head(Content::Here(&body));
        let (value, class) = match here {
            Some(value) => (value, None),
            None => {
                let Some(class) = self.layout.class(body.len()) else { return };
                let Some(value) = head(Content::Elsewhere { class, bytes: body.len() as u64 }) else {
                    return;
                };
                (value, Some(class))
            }
        };
        // The head comes last: it never names what is not there yet.
        if let Some(class) = class
            && self.write_parts(&key, class, &body, &generation).await.is_err()
        {
            return;
        }
        if let Some(place) = self.place(&key, now).await {
            // The values say themselves that they were not taken.
            let _ = self.values.set(&place, &value).await;
        }
    }

    /// Forgets what a key names. A store that refuses keeps it until it is written over.
    pub(crate) async fn remove(&self, key: &str) {
        for place in self.layout.heads(key).into_iter().flatten() {
            let Ok(Some(value)) = self.values.get(&place).await else { continue };
            if Head::read(&value).is_some_and(|(_, head)| head.key == key) {
                // Nothing is no head.
                let _ = self.values.set(&place, &[]).await;
            }
        }
    }

    /// Reads a handler's own value.
    pub(crate) async fn value(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let value = self.values.get(&own(key)?).await?;
        Ok(value.map(Bytes::from))
    }

    /// Writes a handler's own value.
    pub(crate) async fn set_value(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        self.values.set(&own(key)?, &value).await
    }

    /// Chooses between the two places of a head: the one that has this key, else one that holds nothing of use, else the
    /// older one.
    async fn place(&self, key: &str, now: Timestamp) -> Option<String> {
        let [first, second] = self.layout.heads(key)?;
        let one = self.rank(&first, key, now).await;
        if one == Rank::Own {
            return Some(first);
        }
        let two = self.rank(&second, key, now).await;
        Some(if two < one { second } else { first })
    }

    async fn rank(&self, place: &str, key: &str, now: Timestamp) -> Rank {
        let value = self.values.get(place).await.ok().flatten();
        match value.as_deref().and_then(Head::read) {
            Some((_, head)) if head.key == key => Rank::Own,
            Some((_, head)) if now.as_millis() < head.expires => Rank::Taken { written: head.written },
            Some(_) | None => Rank::Free,
        }
    }

    async fn write_parts(
        &self,
        key: &str,
        class: Class,
        body: &Bytes,
        generation: &Generation,
    ) -> Result<(), StoreError> {
        for (at, part) in body.chunks(class.bytes()).enumerate() {
            let place = self.layout.part(class, key, at).ok_or(StoreError)?;
            self.values.set(&place, &record::seal(generation, part)).await?;
        }
        Ok(())
    }

    /// Reads a body; `None` when a part of it is another entry's by now.
    async fn body(&self, head: &Head<'_>, generation: &Generation) -> Option<Body> {
        let (class, length) = match head.content {
            Content::Here(bytes) => return Some(Body::from(Bytes::copy_from_slice(bytes))),
            Content::Elsewhere { class, bytes } => (class, usize::try_from(bytes).ok()?),
        };
        // The head may be another deployment's, whose store was larger.
        if self.layout.class(length) != Some(class) {
            return None;
        }
        let mut reserved = self.memory.reserve();
        if !reserved.grow(length) {
            return None;
        }
        let mut bytes = Vec::with_capacity(length);
        let places = (0..length.div_ceil(class.bytes())).map(|at| self.layout.part(class, head.key, at));
        let places = places.collect::<Option<Vec<_>>>()?;
        let mut parts = stream::iter(&places).map(|place| self.values.get(place)).buffered(READ_AT_ONCE);
        while let Some(part) = parts.next().await {
            let value = part.ok().flatten()?;
            let (_, content) = record::open(&value).filter(|(found, _)| found == generation)?;
            let expected = class.bytes().min(length - bytes.len());
            if content.len() != expected {
                return None;
            }
            bytes.extend_from_slice(content);
        }
        Some(Body::from(Bytes::from_owner(Loaded { bytes, _reserved: reserved })))
    }
}

/// How gladly a place is written over, from the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It has the same key.
    Own,
    /// It holds nothing of use.
    Free,
    /// It holds another entry.
    Taken {
        /// Since when.
        written: u64,
    },
}

impl AsRef<[u8]> for Loaded {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The values of handlers have names of their own in the platform's store.
fn own(key: &str) -> Result<String, StoreError> {
    if key.len() > MAX_KEY_BYTES { Err(StoreError) } else { Ok(format!("own/{key}")) }
}
