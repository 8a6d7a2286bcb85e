//! A choice among backends by their weights.

use serde::{Deserialize, Serialize};

use crate::backend::BackendId;
use crate::transaction::Seed;

/// Backends, each with its share of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighted {
    /// The weights are relative; some are above zero.
    candidates: Vec<(BackendId, u32)>,
}

impl Weighted {
    /// Makes a choice; `None` when no weight is above zero.
    #[must_use]
    pub fn new(candidates: Vec<(BackendId, u32)>) -> Option<Self> {
        candidates.iter().any(|(_, weight)| *weight > 0).then_some(Self { candidates })
    }

    /// Returns every backend that can be asked, those of weight zero too.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        self.candidates.iter().map(|(id, _)| *id)
    }

    /// Returns the backend that one request asks first.
    #[must_use]
    pub fn first(&self, seed: Seed) -> BackendId {
        let total = self.candidates.iter().map(|(_, weight)| u64::from(*weight)).sum();
        self.candidates[at(&self.candidates, Draws::new(seed).below(total))].0
    }

    /// Returns the backends in the order in which one request asks them: each is drawn from those that are left, by weight, and those
    /// of weight zero come at the end.
    ///
    /// So a backend that is passed by leaves its share to the others in proportion: among any of them, whichever comes first does so as
    /// often as its weight says. It is the order of Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006), drawn
    /// in whole numbers so that every platform draws the same.
    #[must_use]
    pub fn order(&self, seed: Seed) -> Vec<BackendId> {
        let mut draws = Draws::new(seed);
        let mut left = self.candidates.clone();
        let mut order = Vec::with_capacity(left.len());
        loop {
            let total: u64 = left.iter().map(|(_, weight)| u64::from(*weight)).sum();
            if total == 0 {
                break;
            }
            order.push(left.remove(at(&left, draws.below(total))).0);
        }
        order.extend(left.into_iter().map(|(id, _)| id));
        order
    }
}

/// The place of the candidate in whose part of the whole a number lies.
fn at(candidates: &[(BackendId, u32)], number: u64) -> usize {
    let ends = candidates.iter().scan(0, |end, (_, weight)| {
        *end += u64::from(*weight);
        Some(*end)
    });
    ends.take_while(|end| *end <= number).count()
}

/// Numbers out of a seed: `SplitMix64` of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
struct Draws(u64);

impl Draws {
    fn new(seed: Seed) -> Self {
        let whole = u128::from_le_bytes(seed);
        let (low, high) = (whole as u64, (whole >> 64) as u64);
        Self(Self(low).next() ^ high)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from zero up to `end`, which it is not.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weighted(weights: &[u32]) -> Weighted {
        Weighted::new((0..).map(BackendId).zip(weights.iter().copied()).collect()).expect("some weight")
    }

    /// Seeds that differ little, as no host's do.
    fn seed(number: u64) -> Seed {
        u128::from(number).to_le_bytes()
    }

    /// How far counts are from what weights promise: the sum of squares, each by what was expected.
    fn chi_square(counts: &[u32], weights: &[u32]) -> f64 {
        let (all, total) = (f64::from(counts.iter().sum::<u32>()), f64::from(weights.iter().sum::<u32>()));
        let parts = counts.iter().zip(weights).map(|(count, weight)| {
            let expected = all * f64::from(*weight) / total;
            (f64::from(*count) - expected).powi(2) / expected
        });
        parts.sum()
    }

    #[test]
    fn numbers_are_those_that_the_generator_is_published_with() {
        let mut draws = Draws(1_234_567);
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(first.map(|_| draws.next()), first);
    }

    #[test]
    fn a_number_lies_in_the_part_of_one_candidate() {
        let candidates = [(BackendId(0), 2), (BackendId(1), 0), (BackendId(2), 1)];
        assert_eq!([0, 1, 2].map(|number| at(&candidates, number)), [0, 0, 2], "zero has no part");
    }

    #[test]
    fn shares_follow_the_weights_at_the_first_place_and_behind_any_other() {
        // 99.9 % of fair draws with 3 and 2 degrees of freedom stay below.
        const FIRST: f64 = 16.27;
        const SECOND: f64 = 13.82;
        let weights = [5, 3, 1, 1];
        let choice = weighted(&weights);
        let mut first = [0; 4];
        let mut behind = [[0; 4]; 4];
        for number in 0..40_000 {
            let order = choice.order(seed(number));
            let [one, two] = [order[0], order[1]].map(|id| usize::from(id.0));
            first[one] += 1;
            behind[one][two] += 1;
        }
        let far = chi_square(&first, &weights);
        assert!(far < FIRST, "{first:?}: {far}");
        for (down, counts) in behind.iter().enumerate() {
            let others = |all: &[u32]| -> Vec<u32> {
                all.iter().enumerate().filter(|(at, _)| *at != down).map(|(_, one)| *one).collect()
            };
            let far = chi_square(&others(counts), &others(&weights));
            assert!(far < SECOND, "behind {down}: {counts:?}: {far}");
        }
    }

    #[test]
    fn there_is_no_choice_without_a_weight() {
        assert_eq!(Weighted::new(vec![(BackendId(0), 0), (BackendId(1), 0)]), None);
        assert_eq!(Weighted::new(Vec::new()), None);
    }

    proptest! {
        #[test]
        fn every_backend_is_asked_once_and_those_of_weight_zero_last(
            weights in proptest::collection::vec(prop_oneof![Just(0), 1..=1_000_000_u32], 1..8),
            number: u64,
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let order = weighted(&weights).order(seed(number));
            prop_assert_eq!(order[0], weighted(&weights).first(seed(number)));
            let mut all = order.clone();
            all.sort();
            prop_assert_eq!(all, weighted(&weights).backends().collect::<Vec<_>>());
            let has_weight: Vec<_> = order.iter().map(|id| weights[usize::from(id.0)] > 0).collect();
            prop_assert!(has_weight.is_sorted_by(|one, next| one >= next), "{:?}", has_weight);
        }
    }
}
