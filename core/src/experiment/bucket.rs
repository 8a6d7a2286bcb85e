//! From a bucket to a variation: coverage, weights and namespaces.

use serde::{Deserialize, Serialize};

use super::hash::{HashVersion, hash};

/// A range of a namespace. Experiments whose ranges do not overlap share no visitor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Namespace {
    /// Name of the namespace.
    pub id: String,
    /// Start of the range, included.
    pub start: f64,
    /// End of the range, excluded.
    pub end: f64,
}

impl Namespace {
    /// Returns whether an identity lies in the range.
    #[must_use]
    pub fn contains(&self, identity: &str) -> bool {
        let at = hash(&format!("__{}", self.id), identity, HashVersion::V1);
        (self.start..self.end).contains(&at)
    }
}

/// Returns the range of buckets of each variation.
///
/// Each starts where the weights before it end and spans `coverage` of its own
/// weight, so that more coverage only ever adds visitors. `coverage` is clamped
/// to 0..=1; weights are relative.
#[must_use]
pub fn ranges(coverage: f64, weights: &[f64]) -> Vec<(f64, f64)> {
    let coverage = coverage.clamp(0.0, 1.0);
    let total: f64 = weights.iter().sum();
    let mut start = 0.0;
    let range = |weight: &f64| {
        let (from, share) = (start, weight / total);
        start += share;
        (from, from + coverage * share)
    };
    weights.iter().map(range).collect()
}

/// Returns the place of the range that holds a bucket, start included and end excluded.
#[must_use]
pub fn choose(bucket: f64, ranges: &[(f64, f64)]) -> Option<usize> {
    ranges.iter().position(|(start, end)| (*start..*end).contains(&bucket))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_start_at_the_weights_before_and_span_their_coverage() {
        assert_eq!(ranges(1.0, &[50.0, 25.0, 25.0]), [(0.0, 0.5), (0.5, 0.75), (0.75, 1.0)]);
        assert_eq!(ranges(0.5, &[1.0, 1.0]), [(0.0, 0.25), (0.5, 0.75)]);
        assert_eq!(ranges(7.0, &[1.0]), [(0.0, 1.0)], "coverage is at most all");
    }

    #[test]
    fn ends_are_excluded() {
        let ranges = ranges(0.5, &[1.0, 1.0]);
        for (bucket, expected) in
            [(0.0, Some(0)), (0.25, None), (0.5, Some(1)), (0.7499, Some(1)), (0.75, None)]
        {
            assert_eq!(choose(bucket, &ranges), expected, "{bucket}");
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        let (ranges, visitors) = (ranges(1.0, &[50.0, 25.0, 25.0]), 100_000);
        let mut counts = [0_u32; 3];
        for n in 0..visitors {
            let bucket = hash("hero", &format!("visitor-{n}"), HashVersion::V2);
            counts[choose(bucket, &ranges).expect("full coverage leaves nobody out")] += 1;
        }
        for (count, share) in counts.iter().zip([0.5, 0.25, 0.25]) {
            let got = f64::from(*count) / f64::from(visitors);
            assert!((got - share).abs() < 0.01, "{got} is within one percent of {share}");
        }
    }

    #[test]
    fn namespaces_that_do_not_overlap_share_nobody() {
        let half = |start, end| Namespace { id: "checkout".to_owned(), start, end };
        let (low, high) = (half(0.0, 0.5), half(0.5, 1.0));
        for n in 0..1_000 {
            let visitor = format!("visitor-{n}");
            assert!(low.contains(&visitor) != high.contains(&visitor), "{visitor} is in exactly one half");
        }
    }

    proptest! {
        #[test]
        fn more_coverage_moves_nobody_who_was_in(
            bucket in 0.0..1.0,
            low in 0.0..1.0,
            more in 0.0..1.0,
            weights in proptest::collection::vec(0.0..10.0, 2..6),
        ) {
            prop_assume!(weights.iter().sum::<f64>() > 0.0);
            let before = choose(bucket, &ranges(low, &weights));
            let after = choose(bucket, &ranges(low + (1.0 - low) * more, &weights));
            if before.is_some() {
                prop_assert_eq!(before, after);
            }
        }

        #[test]
        fn a_weight_of_zero_is_never_chosen(bucket in 0.0..1.0, weight in 0.1..10.0) {
            prop_assert_ne!(choose(bucket, &ranges(1.0, &[weight, 0.0, weight])), Some(1));
        }
    }
}
