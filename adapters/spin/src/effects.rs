//! Performs what the core asks for.

use std::future::{Future, ready};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::effect::{
    CacheEntry, CachePut, Effect, EffectResult, Fetch, FetchError, ReadBodyError, Record, StoreError,
};
use selvedge_core::host::{Host, Performing};
use selvedge_core::time::Timestamp;
use selvedge_log::request::Seen;

use crate::body::Bodies;
use crate::component::{Component, now, seed};
use crate::fetch::{fetch, within};

/// Longest wait for a body that the core reads.
const READ_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// One exchange's host.
#[derive(Clone)]
pub(crate) struct EdgeHost {
    component: Rc<Component>,
    bodies: Rc<Bodies>,
    /// What the access log tells of the effects, where there is one.
    seen: Option<Rc<Seen>>,
}

impl EdgeHost {
    pub(crate) fn new(component: Rc<Component>, bodies: Rc<Bodies>, seen: Option<Rc<Seen>>) -> Self {
        Self { component, bodies, seen }
    }

    async fn fetch(self, request: Fetch) -> EffectResult {
        let _waits = self.seen.as_ref().map(|seen| seen.origin.begin());
        EffectResult::Fetch(fetch(request, &self.bodies).await)
    }

    async fn cache_get(self, key: String) -> EffectResult {
        let _waits = self.seen.as_ref().map(|seen| seen.cache.begin());
        EffectResult::CacheGet(self.component.store.get(&key).await)
    }

    fn record(&self, record: &Record) {
        if let (Some(seen), Record::Exposure { experiment, variation, .. }) = (&self.seen, record) {
            seen.on_exposure(experiment, variation);
        }
        selvedge_log::write_record(record);
    }

    /// A body that streams is stored by its reader, so there is nothing to wait for.
    fn cache_put(self, put: CachePut) -> Performing {
        let body = match &put.entry {
            CacheEntry::Response(_, Body::Host(handle)) => {
                self.bodies.store(*handle, put);
                return done(EffectResult::CachePut);
            }
            CacheEntry::Response(_, Body::Bytes(bytes)) => bytes.clone(),
            CacheEntry::Response(_, Body::Empty) | CacheEntry::Variants(_) => Bytes::new(),
        };
        perform(async move {
            self.component.store.put(put, body, now(), seed()).await;
            EffectResult::CachePut
        })
    }

    fn read_body(self, body: BodyHandle, limit: usize) -> Performing {
        let Some(body) = self.bodies.take(body) else {
            return done(EffectResult::ReadBody(Err(ReadBodyError::Broken)));
        };
        perform(async move {
            let whole = within(READ_BODY_TIMEOUT, body.read().whole(limit)).await;
            EffectResult::ReadBody(whole.unwrap_or(Err(ReadBodyError::Broken)))
        })
    }
}

impl Host for EdgeHost {
    fn now(&self) -> Timestamp {
        now()
    }

    fn perform(&self, effect: Effect) -> Performing {
        let host = self.clone();
        match effect {
            Effect::Fetch(request) => perform(host.fetch(*request)),
            Effect::CacheGet { key } => perform(host.cache_get(key)),
            Effect::CachePut(put) => host.cache_put(*put),
            Effect::CachePurge(purge) => perform(async move {
                for key in &purge.keys {
                    host.component.store.remove(key).await;
                }
                EffectResult::CachePurge
            }),
            // What is stored is in memory when it is served.
            Effect::SliceBody { .. } => done(EffectResult::SliceBody(None)),
            Effect::KvGet { key } => {
                perform(async move { EffectResult::KvGet(host.component.store.value(&key).await) })
            }
            Effect::KvPut { key, value } => {
                perform(async move { EffectResult::KvPut(host.component.store.set_value(&key, value).await) })
            }
            Effect::ReadBody { body, limit } => host.read_body(body, limit),
            Effect::Sleep { time } => perform(async move {
                within(time, std::future::pending::<()>()).await;
                EffectResult::Sleep
            }),
            Effect::Record(record) => {
                self.record(&record);
                done(EffectResult::Record)
            }
            // Nothing in Spin adds to a number without losing what another adds meanwhile, and nothing keeps messages.
            Effect::Count { .. } => done(EffectResult::Count(Err(StoreError))),
            Effect::Enqueue { .. } => done(EffectResult::Enqueue(Err(StoreError))),
            // Nobody is asked to wait here. The core takes a result of another kind for a failure.
            Effect::CacheWait { .. } | Effect::CacheRelease { .. } | Effect::Cancel { .. } | _ => {
                done(EffectResult::Fetch(Err(FetchError::Protocol)))
            }
        }
    }
}

fn perform(effect: impl Future<Output = EffectResult> + 'static) -> Performing {
    Box::pin(effect)
}

fn done(result: EffectResult) -> Performing {
    Box::pin(ready(result))
}
