//! `Vary`.

use selvedge_core::cache::vary::{MAX_VARY_NAMES, Selection, Vary, matches, select, variant_key};

use crate::{fields, halves, lines};

/// Checks that a request selects the response that it brought, and that two requests have one key exactly when they select the same.
///
/// The bytes are a `Vary` and the fields of two requests.
///
/// # Panics
/// When they do not.
pub fn check(data: &[u8]) {
    let (vary, requests) = halves(data, 0);
    let (first, second) = halves(requests, 0);
    let vary = Vary::parse(&lines("vary", vary));
    let names = vary.names();
    assert!(names.len() <= MAX_VARY_NAMES, "what is followed is bounded");
    assert!(names.is_sorted_by(|a, b| a.as_str() < b.as_str()), "sorted, each once: {names:?}");
    let (first, second) = (fields(first), fields(second));
    let (by_first, by_second) = (select(names, &first), select(names, &second));
    assert_eq!(matches(&by_first, &first), Selection::Matches, "reflexive: {by_first:?}");
    assert_eq!(matches(&by_first, &second), matches(&by_second, &first), "symmetric");
    let (key, other) = (variant_key(&select(names, &first)), variant_key(&select(names, &second)));
    assert!(key.bytes().all(|byte| byte.is_ascii_graphic()), "printable: {key:?}");
    let is_same = matches(&by_first, &second) == Selection::Matches;
    assert_eq!(key == other, is_same, "one key for one variant: {key} {other}");
}
