//! Where entries go: a fixed number of slots, so that the store never holds more than it may.

use serde::{Deserialize, Serialize};

/// What the bytes of one slot may be beside its content: its key in Spin's store and its seal.
pub(crate) const SLOT_OVERHEAD: u64 = 64;

/// A kind of slots, by the longest value that they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Class {
    /// The head of an entry, with the body where it is short.
    Head,
    /// The body of one entry.
    Page,
    /// A part of the body of one entry.
    Part,
}

/// How many slots of each class there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    heads: u64,
    pages: u64,
    parts: u64,
    most: u64,
}

impl Class {
    /// Most bytes of a slot's content.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Head => 16 * 1024,
            Self::Page => 128 * 1024,
            // Akamai takes values of up to 1 MB.
            Self::Part => 512 * 1024,
        }
    }

    const fn prefix(self) -> char {
        match self {
            Self::Head => 'h',
            Self::Page => 'm',
            Self::Part => 'p',
        }
    }
}

impl Layout {
    /// Divides a number of bytes: three eighths for heads, three for bodies of one slot, and two for longer ones.
    pub(crate) fn of(max_bytes: u64) -> Self {
        let slots =
            |eighths: u64, class: Class| max_bytes / 8 * eighths / (class.bytes() as u64 + SLOT_OVERHEAD);
        Self {
            heads: slots(3, Class::Head),
            pages: slots(3, Class::Page),
            parts: slots(2, Class::Part),
            most: max_bytes / 8,
        }
    }

    fn count(self, class: Class) -> u64 {
        match class {
            Class::Head => self.heads,
            Class::Page => self.pages,
            Class::Part => self.parts,
        }
    }

    /// Returns the class for a body that does not fit into its head, or `None` for one that is not stored.
    ///
    /// No body takes more than an eighth of the store, or more parts than one request may read.
    pub(crate) fn class(self, bytes: usize) -> Option<Class> {
        let class = if bytes <= Class::Page.bytes() { Class::Page } else { Class::Part };
        let slots = bytes.div_ceil(class.bytes());
        let fits = slots <= MAX_PARTS && slots as u64 <= self.count(class) && bytes as u64 <= self.most;
        fits.then_some(class)
    }

    /// Returns the two places in which the head of a key may be, the first and the second choice.
    pub(crate) fn heads(self, key: &str) -> Option<[String; 2]> {
        let (first, second) = digests(key);
        let slot = |digest: u64| self.slot(Class::Head, digest);
        Some([slot(first)?, slot(second)?])
    }

    /// Returns the place of one part of the body of a key; all parts of one body have different places.
    pub(crate) fn part(self, class: Class, key: &str, at: usize) -> Option<String> {
        self.slot(class, digests(key).0.wrapping_add(at as u64))
    }

    fn slot(self, class: Class, digest: u64) -> Option<String> {
        let at = digest.checked_rem(self.count(class))?;
        Some(format!("selvedge/{}{at}", class.prefix()))
    }
}

/// Most parts of one body, so that a request reads and writes so many values at most.
pub(crate) const MAX_PARTS: usize = 16;

/// Two numbers that say where a key is. Who chooses keys so that they meet can push entries out, as anybody can who asks for many;
/// the whole key is compared.
fn digests(key: &str) -> (u64, u64) {
    let first = spread(selvedge_core::policy::blob::fingerprint(key.as_bytes()));
    (first >> 1, spread(first) >> 1)
}

/// Spreads a number over all bits (the finisher of `SplitMix64`).
fn spread(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn full_slots_are_no_more_than_the_store_may_hold() {
        for max in [0, 1, 100_000, MIB, 5 * MIB, 64 * MIB, 2048 * MIB] {
            let layout = Layout::of(max);
            let of = |class: Class| layout.count(class) * (class.bytes() as u64 + SLOT_OVERHEAD);
            let most = of(Class::Head) + of(Class::Page) + of(Class::Part);
            assert!(most <= max, "{most} of {max}");
        }
        let layout = Layout::of(64 * MIB);
        assert_eq!((layout.heads, layout.pages, layout.parts), (1530, 191, 31));
    }

    #[test]
    fn a_body_is_stored_up_to_an_eighth_of_the_store_and_to_sixteen_parts() {
        let layout = Layout::of(64 * MIB);
        let rows = [
            (0, Some(Class::Page)),
            (128 * 1024, Some(Class::Page)),
            (128 * 1024 + 1, Some(Class::Part)),
            (8 * 1024 * 1024, Some(Class::Part)),
            (8 * 1024 * 1024 + 1, None),
        ];
        for (bytes, class) in rows {
            assert_eq!(layout.class(bytes), class, "{bytes}");
        }
        assert_eq!(Layout::of(1024 * MIB).class(8 * 1024 * 1024 + 1), None, "that is the seventeenth part");
        assert_eq!(Layout::of(MIB).class(128 * 1024), Some(Class::Page));
        assert_eq!(Layout::of(MIB).class(128 * 1024 + 1), None, "more than an eighth");
        assert_eq!(Layout::of(0).class(1), None);
        assert_eq!(Layout::of(0).heads("a"), None, "there is no place");
    }

    #[test]
    fn the_parts_of_one_body_do_not_meet() {
        let layout = Layout::of(64 * MIB);
        for key in ["a", "https://shop.example/", ""] {
            let places: BTreeSet<_> = (0..MAX_PARTS).map(|at| layout.part(Class::Part, key, at)).collect();
            assert_eq!(places.len(), MAX_PARTS, "{key}");
        }
    }

    #[test]
    fn keys_are_spread_over_the_heads() {
        let layout = Layout::of(64 * MIB);
        let places: BTreeSet<_> =
            (0..1530).filter_map(|n| layout.heads(&format!("/page/{n}"))).map(|[first, _]| first).collect();
        // Of so many at random, 63 in 100 slots are hit.
        assert!((880..1050).contains(&places.len()), "{}", places.len());
    }
}
