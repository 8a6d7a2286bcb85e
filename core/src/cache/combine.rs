//! Parts of one representation that make one, [RFC 9111 section 3.4](https://www.rfc-editor.org/rfc/rfc9111#section-3.4).

use std::ops::Range;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::range::{self, ContentRange, Slice};
use super::stored::StoredResponse;
use super::validation::strong_tag;

/// Longest body that is put together, in bytes (1 MiB): each new part has the bytes that are there copied once more.
pub const MAX_COMBINED_BYTES: usize = 1024 * 1024;

/// Fields that describe the bytes of one message, and so neither of two that were put together.
static ABOUT_ONE_PART: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
];

/// How a stored part and one that has just come make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Union {
    /// The length of the stored body.
    stored: usize,
    /// What goes before the new part, of the stored body.
    before: Range<usize>,
    /// The length of the new part.
    middle: usize,
    /// What goes after the new part, of the stored body.
    after: Range<usize>,
    /// Of the representation.
    range: ContentRange,
}

impl Union {
    /// Decides whether a stored part, with a body of `stored_length` bytes, and a response make one. `length` is that of the response's body in
    /// bytes, where it is known before it is here.
    ///
    /// Both are a 206 with the same strong entity tag, they overlap or touch, and together they are more than the
    /// response alone and not longer than [`MAX_COMBINED_BYTES`]. A date of the last change is never taken for a strong
    /// validator here. `None` where anything is missing or contradicts itself.
    #[must_use]
    pub fn of(
        stored: &StoredResponse,
        stored_length: u64,
        status: StatusCode,
        response: &HeaderMap,
        length: Option<u64>,
    ) -> Option<Self> {
        let old_fields = stored.headers();
        let are_parts = [stored.status(), status] == [StatusCode::PARTIAL_CONTENT; 2];
        if !are_parts || strong_tag(&old_fields)? != strong_tag(response)? {
            return None;
        }
        let old = range::held(&old_fields, stored_length)?;
        let new = range::content_range(response)?;
        let complete = match (old.complete, new.complete) {
            (Some(old), Some(new)) if old != new => return None,
            (old, new) => new.or(old),
        };
        let (first, last) = (old.first.min(new.first), old.last.max(new.last));
        let middle = (new.last - new.first).checked_add(1)?;
        let is_whole_part = length.is_none_or(|length| length == middle);
        let touches = old.first <= new.last.saturating_add(1) && new.first <= old.last.saturating_add(1);
        let is_more = (first, last) != (new.first, new.last);
        let fits =
            last - first < MAX_COMBINED_BYTES as u64 && complete.is_none_or(|complete| last < complete);
        if !(is_whole_part && touches && is_more && fits) {
            return None;
        }
        let of_old = |from: u64, to: u64| {
            let start = usize::try_from(from.min(to).saturating_sub(old.first)).ok()?;
            let end = usize::try_from(to.saturating_sub(old.first)).ok()?;
            Some(start..end)
        };
        Some(Self {
            stored: usize::try_from(stored_length).ok()?,
            before: of_old(old.first, new.first)?,
            middle: usize::try_from(middle).ok()?,
            after: of_old(new.last.saturating_add(1), old.last.saturating_add(1))?,
            range: ContentRange { first, last, complete },
        })
    }

    /// Returns the length of the stored body in bytes.
    #[must_use]
    pub fn stored_length(&self) -> usize {
        self.stored
    }

    /// Puts the bodies together; `None` when one is not as long as was said.
    #[must_use]
    pub fn body(&self, stored: &[u8], response: &[u8]) -> Option<Vec<u8>> {
        let (before, after) = (stored.get(self.before.clone())?, stored.get(self.after.clone())?);
        (response.len() == self.middle).then(|| [before, response, after].concat())
    }

