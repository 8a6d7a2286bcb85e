//! `Range`: which part of a stored response a request wants.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::stored::StoredResponse;
use super::validation::{http_date, opaque, strong_tag};

/// The bytes of a representation that a response carries, from its `Content-Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte, from 0.
    pub first: u64,
    /// The last byte.
    pub last: u64,
    /// The length of the whole; `None` when the sender does not know it.
    pub complete: Option<u64>,
}

/// Bytes of a stored body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Where they start in the stored body.
    pub start: u64,
    /// How many there are; never zero.
    pub length: u64,
}

/// What a request's `Range` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole representation: there is no range, or none that counts.
    Whole,
    /// A part that is stored.
    Part {
        /// Of the stored body.
        slice: Slice,
        /// Of the representation.
        range: ContentRange,
    },
    /// A part that is not stored.
    NotStored,
    /// None of the representation's bytes.
    Unsatisfiable {
        /// The length of the whole.
        complete: u64,
    },
}

/// One range, as a client writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RangeSpec {
    From { first: u64, last: Option<u64> },
    Suffix(u64),
}

/// Decides which part of a stored response answers a request,
/// [RFC 9110 section 14](https://www.rfc-editor.org/rfc/rfc9110#section-14).
///
/// `length` is that of the stored body in bytes. Only a `GET` for one range of bytes counts, and only where `If-Range` is not
/// there or names the stored response; anything else wants the whole, as
/// [section 14.2](https://www.rfc-editor.org/rfc/rfc9110#section-14.2) allows.
#[must_use]
pub fn wanted(stored: &StoredResponse, length: u64, request: &HeaderMap) -> Wanted {
    let spec = request.get(header::RANGE).and_then(range_spec);
    let Some(spec) = spec.filter(|_| is_sole(request) && if_range_holds(stored, request)) else {
        return Wanted::Whole;
    };
    match stored.status() {
        StatusCode::OK => of_whole(spec, length),
        StatusCode::PARTIAL_CONTENT => of_part(spec, &stored.headers(), length),
        _ => Wanted::Whole,
    }
}

/// Returns whether a request asks for a part of a representation.
#[must_use]
pub fn is_wanted(request: &HeaderMap) -> bool {
    request.contains_key(header::RANGE)
}

/// Reads `Content-Range`; `None` when there is not exactly one valid one of bytes,
/// [RFC 9110 section 14.4](https://www.rfc-editor.org/rfc/rfc9110#section-14.4).
#[must_use]
pub fn content_range(response: &HeaderMap) -> Option<ContentRange> {
    let mut lines = response.get_all(header::CONTENT_RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let (unit, rest) = line.to_str().ok()?.trim().split_once(' ')?;
    let (range, complete) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let complete = match complete {
        "*" => None,
        digits => Some(number(digits)?),
    };
    let range = ContentRange { first: number(first)?, last: number(last)?, complete };
    let is_valid = range.first <= range.last && complete.is_none_or(|complete| range.last < complete);
    (unit.eq_ignore_ascii_case("bytes") && is_valid).then_some(range)
}

/// Makes the head of a 206 out of that of the stored response,
/// [RFC 9110 section 15.3.7](https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7).
pub fn partial(head: &mut Response<()>, slice: Slice, range: ContentRange) {
    *head.status_mut() = StatusCode::PARTIAL_CONTENT;
    let ContentRange { first, last, complete } = range;
    let complete = complete.map_or_else(|| "*".to_owned(), |complete| complete.to_string());
    insert(head, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{complete}"));
    head.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(slice.length));
}

/// Makes a 416, [RFC 9110 section 15.5.17](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.17).
#[must_use]
pub fn unsatisfiable(complete: u64) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    insert(&mut head, header::CONTENT_RANGE, &format!("bytes */{complete}"));
    head.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    head
}

fn insert(head: &mut Response<()>, name: header::HeaderName, text: &str) {
    let value = HeaderValue::from_str(text).expect("digits and ASCII words make a field value");
    head.headers_mut().insert(name, value);
}

fn is_sole(request: &HeaderMap) -> bool {
    request.get_all(header::RANGE).iter().nth(1).is_none()
}

fn range_spec(value: &HeaderValue) -> Option<RangeSpec> {
    let (unit, set) = value.to_str().ok()?.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    match set.trim().split_once('-')? {
        ("", suffix) => Some(RangeSpec::Suffix(number(suffix)?)),
        (first, "") => Some(RangeSpec::From { first: number(first)?, last: None }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeSpec::From { first, last: Some(last) })
        }
    }
}

/// `If-Range` compares strongly: a weak tag never holds, and a date only when it is the stored one,
/// [RFC 9110 section 13.1.5](https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5).
fn if_range_holds(stored: &StoredResponse, request: &HeaderMap) -> bool {
    let mut lines = request.get_all(header::IF_RANGE).iter();
    let (line, rest) = (lines.next(), lines.next());
    let Some(line) = line else { return true };
    if rest.is_some() {
        return false;
    }
    let text = line.as_bytes().trim_ascii();
    if text.starts_with(b"\"") || opaque(text).len() < text.len() {
        return strong_tag(&stored.headers()).is_some_and(|tag| tag == text);
    }
    let modified = stored.headers().get(header::LAST_MODIFIED).and_then(http_date);
    // Section 8.8.2.2: a change within the second of the response would not show in the date.
    modified.is_some_and(|modified| {
        http_date(line) == Some(modified) && stored.date().saturating_since(modified).as_secs() >= 1
    })
}

fn of_whole(spec: RangeSpec, complete: u64) -> Wanted {
    match resolve(spec, complete) {
        Some((first, last)) => Wanted::Part {
            slice: Slice { start: first, length: last - first + 1 },
            range: ContentRange { first, last, complete: Some(complete) },
        },
        None => Wanted::Unsatisfiable { complete },
    }
}

/// The bytes of a stored part with a body of `length` bytes. As many count as really came, so that one that was cut short answers for what
/// it has; `None` when that is nothing.
pub(super) fn held(headers: &HeaderMap, length: u64) -> Option<ContentRange> {
    let has = content_range(headers)?;
    let last = has.last.min(has.first.saturating_add(length.checked_sub(1)?));
    Some(ContentRange { last, ..has })
}

fn of_part(spec: RangeSpec, headers: &HeaderMap, length: u64) -> Wanted {
    let Some(has) = held(headers, length) else { return Wanted::NotStored };
    let asked = match (spec, has.complete) {
        (spec, Some(complete)) => match resolve(spec, complete) {
            Some(asked) => asked,
            None => return Wanted::Unsatisfiable { complete },
        },
        (RangeSpec::From { first, last: Some(last) }, None) => (first, last),
        (RangeSpec::From { last: None, .. } | RangeSpec::Suffix(_), None) => return Wanted::NotStored,
    };
    let (first, last) = asked;
    if first < has.first || last > has.last {
        return Wanted::NotStored;
    }
    Wanted::Part {
        slice: Slice { start: first - has.first, length: last - first + 1 },
        range: ContentRange { first, last, complete: has.complete },
    }
}

/// First and last byte of a range in a representation of `complete` bytes.
fn resolve(spec: RangeSpec, complete: u64) -> Option<(u64, u64)> {
    let end = complete.checked_sub(1)?;
    match spec {
        RangeSpec::From { first, last } => {
            (first <= end).then(|| (first, last.map_or(end, |last| last.min(end))))
        }
        RangeSpec::Suffix(0) => None,
        RangeSpec::Suffix(count) => Some((complete.saturating_sub(count), end)),
    }
}

fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
