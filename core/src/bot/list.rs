//! The crawler list as it is written: upstream's data with our overlay on top.

use std::collections::BTreeMap;

use super::category::BotCategory;

/// Written by `cargo xtask update-crawlers`.
const CRAWLERS: &str = include_str!("../../data/crawlers.tsv");
const OVERLAY: &str = include_str!("../../data/crawlers-overlay.tsv");

/// A named pattern of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    /// The pattern as its source writes it.
    pub(super) name: &'static str,
    pub(super) category: BotCategory,
    /// The form columns of its line, apart by tabs; empty when the name is the form.
    forms: &'static str,
}

/// What the overlay does about a pattern of upstream's.
enum Change {
    Move(BotCategory),
    Drop,
}

/// Returns every pattern, the most severe category first and each category in the order of the files.
pub(super) fn patterns() -> Vec<Pattern> {
    let (added, changes) = overlay();
    let upstream = lines(CRAWLERS).map(pattern).filter_map(|pattern| change(pattern, &changes));
    let mut patterns: Vec<Pattern> = upstream.chain(added).collect();
    patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.category.severity()));
    patterns
}

impl Pattern {
    /// Returns its forms, of which any may match.
    pub(super) fn forms(&self) -> impl Iterator<Item = &'static str> {
        let forms = if self.forms.is_empty() { self.name } else { self.forms };
        forms.split('\t')
    }
}

fn overlay() -> (Vec<Pattern>, BTreeMap<&'static str, Change>) {
    let (mut added, mut changes) = (Vec::new(), BTreeMap::new());
    for line in lines(OVERLAY) {
        let (action, rest) = column(line);
        match action {
            "add" => added.push(pattern(rest)),
            "drop" => drop(changes.insert(column(rest).1, Change::Drop)),
            _ => drop(changes.insert(pattern(rest).name, Change::Move(pattern(rest).category))),
        }
    }
    (added, changes)
}

fn change(pattern: Pattern, changes: &BTreeMap<&str, Change>) -> Option<Pattern> {
    match changes.get(pattern.name) {
        None => Some(pattern),
        Some(Change::Move(category)) => Some(Pattern { category: *category, ..pattern }),
        Some(Change::Drop) => None,
    }
}

fn lines(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn pattern(line: &'static str) -> Pattern {
    let (category, rest) = column(line);
    let (name, forms) = column(rest);
    let category = BotCategory::new(category).expect("the shipped lists name known categories");
    Pattern { name, category, forms }
}

/// Splits the first column off; the rest is empty after the last one.
fn column(line: &'static str) -> (&'static str, &'static str) {
    line.split_once('\t').unwrap_or((line, ""))
}
