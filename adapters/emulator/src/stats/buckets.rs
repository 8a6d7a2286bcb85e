//! How long things took, in buckets.

use std::time::Duration;

/// Upper bounds of the buckets, in microseconds: the preferred numbers E6, each at most one and a half of the one before, so that a
/// quantile is told to within as much.
pub(crate) const BOUNDS_MICROS: [u64; 34] = [
    47, 68, 100, 150, 220, 330, 470, 680, 1_000, 1_500, 2_200, 3_300, 4_700, 6_800, 10_000, 15_000, 22_000,
    33_000, 47_000, 68_000, 100_000, 150_000, 220_000, 330_000, 470_000, 680_000, 1_000_000, 1_500_000,
    2_200_000, 3_300_000, 4_700_000, 6_800_000, 10_000_000, 30_000_000,
];

/// A histogram with fixed bounds.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    /// One for each bound, and one for what is beyond.
    counts: [u64; BOUNDS_MICROS.len() + 1],
    sum_micros: u64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { counts: [0; BOUNDS_MICROS.len() + 1], sum_micros: 0 }
    }
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
        for micros in [47, 48, 68, 3_600_000_000] {
            buckets.count(Duration::from_micros(micros));
        }
        let mut twice = buckets.clone();
        twice.add(&buckets);
        let first: Vec<_> = twice.cumulative().take(3).collect();
        assert_eq!(first, [(47, 2), (68, 6), (100, 6)]);
        assert_eq!(twice.cumulative().last(), Some((30_000_000, 6)), "an hour is beyond every bound");
        assert_eq!((twice.total(), twice.sum_micros()), (8, 7_200_000_326));
    }

    #[test]
    fn bounds_are_fine_from_50_microseconds_to_10_seconds() {
        let fine: Vec<u64> = BOUNDS_MICROS.into_iter().take_while(|bound| *bound <= 10_000_000).collect();
        assert!(fine[0] <= 50 && fine.last() == Some(&10_000_000), "{fine:?}");
        for pair in fine.windows(2) {
            assert!(pair[0] < pair[1] && 2 * pair[1] <= 3 * pair[0], "{pair:?}");
        }
        assert!(BOUNDS_MICROS.is_sorted());
    }
}