    /// Makes the head of what comes of both,
    /// [RFC 9110 section 15.3.7.3](https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.3): the stored fields, replaced by the response's
    /// where it has them; a 200 when it is all of the representation.
    #[must_use]
    pub fn head(&self, stored: &StoredResponse, response: &HeaderMap) -> Response<()> {
        let mut head = Response::new(());
        *head.headers_mut() = stored.headers();
        let fields = head.headers_mut();
        // RFC 9110 section 6.6.1: a response without a date is of the time of its arrival.
        fields.remove(header::DATE);
        for name in response.keys().filter(|name| !ABOUT_ONE_PART.contains(name)) {
            fields.remove(name);
            for value in response.get_all(name) {
                fields.append(name.clone(), value.clone());
            }
        }
        ABOUT_ONE_PART.iter().for_each(|name| drop(fields.remove(name)));
        let ContentRange { first, last, complete } = self.range;
        let length = last - first + 1;
        if first == 0 && complete == Some(length) {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        } else {
            range::partial(&mut head, Slice { start: 0, length }, self.range);
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::stored::Arrival;
    use crate::cache::tests::{headers, lifetimes};
    use crate::time::Timestamp;

    const TAG: &str = "\"v1\"";

    fn part(range: &str, tag: &str) -> HeaderMap {
        headers(&[("content-range", &format!("bytes {range}")), ("etag", tag)])
    }

    fn stored(status: u16, fields: HeaderMap) -> StoredResponse {
        StoredResponse::new(Arrival {
            status: StatusCode::from_u16(status).unwrap(),
            headers: fields,
            request: &HeaderMap::new(),
            lifetimes: lifetimes(60, 0, 0),
            tags: Vec::new(),
            keeps_cookies: false,
            request_time: Timestamp::default(),
            response_time: Timestamp::default(),
        })
    }

    /// The bytes of a representation whose byte `n` is `n`.
    fn bytes(first: u8, last: u8) -> Vec<u8> {
        (first..=last).collect()
    }

    #[test]
    fn parts_that_touch_or_overlap_are_the_bytes_of_both() {
        let rows = [
            ("0-4/10", "5-7/10", "bytes 0-7/10"),
            ("5-7/10", "2-4/10", "bytes 2-7/10"),
            ("1-6/10", "4-8/10", "bytes 1-8/10"),
            ("4-8/10", "1-6/10", "bytes 1-8/10"),
            ("1-8/10", "3-4/10", "bytes 1-8/10"),
            ("1-4/*", "3-8/10", "bytes 1-8/10"),
            ("1-4/10", "3-8/*", "bytes 1-8/10"),
            ("1-4/*", "3-8/*", "bytes 1-8/*"),
        ];
        for (old, new, expected) in rows {
            let bytes_of = |range: &str| {
                let (first, rest) = range.split_once('-').unwrap();
                bytes(first.parse().unwrap(), rest.split_once('/').unwrap().0.parse().unwrap())
            };
            let (stored, response) = (stored(206, part(old, TAG)), part(new, TAG));
            let (stored_body, body) = (bytes_of(old), bytes_of(new));
            let length = body.len() as u64;
            let union = Union::of(
                &stored,
                stored_body.len() as u64,
                StatusCode::PARTIAL_CONTENT,
                &response,
                Some(length),
            )
            .unwrap_or_else(|| panic!("{old} and {new}"));
            let head = union.head(&stored, &response);
            assert_eq!(head.status(), 206, "{old} and {new}");
            assert_eq!(head.headers()["content-range"], expected, "{old} and {new}");
            let whole = union.body(&stored_body, &body).unwrap();
            assert_eq!(whole, bytes_of(expected.strip_prefix("bytes ").unwrap()), "{old} and {new}");
            assert_eq!(head.headers()["content-length"], whole.len().to_string(), "{old} and {new}");
            assert_eq!(union.body(&stored_body, &body[1..]), None, "one that broke off");
        }
    }

    #[test]
    fn all_of_the_bytes_are_the_whole_response() {
        let (stored, response) = (stored(206, part("0-4/10", TAG)), part("5-9/10", TAG));
        let union = Union::of(&stored, 5, StatusCode::PARTIAL_CONTENT, &response, Some(5)).unwrap();
        let head = union.head(&stored, &response);
        assert_eq!(head.status(), 200, "RFC 9110 section 15.3.7.3");
        assert_eq!(head.headers()["content-length"], "10");
        assert!(!head.headers().contains_key("content-range"));
    }

    #[test]
    fn what_does_not_surely_belong_together_is_left_apart() {
        let fits = ("0-4/10", TAG, 5_u64, "5-7/10", TAG, 3_u64);
        let too_long = format!("5-{}/*", MAX_COMBINED_BYTES);
        let rows = [
            ("another tag", ("0-4/10", "\"v0\"", 5, "5-7/10", TAG, 3)),
            ("weak tags", ("0-4/10", "W/\"v1\"", 5, "5-7/10", "W/\"v1\"", 3)),
            ("a gap", ("0-3/10", TAG, 4, "5-7/10", TAG, 3)),
            ("a stored part that was cut short", ("0-4/10", TAG, 4, "5-7/10", TAG, 3)),
            ("an answer of another length", ("0-4/10", TAG, 5, "5-7/10", TAG, 2)),
            ("wholes of two lengths", ("0-4/10", TAG, 5, "5-7/11", TAG, 3)),
            ("bytes beyond the end", ("0-4/*", TAG, 5, "3-3/4", TAG, 1)),
            ("the stored bytes are in the answer", ("5-6/10", TAG, 2, "5-7/10", TAG, 3)),
            ("nothing stored", ("0-4/10", TAG, 0, "5-7/10", TAG, 3)),
            ("too long", ("0-4/*", TAG, 5, &too_long, TAG, MAX_COMBINED_BYTES as u64 - 4)),
        ];
        let union = |(old, old_tag, old_length, new, new_tag, length): (&str, &str, u64, &str, &str, u64),
                     status| {
            let (stored, response) = (stored(status, part(old, old_tag)), part(new, new_tag));
            Union::of(&stored, old_length, StatusCode::PARTIAL_CONTENT, &response, Some(length))
        };
        assert!(union(fits, 206).is_some());
        assert!(union(fits, 200).is_none(), "the stored one is no part");
        for (what, row) in rows {
            assert_eq!(union(row, 206), None, "{what}");
        }
        let longest = format!("5-{}/*", MAX_COMBINED_BYTES - 1);
        assert!(
            union(("0-4/*", TAG, 5, &longest, TAG, MAX_COMBINED_BYTES as u64 - 5), 206).is_some(),
            "the longest"
        );
    }

    #[test]
    fn the_answer_says_what_it_has_and_the_stored_part_the_rest() {
        let add = |mut fields: HeaderMap, more: &[(&str, &str)]| {
            fields.extend(headers(more));
            fields
        };
        let old = [
            ("x-old", "1"),
            ("cache-control", "max-age=1"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("content-digest", "sha-256=:AA==:"),
        ];
        let new = [("cache-control", "max-age=2"), ("x-new", "1"), ("content-digest", "sha-256=:BB==:")];
        let stored = stored(206, add(part("0-4/10", TAG), &old));
        let response = add(part("5-7/10", TAG), &new);
        let union = Union::of(&stored, 5, StatusCode::PARTIAL_CONTENT, &response, None).unwrap();
        let expected = headers(&[
            ("x-old", "1"),
            ("x-new", "1"),
            ("cache-control", "max-age=2"),
            ("etag", TAG),
            ("content-range", "bytes 0-7/10"),
            ("content-length", "8"),
        ]);
        assert_eq!(union.head(&stored, &response).headers(), &expected, "RFC 9110 section 15.3.7.3");
    }
}
