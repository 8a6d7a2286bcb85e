//! What the core asks of the cache store.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::effect::{CacheEntry, CachePurge, CachePut, EffectResult};
use selvedge_core::host::Performing;
use tokio::task::spawn_blocking;

use crate::body::{Bodies, HostBody};
use crate::disk_body::DiskBody;
use crate::effects::{EdgeHost, done};
use crate::store::disk::DiskEntry;
use crate::store::{DiskPut, Store};
use crate::tee::Storing;
use crate::turns::TurnGuard;

impl EdgeHost {
    /// Looks in memory and then, if there is something to find, in the folder.
    pub(crate) fn cache_get(&self, key: String) -> Performing {
        let store = &self.worker.shared.store;
        let waits = self.sight.seen.cache.begin();
        let entry = store.get(&key);
        if entry.is_some() || !store.may_be_on_disk(&key) {
            return done(EffectResult::CacheGet(entry));
        }
        let (store, bodies) = (Arc::clone(store), self.bodies.clone());
        Box::pin(async move {
            let found = spawn_blocking(move || store.get_from_disk(key)).await.ok().flatten();
            drop(waits);
            EffectResult::CacheGet(found.map(|entry| hand_out(&bodies, entry)))
        })
    }

    /// A body that streams is stored by its reader, so there is nothing to wait for.
    pub(crate) fn cache_put(&self, put: CachePut) -> Performing {
        let store = Arc::clone(&self.worker.shared.store);
        let turn = put.ends_turn.as_deref().and_then(|key| self.held.take(key));
        match put {
            CachePut {
                entry: CacheEntry::Response(head, Body::Host(body)),
                key,
                keep,
                is_body_kept: true,
                ..
            } => {
                let Some(body) = self.bodies.stored(body) else { return done(EffectResult::CachePut) };
                return Box::pin(async move {
                    let put = DiskPut { key, head, keep };
                    // A panic has reported itself, and an entry may always be missing.
                    let _ = spawn_blocking(move || store.replace_head(put, body)).await;
                    drop(turn);
                    EffectResult::CachePut
                });
            }
            CachePut { entry: CacheEntry::Response(_, Body::Host(body)), .. } => {
                self.store_stream(store, body, put, turn);
            }
            put if store.puts_to_disk(&put) => {
                return Box::pin(async move {
                    let _ = spawn_blocking(move || store.put(put)).await;
                    drop(turn);
                    EffectResult::CachePut
                });
            }
            put => store.put(put),
        }
        done(EffectResult::CachePut)
    }

    /// Writes a purge down, or forgets what it names by key alone.
    pub(crate) fn cache_purge(&self, purge: CachePurge) -> Performing {
        let store = Arc::clone(&self.worker.shared.store);
        let CachePurge { purges, manner, at, keys } = purge;
        store.purge(&purges, manner, at);
        if !purges.is_empty() && store.disk().is_none() {
            return done(EffectResult::CachePurge);
        }
        Box::pin(async move {
            let _ = spawn_blocking(move || match &*purges {
                [] => keys.iter().for_each(|key| store.remove(key)),
                purges => store.keep_purges(purges, manner, at),
            })
            .await;
            EffectResult::CachePurge
        })
    }

    pub(crate) fn cache_wait(&self, key: String, wait: Duration) -> Performing {
        let (turns, held) = (Arc::clone(&self.worker.shared.turns), Rc::clone(&self.held));
        Box::pin(async move {
            let (turn, guard) = turns.wait(key, wait).await;
            guard.into_iter().for_each(|guard| held.keep(guard));
            EffectResult::CacheWait(turn)
        })
    }

    pub(crate) fn cache_release(&self, key: &str, is_futile: bool) -> Performing {
        match self.held.take(key) {
            Some(turn) if is_futile => turn.end_in_vain(),
            turn => drop(turn),
        }
        done(EffectResult::CacheRelease)
    }

    /// Only stored bodies are cut, and only those on disk stay with the host.
    pub(crate) fn slice_body(&self, body: BodyHandle, start: u64, length: u64) -> Performing {
        let part = self.bodies.take(body).and_then(|body| match body {
            HostBody::Disk(body) => body.range(start, length),
            HostBody::Client(_) | HostBody::Backend(_) | HostBody::Stored(_) | HostBody::Again(_) => None,
        });
        let part = part.map(|part| self.bodies.keep(HostBody::Disk(part)));
        done(EffectResult::SliceBody(part))
    }

    fn store_stream(&self, store: Arc<Store>, body: BodyHandle, put: CachePut, turn: Option<TurnGuard>) {
        let CachePut { key, entry, keep, .. } = put;
        let CacheEntry::Response(head, _) = entry else { return };
        let disk = (store.disk().is_some() && !keep.is_zero()).then(|| DiskPut {
            key: key.clone(),
            head: Arc::clone(&head),
            keep,
        });
        let into = Arc::clone(&store);
        let put = move |body: Bytes| {
            let entry = CacheEntry::Response(head, Body::from(body));
            let put = CachePut { key, entry, keep, ends_turn: None, is_body_kept: false };
            if into.puts_to_disk(&put) {
                spawn_blocking(move || into.put(put));
            } else {
                into.put(put);
            }
        };
        self.bodies.store(body, Storing { store, put: Box::new(put), disk, turn });
    }
}

fn hand_out(bodies: &Bodies, entry: DiskEntry) -> CacheEntry {
    match entry {
        DiskEntry::Response(head, body) => {
            CacheEntry::Response(head, bodies.keep(HostBody::Disk(DiskBody::new(body))))
        }
        DiskEntry::Variants { variants, .. } => CacheEntry::Variants(variants),
    }
}
