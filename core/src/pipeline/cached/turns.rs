//! Waiting for others that fetch the same thing.

use std::time::Duration;

use http::{Method, header};

use super::{Miss, variant_key};
use crate::cache::range;
use crate::cache::vary::select;
use crate::effect::{Effect, EffectResult, EffectSpan, Turn};
use crate::engine::Engine;
use crate::exchange::Effects;
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// Longest wait for another request that fetches the same thing.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What came of waiting for others that fetch the same thing.
#[derive(Clone)]
pub(super) struct Waited {
    /// The key whose turn was waited for.
    pub(super) key: String,
    pub(super) turn: Turn,
    /// When the request for the stale response left that was there before.
    pub(super) stale: Option<Timestamp>,
}

impl Waited {
    /// Whether there is nothing more to wait for: only who learnt meanwhile that there are variants waits for its own.
    pub(super) fn is_last(&self, key: &str) -> bool {
        self.turn != Turn::Over || self.key == key
    }
}

impl Miss {
    pub(super) fn turn(&self) -> Option<Turn> {
        self.waited.as_ref().map(|waited| waited.turn)
    }

    /// The key of the turn that this exchange has.
    pub(super) fn own_turn(&self) -> Option<String> {
        let waited = self.waited.as_ref().filter(|waited| waited.turn == Turn::First)?;
        Some(waited.key.clone())
    }

    /// Whether another exchange tried in place of this one, and nothing came of it.
    pub(super) fn has_failed_for_another(&self) -> bool {
        let stale = self.stale.as_ref().map(|stored| stored.head.request_time());
        let is_same = |waited: &Waited| waited.turn == Turn::Over && waited.stale == stale;
        stale.is_some() && self.waited.as_ref().is_some_and(is_same)
    }
}

/// Only requests that the same stored response would answer wait for one another.
pub(super) fn may_wait(engine: &Engine, tx: &Transaction) -> bool {
    engine.collapses()
        && engine.has_store()
        && tx.request.method() == Method::GET
        && !range::is_wanted(tx.request.headers())
        && !tx.request.headers().contains_key(header::AUTHORIZATION)
}

/// What is waited for: the variant, where it is known that there are some.
pub(super) fn turn_key(engine: &Engine, tx: &Transaction, miss: &Miss) -> String {
    let variants = miss.known.whole.as_ref();
    variants.map_or_else(
        || miss.key.clone(),
        |variants| variant_key(&miss.key, &select(&variants.names, &engine.selecting_headers(tx))),
    )
}

pub(super) async fn wait(fx: &Effects, key: &str, wait: Duration) -> Turn {
    let effect = Effect::CacheWait { key: key.to_owned(), wait };
    let result = fx.perform(effect, EffectSpan::BeforeResponse).await;
    let EffectResult::CacheWait(turn) = result else { return Turn::Alone };
    turn
}

/// Ends this request's turn, if it has one, when nothing is stored.
pub(super) fn release(fx: &Effects, miss: &Miss, is_futile: bool) {
    if let Some(key) = miss.own_turn() {
        fx.detach(Effect::CacheRelease { key, is_futile });
    }
}
