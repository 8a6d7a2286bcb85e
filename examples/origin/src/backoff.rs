//! Waits between tries that grow and differ, so that many who wait do not come back at once.

use std::time::Duration;

/// The first wait, before chance shortens it.
const FIRST: Duration = Duration::from_millis(100);

/// Doublings after which a wait cannot grow: more than a year.
const MAX_DOUBLINGS: u32 = 28;

/// The waits of one who tries again and again.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// Begins anew; no wait is longer than `longest`.
    pub(crate) fn up_to(longest: Duration) -> Self {
        Self { longest, tries: 0 }
    }

    /// Begins anew after a success.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    /// Waits before the next try.
    pub(crate) async fn wait(&mut self) {
        // Without randomness the waits are merely the longest ones.
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        tokio::time::sleep(self.next(chance)).await;
    }

    /// Between half of the doubled wait and all of it.
    fn next(&mut self, chance: u32) -> Duration {
        let doubled = FIRST * (1 << self.tries.min(MAX_DOUBLINGS));
        self.tries = self.tries.saturating_add(1);
        let whole = doubled.min(self.longest);
        whole / 2 + (whole / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew_after_a_success() {
        let mut backoff = Backoff::up_to(Duration::from_secs(1));
        let waits: Vec<_> = (0..6).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::from_millis(50), "chance takes up to a half");
        let _ = (0..100).map(|_| backoff.next(0)).count();
        assert_eq!(backoff.next(0), Duration::from_millis(500), "no number of tries is too many");
    }
}
