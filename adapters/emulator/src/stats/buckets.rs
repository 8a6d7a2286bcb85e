//! How long things took, in buckets.

use std::time::Duration;

/// Upper bounds of the buckets, in microseconds.
pub(crate) const BOUNDS_MICROS: [u64; 24] = [
    50, 100, 250, 500, 750, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 25_000, 50_000, 75_000,
    100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// A histogram with fixed bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buckets {
    /// One for each bound, and one for what is beyond.
    counts: [u64; BOUNDS_MICROS.len() + 1],
    sum_micros: u64,
}

impl Buckets {
    pub(crate) fn count(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.counts[BOUNDS_MICROS.partition_point(|bound| *bound < micros)] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to += from;
        }
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }

    /// The bounds, each with how many were not longer.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        BOUNDS_MICROS.into_iter().zip(self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((bound, *below))
        })
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn sum_micros(&self) -> u64 {
        self.sum_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_upper_bound_and_the_last_one_the_rest() {
        let mut buckets = Buckets::default();
        for micros in [50, 51, 100, 3_600_000_000] {
            buckets.count(Duration::from_micros(micros));
        }
        let mut twice = buckets.clone();
        twice.add(&buckets);
        let first: Vec<_> = twice.cumulative().take(3).collect();
        assert_eq!(first, [(50, 2), (100, 6), (250, 6)]);
        assert_eq!(twice.cumulative().last(), Some((30_000_000, 6)), "an hour is beyond every bound");
        assert_eq!((twice.total(), twice.sum_micros()), (8, 7_200_000_402));
        assert!(BOUNDS_MICROS.is_sorted());
    }
}
