//! The crawler list in the form in which it is compiled in: patterns, forms and their index, read in place.
//!
//! `cargo xtask crawlers` makes `data/crawlers.bin` from the lists beside it, and a test holds them together. Nothing of it is
//! parsed, sorted or copied when a platform starts, and a component that carries it is not much larger for it. All numbers are
//! little-endian:
//!
//! | part | entries | each |
//! |---|---|---|
//! | head | 1 | patterns, other forms, other names (u16 each) |
//! | filter | 8,192 | one bit for each hash of a trigram that some form is filed under |
//! | categories | patterns, the most severe first | category (u8) |
//! | others | forms beyond their patterns' first, then names that are no form | position of the pattern (u16) |
//! | keys | by trigram, one for each form | trigram (u24), form (u16), where in what that matches it stands (u8); the first byte of each, then the second of each, and so on |
//! | lengths | first forms in the order of their patterns, then others | length of the text (u8) |
//! | starts | one for every 16 lengths | where the text starts (u16) |
//! | text | the rest | forms and names, one behind the other |

use super::category::BotCategory;
use super::form::Form;

/// The table.
const TABLE: &[u8] = include_bytes!("../../data/crawlers.bin");

/// Bytes of the filter.
pub(super) const FILTER_BYTES: usize = (1 << 16) / 8;
/// Texts from one start that is written down to the next.
pub(super) const STRIDE: usize = 16;
/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 6;

const HEAD_BYTES: usize = 6;

const PATTERNS: u16 = u16_at(0);
const FORMS: u16 = PATTERNS + u16_at(2);
const TEXTS: u16 = FORMS + u16_at(4);
const CATEGORIES_AT: usize = HEAD_BYTES + FILTER_BYTES;
const OTHERS_AT: usize = CATEGORIES_AT + PATTERNS as usize;
const KEYS_AT: usize = OTHERS_AT + 2 * (TEXTS - PATTERNS) as usize;
const LENGTHS_AT: usize = KEYS_AT + KEY_BYTES * FORMS as usize;
const STARTS_AT: usize = LENGTHS_AT + TEXTS as usize;
const TEXT_AT: usize = STARTS_AT + 2 * (TEXTS as usize).div_ceil(STRIDE);

/// A named pattern of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    /// The pattern as its source writes it.
    pub(super) name: &'static str,
    pub(super) category: BotCategory,
}

/// A form's place in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) trigram: u32,
    pub(super) form: u16,
    /// Where in what the form matches the trigram stands.
    pub(super) offset: u8,
}

/// Returns a pattern by its position; the most severe comes first.
pub(super) fn pattern(position: u16) -> Pattern {
    let own = (FORMS..TEXTS).find(|name| pattern_of(*name) == position);
    let category = BotCategory::ALL[usize::from(TABLE[CATEGORIES_AT + usize::from(position)])];
    Pattern { name: text(own.unwrap_or(position)), category }
}

/// Returns a form by its position.
pub(super) fn form(position: u16) -> Form {
    Form::new(text(position), pattern_of(position))
}

/// Returns the keys of a trigram.
pub(super) fn keys(trigram: u32) -> impl Iterator<Item = Key> {
    let (mut first, mut end) = (0, FORMS);
    while first < end {
        let middle = first.midpoint(end);
        if key(middle).trigram < trigram { first = middle + 1 } else { end = middle }
    }
    (first..FORMS).map(key).take_while(move |key| key.trigram == trigram)
}

/// Returns whether some form may be filed under a trigram with this hash.
pub(super) fn has_hash(hash: usize) -> bool {
    TABLE[HEAD_BYTES + hash / 8] >> (hash % 8) & 1 == 1
}

fn key(position: u16) -> Key {
    let byte = |column: usize| TABLE[KEYS_AT + column * usize::from(FORMS) + usize::from(position)];
    Key {
        trigram: u32::from_le_bytes([byte(0), byte(1), byte(2), 0]),
        form: u16::from_le_bytes([byte(3), byte(4)]),
        offset: byte(5),
    }
}

/// Returns the position of the pattern that a text belongs to.
fn pattern_of(text: u16) -> u16 {
    let other = text.checked_sub(PATTERNS);
    other.map_or(text, |other| u16_at(OTHERS_AT + 2 * usize::from(other)))
}

fn text(position: u16) -> &'static str {
    let lengths = &TABLE[LENGTHS_AT..STARTS_AT];
    let position = usize::from(position);
    let nearest = position / STRIDE;
    let before: usize = lengths[nearest * STRIDE..position].iter().copied().map(usize::from).sum();
    let start = TEXT_AT + usize::from(u16_at(STARTS_AT + 2 * nearest)) + before;
    std::str::from_utf8(&TABLE[start..start + usize::from(lengths[position])])
        .expect("the shipped table is made of texts")
}

const fn u16_at(at: usize) -> u16 {
    u16::from_le_bytes([TABLE[at], TABLE[at + 1]])
}
