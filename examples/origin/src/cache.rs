//! Users and products as they are sent, kept in the process or in Redis.
//!
//! Each key belongs to a slot, and each slot counts the changes of its keys. What is kept is kept under the count that
//! held before the database was asked, and looked for under the count that holds when a request comes: so nothing that
//! was read before a change is found after it, however late the reader kept it. While a change is on its way the database
//! answers: whoever hears of a change, as edges do, finds nothing from before it, even when the writer has not come to
//! count it.

mod shared;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::database::Database;
use crate::resource::{Key, Representation, Resource};
use crate::secret::Secret;

use shared::SharedCache;

/// How long a user or a product is kept.
const EXPIRY: Duration = Duration::from_secs(60 * 60);

/// Most bytes that are kept in the process.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What an entry takes beside its body, in bytes, about.
const ENTRY_BYTES: usize = 256;

/// Slots of changes; keys that share one only lose what is kept more often.
const SLOTS: usize = 4_096;

/// One change that has ended, in the number of a slot; what is below counts those on their way.
const ENDED: u64 = 1 << 32;

/// The cache in front of the database; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    database: Database,
    /// With a shared cache nothing stays here: it only lets requests for the same wait for one answer.
    local: moka::future::Cache<(Key, u64), Representation>,
    slots: Arc<[AtomicU64]>,
    hasher: RandomState,
    shared: Option<SharedCache>,
}

/// Why there is nothing to keep.
#[derive(Debug)]
enum Nothing {
    Absent,
    Failed(Arc<sqlx::Error>),
}

