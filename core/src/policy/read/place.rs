//! Where each value of a policy stands in its text.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::policy::report::join;

/// The span of every value, by path.
///
/// A table written under a heading has the span of the heading's key; a value
/// that is a table or a list in braces has its own.
#[derive(Debug)]
pub(super) struct Places {
    spans: BTreeMap<String, Range<usize>>,
}

impl Places {
    pub(super) fn new(root: &DeTable<'_>) -> Self {
        let mut places = Self { spans: BTreeMap::new() };
        places.add_table("", root);
        places
    }

    /// Returns the span of a path, or of its nearest ancestor that is there; the file's start at last.
    pub(super) fn find(&self, path: &str) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(span) = self.spans.get(path) {
                return span.clone();
            }
            match parent(path) {
                Some(shorter) => path = shorter,
                None => return 0..0,
            }
        }
    }

    fn add_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            let is_table = matches!(value.get_ref(), DeValue::Table(_));
            let span = if is_table { key.span() } else { value.span() };
            self.spans.insert(path.clone(), span);
            self.add_value(&path, value.get_ref());
        }
    }

    fn add_value(&mut self, path: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.add_table(path, table),
            DeValue::Array(list) => {
                for (at, item) in list.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    self.spans.insert(path.clone(), item.span());
                    self.add_value(&path, item.get_ref());
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}

/// Cuts the last key or index off a path.
pub(super) fn parent(path: &str) -> Option<&str> {
    let mut in_quotes = false;
    let mut last = None;
    let mut escaped = false;
    for (at, c) in path.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            '.' | '[' if !in_quotes => last = Some(at),
            _ => {}
        }
    }
    last.map(|at| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_path_is_one_step_shorter() {
        let rows = [
            ("routes[2].backend", Some("routes[2]")),
            ("routes[2]", Some("routes")),
            ("routes", None),
            ("a.\"b.c[\\\"]\"", Some("a")),
        ];
        for (path, expected) in rows {
            assert_eq!(parent(path), expected, "{path}");
        }
    }
}
