//! The hash that buckets visitors, as GrowthBook's SDKs compute it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Which of GrowthBook's hashes an experiment uses
/// ([Build your own SDK, "Hashing"](https://docs.growthbook.io/lib/build-your-own)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashVersion {
    /// One round over identity and seed, with a thousand buckets; biased where experiments share visitors.
    V1,
    /// Two rounds over seed and identity, with ten thousand buckets.
    #[default]
    V2,
}

/// Returns the bucket of an identity, from 0 (included) to 1 (excluded).
#[must_use]
pub fn hash(seed: &str, identity: &str, version: HashVersion) -> f64 {
    match version {
        HashVersion::V1 => f64::from(fnv1a32(&[identity, seed]) % 1_000) / 1_000.0,
        HashVersion::V2 => {
            let mut first = Fnv::new();
            let mut second = Fnv::new();
            first.add(seed);
            first.add(identity);
            write!(second, "{}", first.0).expect("hashing cannot fail");
            f64::from(second.0 % 10_000) / 10_000.0
        }
    }
}

/// Returns the 32-bit FNV-1a hash of texts one after the other
/// ([RFC 9923](https://www.rfc-editor.org/rfc/rfc9923)).
#[must_use]
pub fn fnv1a32(texts: &[&str]) -> u32 {
    let mut hash = Fnv::new();
    texts.iter().for_each(|text| hash.add(text));
    hash.0
}

struct Fnv(u32);

impl Fnv {
    const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn add(&mut self, text: &str) {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    }
}

impl std::fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.add(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_gives_the_published_vectors() {
        for (text, expected) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(fnv1a32(&[text]), expected, "{text}");
        }
        assert_eq!(fnv1a32(&["foo", "bar"]), fnv1a32(&["foobar"]), "pieces hash like the whole");
    }

    #[test]
    fn each_version_is_what_its_formula_says() {
        let bucket = |hash: u32, buckets: u32| f64::from(hash % buckets) / f64::from(buckets);
        let second = fnv1a32(&[&fnv1a32(&["seedvisitor"]).to_string()]);
        assert_eq!(hash("seed", "visitor", HashVersion::V2), bucket(second, 10_000));
        assert_eq!(hash("seed", "visitor", HashVersion::V1), bucket(fnv1a32(&["visitorseed"]), 1_000));
    }

    #[test]
    fn identities_spread_evenly_over_the_buckets() {
        const BINS: usize = 100;
        const IDENTITIES: u32 = 100_000;
        let mut bins = [0_u32; BINS];
        for n in 0..IDENTITIES {
            let value = hash("spread", &format!("visitor-{n}"), HashVersion::V2);
            bins[(0..BINS).rfind(|bin| value >= *bin as f64 / BINS as f64).unwrap()] += 1;
        }
        let expected = f64::from(IDENTITIES) / BINS as f64;
        let chi_square: f64 = bins.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        assert!(
            chi_square < 149.4,
            "99.9 % of fair draws with 99 degrees of freedom stay below: {chi_square}"
        );
    }
}
