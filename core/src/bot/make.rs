//! Makes the table of `data/crawlers.bin` from the lists beside it.

use super::form::Form;
use super::index::{hash, trigram};
use super::list::{self, Pattern};
use super::table::{FILTER_BYTES, KEY_BYTES, Key, STRIDE};

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
/// When the lists name an unknown category, or have a form without three literal bytes or a text of more than 255.
#[must_use]
pub fn crawler_table() -> Vec<u8> {
    let patterns = list::patterns();
    let lists = Lists::of(&patterns);
    let forms = lists.firsts.iter().copied().zip(0..).chain(lists.others.iter().copied());
    let keys = keys(&forms.collect::<Vec<_>>());
    let texts = lists.texts();
    let mut table = Vec::new();
    for count in [patterns.len(), lists.others.len(), lists.named.len()] {
        table.extend(number(count).to_le_bytes());
    }
    table.extend(filter(&keys));
    table.extend(patterns.iter().map(category));
    for (_, pattern) in lists.others.iter().chain(&lists.named) {
        table.extend(pattern.to_le_bytes());
    }
    for column in 0..KEY_BYTES {
        table.extend(keys.iter().map(|key| key_bytes(*key)[column]));
    }
    table.extend(texts.iter().map(|text| byte(text.len())));
    let starts = texts.iter().scan(0, |next, text| Some(std::mem::replace(next, *next + text.len())));
    starts.step_by(STRIDE).for_each(|start| table.extend(number(start).to_le_bytes()));
    texts.iter().for_each(|text| table.extend(text.bytes()));
    table
}

/// The texts of the table, in its order.
struct Lists {
    /// The first form of each pattern.
    firsts: Vec<&'static str>,
    /// The forms beyond it, each with the position of its pattern.
    others: Vec<(&'static str, u16)>,
    /// The names that are not the first form, each with the position of its pattern.
    named: Vec<(&'static str, u16)>,
}

impl Lists {
    fn of(patterns: &[Pattern]) -> Self {
        let (mut firsts, mut others, mut named) = (Vec::new(), Vec::new(), Vec::new());
        for (position, pattern) in (0..).zip(patterns) {
            let mut forms = pattern.forms();
            let first = forms.next().expect("every pattern has a form");
            firsts.push(first);
            others.extend(forms.map(|form| (form, position)));
            if first != pattern.name {
                named.push((pattern.name, position));
            }
        }
        Self { firsts, others, named }
    }

    fn texts(&self) -> Vec<&'static str> {
        let others = self.others.iter().chain(&self.named).map(|(text, _)| *text);
        self.firsts.iter().copied().chain(others).collect()
    }
}

fn key_bytes(Key { trigram, form, offset }: Key) -> [u8; KEY_BYTES] {
    let ([low, middle, high, _], [first, second]) = (trigram.to_le_bytes(), form.to_le_bytes());
    [low, middle, high, first, second, offset]
}

fn category(pattern: &Pattern) -> u8 {
    let position = super::BotCategory::ALL.iter().position(|category| *category == pattern.category);
    byte(position.expect("every category is one of all"))
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
    let rarest = trigrams(form).into_iter().min_by_key(|(trigram, _)| frequency[hash(*trigram)]);
    let (trigram, offset) = rarest.expect("every form of the shipped list has a literal of three bytes");
    Key { trigram, form: position, offset: byte(offset) }
}

/// Returns every trigram of a form's literals with its offset in what the form matches.
fn trigrams(form: &Form) -> Vec<(u32, usize)> {
    let fixed = form.fixed();
    let literals = fixed.windows(3).map(|bytes| bytes.iter().copied().collect::<Option<Vec<u8>>>());
    literals.zip(0..).filter_map(|(bytes, offset)| Some((trigram(&bytes?), offset))).collect()
}

fn byte(number: usize) -> u8 {
    u8::try_from(number).expect("the lists are made of short lines")
}

fn number(number: usize) -> u16 {
    u16::try_from(number).expect("the lists are short files")
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
