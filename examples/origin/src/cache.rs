//! Users and products as they are sent, kept in the process or in Redis.
//!
//! Each key belongs to a slot, and each slot counts the changes of its keys. What is kept is kept under the count that
//! held before the database was asked, and looked for under the count that holds when a request comes: so nothing that
//! was read before a change is found after it, however late the reader kept it. Whoever tells edges of a change waits until
//! it is counted.

mod shared;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};
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

/// The cache in front of the database; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    database: Database,
    /// With a shared cache nothing stays here: it only lets requests for the same wait for one answer.
    local: moka::future::Cache<(Key, u64), Representation>,
    slots: Arc<[AtomicU64]>,
    /// Held by every change from its commit until it is counted.
    commits: Arc<RwLock<()>>,
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
        Ok(Self { database, local, slots, commits: Arc::default(), hasher: RandomState::new(), shared })
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
        let place = (key, self.slot(key).load(Ordering::Acquire));
        if let Some(kept) = self.local.get(&place).await {
            return Ok(Some(kept));
        }
        match self.local.try_get_with(place, self.load::<T>(key)).await {
            Ok(found) => Ok(Some(found)),
            Err(nothing) => match &*nothing {
                Nothing::Absent => Ok(None),
                Nothing::Failed(error) => Err(Arc::clone(error)),
            },
        }
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
        if let Some(shared) = &self.shared {
            shared.suspect(key, version);
        }
        Change { cache: self, key, _commit: None }
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

    /// Returns when every change is counted that this origin has committed by now.
    pub(crate) async fn settled(&self) {
        drop(self.commits.write().await);
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

/// A change on its way, whatever becomes of it: an outcome that is not known may be one that holds.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    cache: &'a Cache,
    key: Key,
    /// Given back after the change is counted.
    _commit: Option<OwnedRwLockReadGuard<()>>,
}

impl Change<'_> {
    /// Says that the key may have `version` from here on; a change that fails before has changed nothing.
    pub(crate) async fn may_hold(&mut self, version: i64) {
        self._commit = Some(Arc::clone(&self.cache.commits).read_owned().await);
        if let Some(shared) = &self.cache.shared {
            shared.raise(self.key, version);
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.cache.slot(self.key).fetch_add(1, Ordering::Release);
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
    async fn whoever_tells_of_a_change_waits_until_it_is_counted() {
        let database = Database::open(&Secret::new("sqlite::memory:")).await.expect("a database");
        let cache = Cache::open(database, None, &mut JoinSet::new()).expect("a cache");
        let is_settled = async || tokio::time::timeout(Duration::ZERO, cache.settled()).await.is_ok();
        let mut change = cache.change(KEY, 1);
        assert!(is_settled().await, "a change that is not committed is waited for by nobody");
        change.may_hold(2).await;
        assert!(!is_settled().await, "it may hold, and is not counted");
        drop(change);
        assert!(is_settled().await);
    }
}
