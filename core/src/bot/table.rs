//! The crawler list in the form in which it is compiled in: patterns, forms and their index, read in place.
//!
//! `cargo xtask crawlers` makes `data/crawlers.bin` from the lists beside it, and a test holds them together. Nothing of it is
//! parsed, sorted or copied when a platform starts. All numbers are little-endian:
//!
//! | part | entries | each |
//! |---|---|---|
//! | head | 1 | patterns (u16), forms (u16) |
//! | filter | 8,192 | one bit for each hash of a trigram that some form is filed under |
//! | patterns | the most severe first | start of the name in the text (u32), its length (u16), category (u16) |
//! | forms | as the patterns | start in the text (u32), length (u16), pattern (u16) |
//! | keys | by trigram, one for each form | trigram (u32), form (u16), where in the form it stands (u16) |
//! | text | the rest | names and forms |

use super::category::BotCategory;
use super::form::Form;

/// The table.
const TABLE: &[u8] = include_bytes!("../../data/crawlers.bin");

/// Bytes of the filter.
pub(super) const FILTER_BYTES: usize = (1 << 16) / 8;

/// Bytes of the head.
pub(super) const HEAD_BYTES: usize = 4;

/// Bytes of a pattern, a form or a key.
pub(super) const ENTRY_BYTES: usize = 8;

const PATTERNS: usize = u16_at(0) as usize;
const FORMS: usize = u16_at(2) as usize;
const PATTERNS_AT: usize = HEAD_BYTES + FILTER_BYTES;
const FORMS_AT: usize = PATTERNS_AT + ENTRY_BYTES * PATTERNS;
const KEYS_AT: usize = FORMS_AT + ENTRY_BYTES * FORMS;
const TEXT_AT: usize = KEYS_AT + ENTRY_BYTES * FORMS;

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
    /// Where in the form the trigram stands.
    pub(super) offset: u16,
}

/// Returns a pattern by its position; the most severe comes first.
pub(super) fn pattern(position: u16) -> Pattern {
    let at = PATTERNS_AT + ENTRY_BYTES * usize::from(position);
    let category = BotCategory::ALL[usize::from(u16_at(at + 6))];
    Pattern { name: text(u32_at(at), u16_at(at + 4)), category }
}

/// Returns a form by its position.
pub(super) fn form(position: u16) -> Form {
    let at = FORMS_AT + ENTRY_BYTES * usize::from(position);
    Form::new(text(u32_at(at), u16_at(at + 4)), u16_at(at + 6))
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

fn key(position: usize) -> Key {
    let at = KEYS_AT + ENTRY_BYTES * position;
    Key { trigram: u32_at(at), form: u16_at(at + 4), offset: u16_at(at + 6) }
}

fn text(start: u32, length: u16) -> &'static str {
    let start = TEXT_AT + start as usize;
    std::str::from_utf8(&TABLE[start..start + usize::from(length)])
        .expect("the shipped table is made of texts")
}

const fn u16_at(at: usize) -> u16 {
    u16::from_le_bytes([TABLE[at], TABLE[at + 1]])
}

const fn u32_at(at: usize) -> u32 {
    u32::from_le_bytes([TABLE[at], TABLE[at + 1], TABLE[at + 2], TABLE[at + 3]])
}
