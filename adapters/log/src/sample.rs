//! Which requests have a line in the log.

use std::fmt;
use std::str::FromStr;

use selvedge_core::transaction::Seed;

/// A share of all requests, chosen by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRate(u64);

/// A text that is no share of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadShare;

impl SampleRate {
    /// Every request.
    pub const ALL: Self = Self(u64::MAX);

    /// Makes a share from 0 (none) to 1 (all); `None` of any other number.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product is between 0 and 2^64, where a cast saturates"
    )]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self((share * u64::MAX as f64) as u64))
    }

    /// Whether a request is chosen; ids are evenly spread.
    #[must_use]
    pub fn has(self, id: Seed) -> bool {
        let (first, _) = id.split_first_chunk().expect("an id is longer than a number");
        self == Self::ALL || u64::from_be_bytes(*first) < self.0
    }
}

/// Reads a number from 0 to 1, such as `0.1`.
impl FromStr for SampleRate {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Self, BadShare> {
        text.parse().ok().and_then(Self::new).ok_or(BadShare)
    }
}

impl fmt::Display for BadShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no share of requests from 0 (none) to 1 (all)")
    }
}

impl std::error::Error for BadShare {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids that are spread as a generator of random numbers spreads them.
    fn ids() -> impl Iterator<Item = Seed> {
        (1..=10_000_u128)
            .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes())
    }

    #[test]
    fn a_share_chooses_as_many_by_id_and_always_the_same() {
        for (share, least, most) in
            [("0", 0, 0), ("0.1", 900, 1100), ("0.5", 4900, 5100), ("1", 10_000, 10_000)]
        {
            let rate: SampleRate = share.parse().unwrap();
            let count = ids().filter(|id| rate.has(*id)).count();
            assert!((least..=most).contains(&count), "{count} of {share}");
        }
        assert!(SampleRate::ALL.has([0xff; 16]), "all are all");
        assert!(!SampleRate::new(0.0).unwrap().has([0; 16]), "none are none");
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for no_share in ["-0.1", "1.1", "NaN", "inf", "", "all", "10%"] {
            assert_eq!(no_share.parse::<SampleRate>(), Err(BadShare), "{no_share}");
        }
    }
}
