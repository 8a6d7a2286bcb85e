//! An index from three consecutive bytes to the forms that contain them.
//!
//! Every form is filed under one of its trigrams: the one that the fewest other forms
//! have and that no ordinary browser sends. A scan then costs one hash and one bit
//! test a byte, and a form is compared only where its trigram stands.

use std::collections::BTreeSet;

use super::form::{Comparison, Window};
use super::table;

/// Calls `on_match` with the pattern of every form that matches, more than once perhaps and in no order.
pub(super) fn for_each_match(window: Window<'_>, mut on_match: impl FnMut(u16)) {
    let mut exhausted = BTreeSet::new();
    for (at, bytes) in window.bytes().windows(3).enumerate() {
        let trigram = trigram(bytes);
        if table::has_hash(hash(trigram)) {
            matches_around(window, at, trigram, &mut exhausted, &mut on_match);
        }
    }
}

fn matches_around(
    window: Window<'_>,
    at: usize,
    trigram: u32,
    exhausted: &mut BTreeSet<u16>,
    on_match: &mut impl FnMut(u16),
) {
    for key in table::keys(trigram) {
        let Some(start) = at.checked_sub(usize::from(key.offset)) else { continue };
        if exhausted.contains(&key.form) {
            continue;
        }
        let form = table::form(key.form);
        match form.compare(window, start) {
            Comparison::Matches => on_match(form.pattern),
            Comparison::Differs => {}
            Comparison::Exhausted => drop(exhausted.insert(key.form)),
        }
    }
}

pub(super) fn trigram(bytes: &[u8]) -> u32 {
    u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2])
}

/// Spreads a trigram over the filter by Fibonacci hashing.
pub(super) const fn hash(trigram: u32) -> usize {
    (trigram.wrapping_mul(0x9E37_79B1) >> 16) as usize
}
