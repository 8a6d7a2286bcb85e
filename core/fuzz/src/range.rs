//! `Range`, `Content-Range` and `If-Range`.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use selvedge_core::cache::range::{ContentRange, Wanted, content_range, partial, wanted};

use crate::{halves, lines, stored};

/// Checks that a part lies within the stored body and says truly which bytes it is.
///
/// The bytes are a length, `Range`, `If-Range` and `Content-Range`.
///
/// # Panics
/// When it does not.
pub fn check(data: &[u8]) {
    let (length, rest) = halves(data, 0);
    let (range, rest) = halves(rest, 0);
    let (if_range, content) = halves(rest, 0);
    let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let mut request = lines("range", range);
    if !if_range.is_empty() {
        request.extend(lines("if-range", if_range));
    }
    let response = lines("content-range", content);
    let has = content_range(&response);
    if let Some(has) = has {
        is_written(has);
    }
    for status in [StatusCode::OK, StatusCode::PARTIAL_CONTENT] {
        let mut headers = response.clone();
        headers.insert(header::ETAG, HeaderValue::from_static("\"a\""));
        let stored = stored(status, headers, &HeaderMap::new());
        match wanted(&stored, length, &request) {
            Wanted::Part { slice, range } => {
                let end = slice.start.checked_add(slice.length).expect("a part has an end");
                assert!(slice.length > 0 && end <= length, "within the body: {slice:?} of {length}");
                assert_eq!(range.last - range.first + 1, slice.length, "as long as it says: {range:?}");
                assert!(range.complete.is_none_or(|complete| range.last < complete), "{range:?}");
                let begins = has.filter(|_| status == StatusCode::PARTIAL_CONTENT).map_or(0, |has| has.first);
                assert_eq!(range.first - begins, slice.start, "the bytes that it says: {range:?}");
                is_written(range);
            }
            Wanted::Unsatisfiable { complete } => {
                let known =
                    if status == StatusCode::OK { Some(length) } else { has.and_then(|has| has.complete) };
                assert_eq!(Some(complete), known, "the length that is known");
            }
            Wanted::Whole | Wanted::NotStored => {}
        }
    }
}

fn is_written(range: ContentRange) {
    let mut head = Response::new(());
    let slice = selvedge_core::cache::range::Slice { start: 0, length: 1 };
    partial(&mut head, slice, range);
    assert_eq!(content_range(head.headers()), Some(range), "what is written is read");
}
