//! An index from three consecutive bytes to the forms that contain them.
//!
//! Every form is filed under one of its trigrams: the one that the fewest other forms
//! have and that no ordinary browser sends. A scan then costs one hash and one bit
//! test a byte, and a form is compared only where its trigram stands. Building the
//! index sorts some 1,600 small entries; no automaton is made.

use std::collections::BTreeSet;

use super::form::{Comparison, Form, Window};

/// Words that most user agents have in common: poor keys, since they would be found everywhere.
const COMMON_WORDS: &[u8] = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:10.0) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/100.0.0.0 Safari/537.36 Edg/100.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.0 Gecko/20100101 Firefox/100.0 \
    (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148 (X11; Linux x86_64) (Linux; Android 10; K) Mobile Safari \
    (compatible; +http://www.example.com/bot.html; +https://example.org)";

/// A hash has 16 bits.
const HASHES: usize = 1 << 16;

/// Outweighs the number of forms.
const COMMON_WEIGHT: u16 = 1 << 13;

/// A form's place in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    trigram: u32,
    form: u16,
    /// Where in the form the trigram stands.
    offset: u16,
}

/// The index.
#[derive(Debug)]
pub(super) struct Index {
    /// One bit for each hash of a trigram that some form is filed under.
    filter: Box<[u64; HASHES / 64]>,
    /// Sorted by trigram.
    keys: Box<[Key]>,
    forms: Box<[Form]>,
}

impl Index {
    pub(super) fn new(forms: Vec<Form>) -> Self {
        let keys = keys(&forms);
        let mut filter = Box::new([0; HASHES / 64]);
        for key in &keys {
            let hash = hash(key.trigram);
            filter[hash / 64] |= 1 << (hash % 64);
        }
        Self { filter, keys: keys.into_boxed_slice(), forms: forms.into_boxed_slice() }
    }

    /// Calls `on_match` with the pattern of every form that matches, more than once perhaps and in no order.
    pub(super) fn for_each_match(&self, window: Window<'_>, mut on_match: impl FnMut(u16)) {
        let mut exhausted = BTreeSet::new();
        for (at, bytes) in window.bytes().windows(3).enumerate() {
            let trigram = trigram(bytes);
            let hash = hash(trigram);
            if self.filter[hash / 64] >> (hash % 64) & 1 == 1 {
                self.matches_around(window, at, trigram, &mut exhausted, &mut on_match);
            }
        }
    }

    fn matches_around(
        &self,
        window: Window<'_>,
        at: usize,
        trigram: u32,
        exhausted: &mut BTreeSet<u16>,
        on_match: &mut impl FnMut(u16),
    ) {
        let first = self.keys.partition_point(|key| key.trigram < trigram);
        for key in self.keys[first..].iter().take_while(|key| key.trigram == trigram) {
            let form = &self.forms[usize::from(key.form)];
            let Some(start) = at.checked_sub(usize::from(key.offset)) else { continue };
            if exhausted.contains(&key.form) {
                continue;
            }
            match form.compare(window, start) {
                Comparison::Matches => on_match(form.pattern),
                Comparison::Differs => {}
                Comparison::Exhausted => drop(exhausted.insert(key.form)),
            }
        }
    }
}

fn trigram(bytes: &[u8]) -> u32 {
    u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2])
}

/// Spreads a trigram over the filter by Fibonacci hashing.
const fn hash(trigram: u32) -> usize {
    (trigram.wrapping_mul(0x9E37_79B1) >> 16) as usize
}

/// Returns every trigram of a form's literals with its offset in the form.
fn trigrams(form: &Form) -> impl Iterator<Item = (u32, usize)> {
    let within = |(offset, run): (usize, &'static [u8])| {
        run.windows(3).enumerate().map(move |(i, bytes)| (trigram(bytes), offset + i))
    };
    form.fixed_literals().flat_map(within)
}

fn keys(forms: &[Form]) -> Vec<Key> {
    let frequency = frequency(forms);
    let mut keys: Vec<Key> =
        (0..).zip(forms).map(|(position, form)| key(form, position, &frequency)).collect();
    keys.sort_unstable();
    keys
}

/// Counts, by hash, the trigrams of all forms; those of ordinary browsers weigh more than all of them.
fn frequency(forms: &[Form]) -> Box<[u16]> {
    let mut frequency = vec![0_u16; HASHES].into_boxed_slice();
    let mut add = |trigram, weight| {
        let count = &mut frequency[hash(trigram)];
        *count = count.saturating_add(weight);
    };
    forms.iter().flat_map(trigrams).for_each(|(trigram, _)| add(trigram, 1));
    COMMON_WORDS.windows(3).for_each(|bytes| add(trigram(bytes), COMMON_WEIGHT));
    frequency
}

fn key(form: &Form, position: u16, frequency: &[u16]) -> Key {
    let rarest = trigrams(form).min_by_key(|(trigram, _)| frequency[hash(*trigram)]);
    let (trigram, offset) = rarest.expect("every form of the shipped list has a literal of three bytes");
    let offset = u16::try_from(offset).expect("a form of the shipped list is a short line");
    Key { trigram, form: position, offset }
}
