//! Counters in fixed windows, for rate limits.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use selvedge_core::effect::StoreError;
use selvedge_core::time::Timestamp;

/// A bounded set of counters.
///
/// A counter lives until its window ends. When there is no room for a new one,
/// the one whose window ends first makes room.
#[derive(Debug)]
pub(crate) struct Counters {
    max_counters: usize,
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    counts: HashMap<Arc<str>, Window>,
    by_end: BTreeSet<(u64, Arc<str>)>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    end_millis: u64,
    count: u64,
}

impl Counters {
    pub(crate) fn new(max_counters: usize) -> Self {
        Self { max_counters: max_counters.max(1), windows: Mutex::default() }
    }

    /// Counts one and returns the count within the window that holds `now`.
    pub(crate) fn count(&self, key: &str, window: Duration, now: Timestamp) -> Result<u64, StoreError> {
        let end_millis = window_end(window, now).ok_or(StoreError)?;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.drop_ended(now);
        Ok(windows.add(key, end_millis, self.max_counters))
    }
}

impl Windows {
    fn add(&mut self, key: &str, end_millis: u64, max_counters: usize) -> u64 {
        match self.counts.get_mut(key) {
            Some(window) if window.end_millis == end_millis => {
                window.count = window.count.saturating_add(1);
                window.count
            }
            Some(_) | None => {
                self.remove(key);
                self.make_room(max_counters);
                self.insert(key.into(), end_millis);
                1
            }
        }
    }

    fn insert(&mut self, key: Arc<str>, end_millis: u64) {
        self.by_end.insert((end_millis, Arc::clone(&key)));
        self.counts.insert(key, Window { end_millis, count: 1 });
    }

    fn remove(&mut self, key: &str) {
        if let Some((key, window)) = self.counts.remove_entry(key) {
            self.by_end.remove(&(window.end_millis, key));
        }
    }

    fn make_room(&mut self, max_counters: usize) {
        while self.counts.len() >= max_counters {
            let Some((_, key)) = self.by_end.pop_first() else { break };
            self.counts.remove(&key);
        }
    }

    fn drop_ended(&mut self, now: Timestamp) {
        while self.by_end.first().is_some_and(|(end, _)| *end <= now.as_millis()) {
            let Some((_, key)) = self.by_end.pop_first() else { break };
            self.counts.remove(&key);
        }
    }
}

/// `None` for a window without length.
fn window_end(window: Duration, now: Timestamp) -> Option<u64> {
    let length = u64::try_from(window.as_millis()).ok()?;
    let begin = now.as_millis() / length.max(1) * length;
    (length > 0).then(|| begin.saturating_add(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn windows_are_aligned_to_the_epoch() {
        let counters = Counters::new(10);
        assert_eq!(counters.count("a", MINUTE, at(59_998)), Ok(1));
        assert_eq!(counters.count("a", MINUTE, at(59_999)), Ok(2), "the last instant of the first minute");
        assert_eq!(counters.count("a", MINUTE, at(60_000)), Ok(1), "the second minute begins");
        assert_eq!(counters.count("b", MINUTE, at(60_000)), Ok(1), "each key counts for itself");
    }

    #[test]
    fn a_window_without_length_is_an_error() {
        assert_eq!(Counters::new(1).count("a", Duration::ZERO, at(1)), Err(StoreError));
        assert_eq!(
            Counters::new(1).count("a", Duration::from_micros(1), at(1)),
            Err(StoreError),
            "below a millisecond"
        );
    }

    #[test]
    fn the_counter_that_ends_first_makes_room_for_a_new_one() {
        let counters = Counters::new(2);
        let hour = Duration::from_secs(3600);
        assert_eq!(counters.count("long", hour, at(0)), Ok(1));
        assert_eq!(counters.count("short", MINUTE, at(0)), Ok(1));
        assert_eq!(counters.count("new", MINUTE, at(1)), Ok(1), "pushes `short` out");
        assert_eq!(counters.count("long", hour, at(2)), Ok(2), "`long` was kept");
        assert_eq!(counters.windows.lock().unwrap().counts.len(), 2, "the bound holds");
    }

    #[test]
    fn ended_counters_are_dropped() {
        let counters = Counters::new(100);
        for key in ["a", "b", "c"] {
            assert_eq!(counters.count(key, MINUTE, at(0)), Ok(1));
        }
        assert_eq!(counters.count("d", MINUTE, at(60_000)), Ok(1));
        let windows = counters.windows.lock().unwrap();
        assert_eq!((windows.counts.len(), windows.by_end.len()), (1, 1), "only `d` is live");
    }
}
