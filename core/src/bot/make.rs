//! Makes the table of `data/crawlers.bin` from the lists beside it.

use super::form::Form;
use super::index::{hash, trigram};
use super::list::{self, Pattern};
use super::table::{FILTER_BYTES, Key};

/// Words that most user agents have in common: poor keys, since they would be found everywhere.
const COMMON_WORDS: &[u8] = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:10.0) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/100.0.0.0 Safari/537.36 Edg/100.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.0 Gecko/20100101 Firefox/100.0 \
    (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148 (X11; Linux x86_64) (Linux; Android 10; K) Mobile Safari \
    (compatible; +http://www.example.com/bot.html; +https://example.org)";

/// A hash has 16 bits.
const HASHES: usize = 1 << 16;

/// Outweighs the number of forms.
const COMMON_WEIGHT: u16 = 1 << 13;

/// Returns the crawler list as it is compiled in, made from `data/crawlers.tsv` and `data/crawlers-overlay.tsv`.
///
/// # Panics
/// When the lists name an unknown category, or have a form without three literal bytes.
#[must_use]
pub fn crawler_table() -> Vec<u8> {
    let patterns = list::patterns();
    let forms = list::forms(&patterns);
    let keys = keys(&forms);
    let mut text = Text::default();
    let mut table = Vec::new();
    table.extend(number(patterns.len()).to_le_bytes());
    table.extend(number(forms.len()).to_le_bytes());
    table.extend(filter(&keys));
    patterns.iter().for_each(|pattern| put_pattern(&mut table, &mut text, pattern));
    forms.iter().for_each(|(form, pattern)| text.put(&mut table, form, *pattern));
    for Key { trigram, form, offset } in keys {
        table.extend(trigram.to_le_bytes());
        table.extend([form, offset].map(u16::to_le_bytes).concat());
    }
    table.extend(text.0.bytes());
    table
}

/// The text so far.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Writes an entry: where a text stands, how long it is, and a number.
    fn put(&mut self, table: &mut Vec<u8>, text: &str, last: u16) {
        // A name that is its own form is there already.
        let start = self.0.find(text).unwrap_or_else(|| {
            self.0.push_str(text);
            self.0.len() - text.len()
        });
        table.extend(u32::try_from(start).expect("the lists are short files").to_le_bytes());
        table.extend([number(text.len()), last].map(u16::to_le_bytes).concat());
    }
}

fn put_pattern(table: &mut Vec<u8>, text: &mut Text, pattern: &Pattern) {
    let position = super::BotCategory::ALL.iter().position(|category| *category == pattern.category);
    text.put(table, pattern.name, number(position.expect("every category is one of all")));
}

fn filter(keys: &[Key]) -> Vec<u8> {
    let mut filter = vec![0; FILTER_BYTES];
    for key in keys {
        let hash = hash(key.trigram);
        filter[hash / 8] |= 1 << (hash % 8);
    }
    filter
}

fn keys(forms: &[(&'static str, u16)]) -> Vec<Key> {
    let parsed: Vec<_> = forms.iter().map(|(text, pattern)| Form::new(text, *pattern)).collect();
    let frequency = frequency(&parsed);
    let mut keys: Vec<Key> =
        (0..).zip(&parsed).map(|(position, form)| key(form, position, &frequency)).collect();
    keys.sort_unstable_by_key(|key| (key.trigram, key.form));
    keys
}

/// Counts, by hash, the trigrams of all forms; those of ordinary browsers weigh more than all of them.
fn frequency(forms: &[Form]) -> Vec<u16> {
    let mut frequency = vec![0_u16; HASHES];
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
    Key { trigram, form: position, offset: number(offset) }
}

/// Returns every trigram of a form's literals with its offset in the form.
fn trigrams(form: &Form) -> impl Iterator<Item = (u32, usize)> {
    let within = |(offset, run): (usize, &'static [u8])| {
        run.windows(3).enumerate().map(move |(i, bytes)| (trigram(bytes), offset + i))
    };
    form.fixed_literals().flat_map(within)
}

fn number(number: usize) -> u16 {
    u16::try_from(number).expect("the lists are short files of short lines")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_is_that_of_the_lists() {
        let shipped: &[u8] = include_bytes!("../../data/crawlers.bin");
        assert!(
            shipped == crawler_table(),
            "core/data/crawlers.bin is out of date: run `cargo xtask crawlers`"
        );
    }
}
