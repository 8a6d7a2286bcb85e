//! Ranges of stored responses.

use super::*;
use crate::cache::stored::Arrival;
use crate::cache::tests::{NOW, headers, lifetimes, secs, stored};

const TEN_EARLIER: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:27 GMT");

type Fields<'a> = &'a [(&'a str, &'a str)];

fn whole(fields: &[(&str, &str)]) -> StoredResponse {
    stored(fields, &HeaderMap::new(), lifetimes(60, 0, 0))
}

fn part(content_range: &str) -> StoredResponse {
    StoredResponse::new(Arrival {
        status: StatusCode::PARTIAL_CONTENT,
        headers: headers(&[("content-range", content_range)]),
        request: &HeaderMap::new(),
        lifetimes: lifetimes(60, 0, 0),
        tags: Vec::new(),
        keeps_cookies: false,
        request_time: NOW,
        response_time: NOW + secs(0),
    })
}

/// First byte, length and `Content-Range` of a part.
fn found(wanted: Wanted) -> Option<(u64, u64, u64, u64)> {
    match wanted {
        Wanted::Part { slice, range } => Some((slice.start, slice.length, range.first, range.last)),
        Wanted::Whole | Wanted::NotStored | Wanted::Unsatisfiable { .. } => None,
    }
}

#[test]
fn one_range_of_bytes_is_cut_from_the_whole() {
    let rows = [
        ("bytes=0-1", Some((0, 2, 0, 1))),
        ("bytes=1-", Some((1, 9, 1, 9))),
        ("bytes=-1", Some((9, 1, 9, 9))),
        ("bytes=-99", Some((0, 10, 0, 9))),
        ("bytes=5-99", Some((5, 5, 5, 9))),
        ("BYTES= 9-9", Some((9, 1, 9, 9))),
    ];
    for (line, expected) in rows {
        let wanted = wanted(&whole(&[]), 10, &headers(&[("range", line)]));
        assert_eq!(found(wanted), expected, "RFC 9110 section 14.1.2: {line}");
    }
}

#[test]
fn what_is_no_single_range_of_bytes_wants_the_whole() {
    let long = "bytes=99999999999999999999-";
    for line in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=2-1",
        "bytes=a-",
        "bytes=+1-",
        "lines=0-1",
        "bytes=0-0,2-3",
        long,
    ] {
        let found = wanted(&whole(&[]), 10, &headers(&[("range", line)]));
        assert_eq!(found, Wanted::Whole, "RFC 9110 section 14.2: {line}");
    }
    let twice = headers(&[("range", "bytes=0-1"), ("range", "bytes=2-3")]);
    assert_eq!(wanted(&whole(&[]), 10, &twice), Wanted::Whole);
    assert_eq!(wanted(&whole(&[]), 10, &HeaderMap::new()), Wanted::Whole);
}

#[test]
fn a_range_beyond_the_end_is_not_satisfiable() {
    for (line, length) in
        [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)]
    {
        let found = wanted(&whole(&[]), length, &headers(&[("range", line)]));
        assert_eq!(found, Wanted::Unsatisfiable { complete: length }, "RFC 9110 section 15.5.17: {line}");
    }
    let head = unsatisfiable(10);
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-range"]),
        (416, &"bytes */10".parse().unwrap())
    );
}

#[test]
fn if_range_names_the_stored_response_or_the_whole_is_sent() {
    let rows: [(Fields<'_>, &str, bool); 8] = [
        (&[("etag", "\"a\"")], "\"a\"", true),
        (&[("etag", "\"a\"")], "\"b\"", false),
        (&[("etag", "W/\"a\"")], "W/\"a\"", false),
        (&[("etag", "W/\"a\"")], "\"a\"", false),
        (&[TEN_EARLIER], TEN_EARLIER.1, true),
        (&[TEN_EARLIER], "Sun, 06 Nov 1994 08:49:28 GMT", false),
        (&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], "Sun, 06 Nov 1994 08:49:37 GMT", false),
        (&[], "soon", false),
    ];
    for (fields, condition, holds) in rows {
        let request = headers(&[("range", "bytes=0-1"), ("if-range", condition)]);
        let is_part = found(wanted(&whole(fields), 10, &request)).is_some();
        assert_eq!(is_part, holds, "RFC 9110 section 13.1.5: {fields:?} {condition}");
    }
}

#[test]
fn a_stored_part_answers_for_what_it_has() {
    let rows = [
        ("bytes 4-9/10", 6, "bytes=-5", Some((1, 5, 5, 9))),
        ("bytes 4-9/10", 6, "bytes=4-", Some((0, 6, 4, 9))),
        ("bytes 4-9/10", 6, "bytes=6-8", Some((2, 3, 6, 8))),
        ("bytes 4-9/10", 6, "bytes=3-8", None),
        ("bytes 4-9/10", 5, "bytes=6-8", Some((2, 3, 6, 8))),
        ("bytes 4-9/10", 5, "bytes=6-", None),
        ("bytes 4-9/*", 6, "bytes=6-8", Some((2, 3, 6, 8))),
        ("bytes 4-9/*", 6, "bytes=-1", None),
        ("bytes 4-9/*", 6, "bytes=4-", None),
        ("bytes 4-9/10", 0, "bytes=4-5", None),
    ];
    for (content_range, length, line, expected) in rows {
        let wanted = wanted(&part(content_range), length, &headers(&[("range", line)]));
        assert_eq!(found(wanted), expected, "RFC 9111 section 3.3: {content_range} of {length} for {line}");
    }
}

#[test]
fn content_range_is_one_valid_range_of_bytes() {
    let range = |first, last, complete| Some(ContentRange { first, last, complete });
    let rows = [
        ("bytes 0-4/10", range(0, 4, Some(10))),
        ("BYTES 0-4/*", range(0, 4, None)),
        ("bytes */10", None),
        ("bytes 4-3/10", None),
        ("bytes 0-10/10", None),
        ("lines 0-4/10", None),
        ("bytes 0-4", None),
        ("bytes=0-4/10", None),
        ("bytes 0-99999999999999999999/*", None),
    ];
    for (line, expected) in rows {
        assert_eq!(
            content_range(&headers(&[("content-range", line)])),
            expected,
            "RFC 9110 section 14.4: {line}"
        );
    }
    let twice = headers(&[("content-range", "bytes 0-4/10"), ("content-range", "bytes 5-9/10")]);
    assert_eq!(content_range(&twice), None);
}

#[test]
fn the_head_of_a_part_says_which_it_is() {
    let mut head = Response::new(());
    let range = ContentRange { first: 2, last: 5, complete: None };
    partial(&mut head, Slice { start: 0, length: 4 }, range);
    assert_eq!(head.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(head.headers()["content-range"], "bytes 2-5/*");
    assert_eq!(head.headers()["content-length"], "4");
}