impl Cache {
    /// Makes the cache; `url` names a Redis server, which may be away.
    pub(crate) fn open(
        database: Database,
        url: Option<&Secret>,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<Self> {
        let shared = url.map(|url| SharedCache::open(url, database.clone(), tasks)).transpose()?;
        let expiry = if shared.is_some() { Duration::ZERO } else { EXPIRY };
        let weigh = |_: &(Key, u64), kept: &Representation| {
            u32::try_from(kept.body.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let local = moka::future::Cache::builder()
            .weigher(weigh)
            .max_capacity(MAX_BYTES)
            .time_to_live(expiry)
            .build();
        let slots = std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect();
        Ok(Self { database, local, slots, hasher: RandomState::new(), shared })
    }

    /// Returns a user or a product, if there is one; the database is asked once, however many want it.
    ///
    /// # Errors
    /// When neither the cache nor the database has an answer.
    pub(crate) async fn find<T: Resource>(
        &self,
        id: i64,
    ) -> Result<Option<Representation>, Arc<sqlx::Error>> {
        let key = Key { kind: T::KIND, id };
        let changes = self.slot(key).load(Ordering::Acquire);
        if !changes.is_multiple_of(ENDED) {
            return found(self.load::<T>(key).await.as_ref());
        }
        let place = (key, changes);
        if let Some(kept) = self.local.get(&place).await {
            return Ok(Some(kept));
        }
        let loaded = self.local.try_get_with(place, self.load::<T>(key)).await;
        found(loaded.as_ref().map_err(|nothing| &**nothing))
    }

    async fn load<T: Resource>(&self, key: Key) -> Result<Representation, Nothing> {
        if let Some(shared) = &self.shared
            && let Some(kept) = shared.find(key).await
        {
            return Ok(kept);
        }
        let found =
            self.database.find::<T>(key.id).await.map_err(|error| Nothing::Failed(Arc::new(error)))?;
        let found = found.ok_or(Nothing::Absent)?.represent();
        if let Some(shared) = &self.shared {
            shared.keep(key, &found).await;
        }
        Ok(found)
    }

    /// Begins a change of a key that has `version`; what is kept of it ends when the answer is dropped.
    pub(crate) fn change(&self, key: Key, version: i64) -> Change<'_> {
        self.slot(key).fetch_add(1, Ordering::AcqRel);
        if let Some(shared) = &self.shared {
            shared.suspect(key, version);
        }
        Change { cache: self, key }
    }

    /// Tells the shared cache, where there is one, of every change that the database has written down for it.
    ///
    /// # Errors
    /// When there is such a change, and the shared cache or the database is away.
    pub(crate) async fn tell_written_down(&self) -> anyhow::Result<()> {
        match &self.shared {
            None => Ok(()),
            Some(shared) => shared.tell_written_down(&self.database).await,
        }
    }

    /// Tells whether changes are to be written down for the shared cache.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Returns how often the shared cache was away or did not answer in time.
    pub(crate) fn failures(&self) -> u64 {
        self.shared.as_ref().map_or(0, SharedCache::failures)
    }

    fn slot(&self, key: Key) -> &AtomicU64 {
        let hash = usize::try_from(self.hasher.hash_one(key) % SLOTS as u64).unwrap_or_default();
        &self.slots[hash]
    }
}

fn found(loaded: Result<&Representation, &Nothing>) -> Result<Option<Representation>, Arc<sqlx::Error>> {
    match loaded {
        Ok(found) => Ok(Some(found.clone())),
        Err(Nothing::Absent) => Ok(None),
        Err(Nothing::Failed(error)) => Err(Arc::clone(error)),
    }
}

/// A change on its way, whatever becomes of it: an outcome that is not known may be one that holds.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    cache: &'a Cache,
    key: Key,
}

impl Change<'_> {
    /// Says that the key may have `version` from here on; a change that fails before has changed nothing.
    pub(crate) fn may_hold(&self, version: i64) {
        if let Some(shared) = &self.cache.shared {
            shared.raise(self.key, version);
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.cache.slot(self.key).fetch_add(ENDED - 1, Ordering::AcqRel);
        if let Some(shared) = &self.cache.shared {
            shared.settle(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Kind, User};

    const KEY: Key = Key { kind: Kind::User, id: 1 };

    #[tokio::test]
    async fn what_is_kept_in_the_process_lives_an_hour_or_until_a_change() {
        let database = Database::open(&Secret::new("sqlite::memory:")).await.expect("a database");
        let cache = Cache::open(database.clone(), None, &mut JoinSet::new()).expect("a cache");
        assert_eq!(cache.local.policy().time_to_live(), Some(Duration::from_secs(3_600)));
        for (reads, changes) in [(1, false), (1, false), (2, true), (2, false)] {
            if changes {
                drop(cache.change(KEY, 1));
            }
            assert!(cache.find::<User>(1).await.expect("an answer").is_some());
            assert_eq!(database.reads(), reads);
        }
        assert!(cache.find::<User>(99).await.expect("an answer").is_none());
        assert!(cache.find::<User>(99).await.expect("an answer").is_none());
        assert_eq!(database.reads(), 4, "absence is not kept");
    }

    #[tokio::test]
    async fn while_a_change_is_on_its_way_the_database_answers() {
        let database = Database::open(&Secret::new("sqlite::memory:")).await.expect("a database");
        let cache = Cache::open(database.clone(), None, &mut JoinSet::new()).expect("a cache");
        let read = async || cache.find::<User>(1).await.expect("an answer").expect("a user").body;
        let before = read().await;
        let (first, second) = (cache.change(KEY, 1), cache.change(KEY, 1));
        let rename = sqlx::query("UPDATE users SET name = 'Ada Lovelace' WHERE id = 1");
        rename.execute(database.pool()).await.expect("a change that holds");
        assert_ne!(read().await, before, "an edge may have heard of it");
        drop(first);
        let reads = database.reads();
        let _ = (read().await, read().await);
        assert_eq!(database.reads(), reads + 2, "the other one has not ended");
        drop(second);
        let _ = (read().await, read().await);
        assert_eq!(database.reads(), reads + 3, "after both it is kept again");
    }
}
