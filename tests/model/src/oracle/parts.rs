//! Parts of a page.

use std::collections::BTreeMap;

use super::Answer;
use super::rules::{self, Arrival, may_store};
use super::shelf::Entry;
use crate::message::{Ask, Head, Part, RangeAsk};
use crate::origin::{bytes_of, slice};

/// The part of a whole response that is wanted.
pub(super) fn of_whole(mut whole: Answer, range: RangeAsk) -> Answer {
    let complete = u64::try_from(whole.body.len()).expect("pages are short");
    match bytes_of(range, complete) {
        Some((first, last)) => {
            whole.head.status = 206;
            whole.head.part = Some(Part::Bytes(first, last, complete));
            whole.head.length = Some(last - first + 1);
            Answer { body: slice(&whole.body, first, last), ..whole }
        }
        None => unsatisfiable(complete),
    }
}

/// The same of a part; `None` when it does not have it.
pub(super) fn of_part(mut stored: Answer, range: RangeAsk, has: (u64, u64), complete: u64) -> Option<Answer> {
    let Some((first, last)) = bytes_of(range, complete) else { return Some(unsatisfiable(complete)) };
    if first < has.0 || last > has.1 {
        return None;
    }
    stored.head.part = Some(Part::Bytes(first, last, complete));
    stored.head.length = Some(last - first + 1);
    Some(Answer { body: slice(&stored.body, first - has.0, last - has.0), ..stored })
}

fn unsatisfiable(complete: u64) -> Answer {
    let part = Some(Part::Nothing(complete));
    let head = Head { status: 416, part, length: Some(0), ..Head::default() };
    Answer { head, body: String::new() }
}

/// What a stored part and one that has come are together, RFC 9111 section 3.4; `None` when they are not more than what has come.
pub(super) fn union(earlier: &Entry, ask: &Ask, new: (&Head, &str), arrival: Arrival) -> Option<Entry> {
    let (head, body) = new;
    may_store(ask, head, arrival)?;
    let (Part::Bytes(old_first, _, of), Part::Bytes(first, _, complete)) = (earlier.head.part?, head.part?)
    else {
        return None;
    };
    let are_same = earlier.head.tag?.is_strongly(head.tag?) && of == complete;
    let mut bytes: BTreeMap<u64, char> = (old_first..).zip(earlier.body.chars()).collect();
    bytes.extend((first..).zip(body.chars()));
    let (first, last) = (*bytes.keys().next()?, *bytes.keys().last()?);
    let length = u64::try_from(bytes.len()).expect("pages are short");
    let has_gap = length != last - first + 1;
    if !are_same || has_gap || bytes.len() == body.len() {
        return None;
    }
    let is_whole = length == complete;
    let head = Head {
        status: if is_whole { 200 } else { 206 },
        length: Some(length),
        part: (!is_whole).then_some(Part::Bytes(first, last, complete)),
        ..rules::updated(&earlier.head, head)
    };
    let entry = may_store(ask, &head, arrival)?;
    Some(Entry { body: bytes.into_values().collect(), ..entry })
}
