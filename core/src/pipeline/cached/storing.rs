//! Responses on their way to the store.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};

use super::turns::release;
use super::{Miss, forget_if_revoked, part_key, variant_key};
use crate::body::Body;
use crate::cache::lifetime::LifetimeSource;
use crate::cache::status::CacheStatus;
use crate::cache::store::NoStoreReason;
use crate::cache::stored::StoredResponse;
use crate::effect::{CacheEntry, CachePut, Effect, Variants};
use crate::engine::Engine;
use crate::exchange::Effects;
use crate::phase::Storing;
use crate::reason::{Reason, Rule};
use crate::transaction::Transaction;

/// How long it is known by which headers the responses of a key differ, at least: without that none of them is found, and each has a
/// lifetime of its own.
const VARIANTS_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Hands a response to the store while it is on its way to the client.
pub(super) fn store(
    engine: &Engine,
    tx: &mut Transaction,
    fx: &Effects,
    miss: &Miss,
    response: &Response<Body>,
    storing: Storing,
) {
    let (stored, keep) = match storing {
        Storing::Store(stored, keep) if engine.has_store() => (stored, keep),
        Storing::Refuse(reason) => {
            if response.status().is_success() {
                forget_if_revoked(fx, miss, &storing);
            }
            tx.note(Reason::CacheNotStored(reason), Rule::BuiltIn);
            return release(fx, miss, reason != NoStoreReason::Method);
        }
        Storing::Store(..) | Storing::Bypass => return release(fx, miss, true),
    };
    tx.note(Reason::CacheStored, Rule::BuiltIn);
    tx.cache_status = tx.cache_status.take().map(CacheStatus::stored);
    let (key, known) = match stored.status() {
        StatusCode::PARTIAL_CONTENT => (part_key(&miss.key), &miss.known.part),
        _ => (miss.key.clone(), &miss.known.whole),
    };
    let ends_turn = miss.own_turn();
    let storable = Storable { key, stored, keep, body: response.body().clone(), ends_turn };
    put_variant(fx, storable, known.as_ref());
}

/// A response on its way to the store.
struct Storable {
    key: String,
    stored: Arc<StoredResponse>,
    keep: Duration,
    body: Body,
    ends_turn: Option<String>,
}

fn put_variant(fx: &Effects, storable: Storable, known: Option<&Variants>) {
    let Storable { key, stored, keep, body, ends_turn } = storable;
    if stored.vary().is_empty() {
        let entry = CacheEntry::Response(stored, body);
        return put(fx, CachePut { key, entry, keep, ends_turn, is_body_kept: false });
    }
    let names: Arc<[_]> = stored.vary().iter().map(|header| header.name.clone()).collect();
    let (variant, since) = (variant_key(&key, stored.vary()), stored.request_time());
    let entry = CacheEntry::Response(stored, body);
    let known = known.filter(|known| known.names == names);
    let variants = CacheEntry::Variants(known.cloned().unwrap_or(Variants { names, since }));
    let for_long = keep.max(VARIANTS_TIME);
    // Whoever waits for the turn to end has to find that there are variants.
    put(fx, CachePut { key, entry: variants, keep: for_long, ends_turn: None, is_body_kept: false });
    put(fx, CachePut { key: variant, entry, keep, ends_turn, is_body_kept: false });
}

pub(super) fn put(fx: &Effects, put: CachePut) {
    fx.detach(Effect::CachePut(Box::new(put)));
}

/// Stores a response to a `POST` for the `GET` that it answers too, and returns its key. Only the origin's own word makes it fresh,
/// [RFC 9110 section 9.3.3](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.3).
pub(in crate::pipeline) fn store_answered(
    engine: &Engine,
    tx: &mut Transaction,
    get: &Transaction,
    fx: &Effects,
    response: &Response<Body>,
) -> Option<String> {
    let key = engine.cache_key(get)?;
    // It is newer than what its own request invalidates.
    let now = fx.now();
    let sent = now + Duration::from_millis(1);
    let storing = engine.storing_of(get, response.status(), response.headers(), sent, now);
    let Storing::Store(stored, keep) = storing else { return None };
    match stored.lifetimes().source {
        LifetimeSource::Targeted
        | LifetimeSource::SurrogateControl
        | LifetimeSource::CacheControl
        | LifetimeSource::Expires => {}
        LifetimeSource::Rule
        | LifetimeSource::Negative
        | LifetimeSource::Heuristic
        | LifetimeSource::Validation => return None,
    }
    tx.note(Reason::CacheStored, Rule::BuiltIn);
    let body = response.body().clone();
    let storable = Storable { key: key.clone(), stored, keep, body, ends_turn: None };
    put_variant(fx, storable, None);
    Some(key)
}
