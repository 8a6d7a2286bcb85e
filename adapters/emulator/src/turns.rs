//! Whose turn it is to fetch what several requests want.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use selvedge_core::effect::Turn;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long nobody waits for a key of which nothing could be stored.
const FUTILE_TIME: Duration = Duration::from_secs(10);

/// Keys of which that is remembered, at most.
const MAX_FUTILE: u64 = 10_000;

/// The turns of all threads, by key.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Those who wait for a key's turn to end; their channels close then.
    taken: Mutex<HashMap<String, Vec<oneshot::Sender<()>>>>,
    futile: Cache<String, ()>,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct TurnGuard {
    turns: Arc<Turns>,
    key: String,
}

/// The turns of one exchange that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Held {
    guards: RefCell<Vec<TurnGuard>>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let futile = Cache::builder().max_capacity(MAX_FUTILE).time_to_live(FUTILE_TIME).build();
        Self { taken: Mutex::default(), futile }
    }

    /// Takes the turn, or waits until it ends.
    pub(crate) async fn wait(self: &Arc<Self>, key: String, wait: Duration) -> (Turn, Option<TurnGuard>) {
        if self.futile.contains_key(&key) {
            return (Turn::Alone, None);
        }
        let ended = {
            let mut taken = self.taken();
            let Some(waiting) = taken.get_mut(&key) else {
                taken.insert(key.clone(), Vec::new());
                return (Turn::First, Some(TurnGuard { turns: Arc::clone(self), key }));
            };
            if wait.is_zero() {
                return (Turn::Alone, None);
            }
            // Who has given up waiting is in nobody's way.
            waiting.retain(|other| !other.is_closed());
            let (sender, ended) = oneshot::channel();
            waiting.push(sender);
            ended
        };
        let is_over = timeout(wait, ended).await.is_ok();
        let is_futile = self.futile.contains_key(&key);
        (if is_over && !is_futile { Turn::Over } else { Turn::Alone }, None)
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, Vec<oneshot::Sender<()>>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub(crate) fn keep(&self, guard: TurnGuard) {
        self.guards.borrow_mut().push(guard);
    }

    /// Hands a turn out to whatever ends it.
    pub(crate) fn take(&self, key: &str) -> Option<TurnGuard> {
        let mut guards = self.guards.borrow_mut();
        let at = guards.iter().position(|guard| guard.key == key)?;
        Some(guards.swap_remove(at))
    }
}

impl TurnGuard {
    /// Ends the turn of a key of which nothing can be stored.
    pub(crate) fn end_in_vain(self) {
        self.turns.futile.insert(self.key.clone(), ());
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        self.turns.taken().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn turns() -> Arc<Turns> {
        Arc::new(Turns::new())
    }

    #[tokio::test(start_paused = true)]
    async fn one_goes_first_and_the_others_wait_until_its_turn_is_over() {
        let turns = turns();
        let (first, guard) = turns.wait("a".into(), LONG).await;
        assert_eq!(first, Turn::First);
        let others = join_all((0..1000).map(|_| turns.wait("a".into(), LONG)));
        let end = async { drop(guard) };
        let (others, ()) = tokio::join!(others, end);
        assert!(others.iter().all(|(turn, guard)| *turn == Turn::Over && guard.is_none()));
        assert_eq!(turns.wait("a".into(), LONG).await.0, Turn::First, "the next turn begins");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_another_key_beyond_the_bound_or_in_vain() {
        let turns = turns();
        let (_, guard) = turns.wait("a".into(), LONG).await;
        assert_eq!(turns.wait("b".into(), LONG).await.0, Turn::First);
        assert_eq!(turns.wait("a".into(), Duration::ZERO).await.0, Turn::Alone);
        assert_eq!(
            turns.wait("a".into(), Duration::from_secs(5)).await.0,
            Turn::Alone,
            "the wait is bounded"
        );
        let waiting = turns.wait("a".into(), LONG);
        let end = async { guard.expect("the first turn").end_in_vain() };
        let (waited, ()) = tokio::join!(waiting, end);
        assert_eq!(waited.0, Turn::Alone, "all go at once");
        assert_eq!(turns.wait("a".into(), LONG).await.0, Turn::Alone, "and so do those who come soon after");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_gave_up_take_no_room() {
        let turns = turns();
        let (_, guard) = turns.wait("a".into(), LONG).await;
        for _ in 0..100 {
            turns.wait("a".into(), Duration::from_millis(1)).await;
        }
        assert_eq!(turns.taken().get("a").map(Vec::len), Some(1), "the last one is seen by the next");
        drop(guard);
        assert!(turns.taken().is_empty());
    }
}
