//! How long a place took for its last answers.

use std::time::Duration;

/// How many answers are remembered.
const ANSWERS: usize = 128;

/// How many there must be for a percentile.
const LEAST: usize = 20;

/// The times of the last answers, in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    times: Vec<u32>,
    next: usize,
}

impl Latency {
    pub(super) fn note(&mut self, time: Duration) {
        let time = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        if self.times.len() < ANSWERS {
            self.times.push(time);
        } else {
            self.times[self.next] = time;
            self.next = (self.next + 1) % ANSWERS;
        }
    }

    /// The time that so many percent of the answers took at most (nearest rank); `None` when there were too few.
    pub(super) fn percentile(&self, percent: u32) -> Option<Duration> {
        if self.times.len() < LEAST {
            return None;
        }
        let rank = (self.times.len() * percent.min(100) as usize).div_ceil(100).max(1);
        let mut times = self.times.clone();
        let (_, time, _) = times.select_nth_unstable(rank - 1);
        Some(Duration::from_micros(u64::from(*time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_that_of_the_last_answers() {
        let mut latency = Latency::default();
        let millis = Duration::from_millis;
        for time in 1..LEAST as u64 {
            latency.note(millis(time));
        }
        assert_eq!(latency.percentile(50), None);
        latency.note(millis(20));
        for (percent, expected) in [(50, 10), (95, 19), (96, 20), (100, 20), (1, 1), (5, 1), (6, 2)] {
            assert_eq!(latency.percentile(percent), Some(millis(expected)), "{percent}");
        }
        (0..ANSWERS).for_each(|_| latency.note(millis(7)));
        assert_eq!(latency.percentile(100), Some(millis(7)), "older ones are forgotten");
        assert_eq!(latency.times.len(), ANSWERS);
    }
}
