use super::*;
use crate::cache::stored::Arrival;
use crate::cache::tests::{NOW, headers, lifetimes, secs, stored};

#[test]
fn age_and_lifetimes_decide_the_reuse() {
    let cases = [
        (lifetimes(60, 0, 0), 0, Reuse::Fresh { ttl: secs(60) }),
        (lifetimes(60, 0, 0), 59, Reuse::Fresh { ttl: secs(1) }),
        (lifetimes(60, 0, 0), 60, Reuse::Stale),
        (lifetimes(60, 10, 0), 60, Reuse::StaleWhileRevalidate { stale_for: secs(0) }),
        (lifetimes(60, 10, 0), 69, Reuse::StaleWhileRevalidate { stale_for: secs(9) }),
        (lifetimes(60, 10, 0), 70, Reuse::Stale),
        (lifetimes(60, 10, 20), 70, Reuse::StaleIfErrorOnly { stale_for: secs(10) }),
        (lifetimes(60, 10, 20), 80, Reuse::Stale),
        (lifetimes(60, 20, 10), 75, Reuse::StaleWhileRevalidate { stale_for: secs(15) }),
    ];
    for (lifetimes, age, expected) in cases {
        let request = HeaderMap::new();
        let kept = stored(&[], &request, lifetimes);
        let decision = reuse(&kept, &request, NOW + secs(age));
        assert_eq!(decision, expected, "RFC 9111 section 4.2 and RFC 5861: {lifetimes:?} at {age} s");
    }
}

#[test]
fn a_response_for_other_selecting_headers_never_answers() {
    let fields = [("vary", "Accept-Language")];
    let kept = stored(&fields, &headers(&[("accept-language", "de")]), lifetimes(60, 0, 0));
    let ask = |language| reuse(&kept, &headers(&[("accept-language", language)]), NOW);
    assert_eq!(ask("de"), Reuse::Fresh { ttl: secs(60) });
    assert_eq!(ask("fr"), Reuse::VaryMismatch, "RFC 9111 section 4.1");
}

#[test]
fn a_client_can_not_force_its_way_to_the_origin() {
    let kept = stored(&[], &HeaderMap::new(), lifetimes(60, 0, 0));
    for line in ["no-cache", "max-age=0", "no-store", "min-fresh=100"] {
        let decision = reuse(&kept, &headers(&[("cache-control", line)]), NOW);
        assert_eq!(decision, Reuse::Fresh { ttl: secs(60) }, "RFC 9111 section 5.2.1 advises only: {line}");
    }
}

#[test]
fn only_if_cached_never_goes_to_the_origin() {
    let ask = |fields: &[(&str, &str)]| on_miss(&headers(fields));
    assert_eq!(ask(&[]), OnMiss::Forward);
    assert_eq!(ask(&[("cache-control", "max-age=1")]), OnMiss::Forward);
    assert_eq!(ask(&[("cache-control", "Only-If-Cached")]), OnMiss::GatewayTimeout, "section 5.2.1.7");
}

struct Conditional {
    stored: &'static [(&'static str, &'static str)],
    request: &'static [(&'static str, &'static str)],
    status: u16,
    why: &'static str,
}

const BEFORE: &str = "Sun, 06 Nov 1994 08:49:27 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:47 GMT";

#[test]
fn preconditions_are_answered_from_the_store() {
    let cases = [
        Conditional { stored: &[("etag", "\"a\"")], request: &[], status: 200, why: "no precondition" },
        Conditional {
            stored: &[("etag", "\"a\"")],
            request: &[("if-none-match", "\"a\"")],
            status: 304,
            why: "13.1.2",
        },
        Conditional {
            stored: &[("etag", "\"a\"")],
            request: &[("if-none-match", "\"b\"")],
            status: 200,
            why: "13.1.2",
        },
        Conditional {
            stored: &[("etag", "W/\"a\"")],
            request: &[("if-none-match", "\"a\"")],
            status: 304,
            why: "8.8.3.2: weak",
        },
        Conditional {
            stored: &[("etag", "\"a\"")],
            request: &[("if-none-match", "W/\"a\"")],
            status: 304,
            why: "8.8.3.2: weak",
        },
        Conditional {
            stored: &[("etag", "\"a,b\"")],
            request: &[("if-none-match", "\"x\", \"a,b\"")],
            status: 304,
            why: "commas in tags",
        },
        Conditional {
            stored: &[("etag", "\"a\"")],
            request: &[("if-none-match", "\"a,b\"")],
            status: 200,
            why: "a part of a tag",
        },
        Conditional {
            stored: &[("etag", "\"a\"")],
            request: &[("if-none-match", "\"x\""), ("if-none-match", "\"a\"")],
            status: 304,
            why: "repeated lines",
        },
        Conditional {
            stored: &[],
            request: &[("if-none-match", "*")],
            status: 304,
            why: "13.1.2: any representation",
        },
        Conditional { stored: &[], request: &[("if-none-match", "\"\"")], status: 200, why: "no entity tag" },
        Conditional {
            stored: &[("last-modified", BEFORE)],
            request: &[("if-modified-since", BEFORE)],
            status: 304,
            why: "RFC 9111 4.3.2",
        },
        Conditional {
            stored: &[("last-modified", BEFORE)],
            request: &[("if-modified-since", AFTER)],
            status: 304,
            why: "RFC 9111 4.3.2",
        },
        Conditional {
            stored: &[("last-modified", AFTER)],
            request: &[("if-modified-since", BEFORE)],
            status: 200,
            why: "RFC 9111 4.3.2",
        },
        Conditional {
            stored: &[("date", BEFORE)],
            request: &[("if-modified-since", BEFORE)],
            status: 304,
            why: "RFC 9111 4.3.2: Date",
        },
        Conditional {
            stored: &[],
            request: &[("if-modified-since", BEFORE)],
            status: 200,
            why: "RFC 9111 4.3.2: arrival",
        },
        Conditional {
            stored: &[("last-modified", BEFORE)],
            request: &[("if-modified-since", "today")],
            status: 200,
            why: "13.1.3: invalid",
        },
        Conditional {
            stored: &[("last-modified", BEFORE)],
            request: &[("if-modified-since", BEFORE), ("if-modified-since", AFTER)],
            status: 200,
            why: "13.1.3: a list",
        },
        Conditional {
            stored: &[("etag", "\"a\""), ("last-modified", BEFORE)],
            request: &[("if-none-match", "\"b\""), ("if-modified-since", BEFORE)],
            status: 200,
            why: "13.2.2: If-None-Match first",
        },
    ];
    for case in cases {
        let kept = stored(case.stored, &HeaderMap::new(), lifetimes(60, 0, 0));
        let response = serve(&kept, &headers(case.request), NOW);
        assert_eq!(response.status(), case.status, "RFC 9110 {}: {:?}", case.why, case.request);
    }
}

#[test]
fn a_304_has_the_fields_of_rfc_9110_section_15_4_5_only() {
    let fields = [
        ("content-location", "/a"),
        ("date", BEFORE),
        ("etag", "\"a\""),
        ("vary", "accept"),
        ("vary", "origin"),
        ("cache-control", "max-age=60"),
        ("expires", AFTER),
        ("last-modified", BEFORE),
        ("content-type", "text/html"),
        ("content-length", "5"),
    ];
    let kept = stored(&fields, &HeaderMap::new(), lifetimes(60, 0, 0));
    let response = serve(&kept, &headers(&[("if-none-match", "*")]), NOW + secs(3));
    let expected = headers(&[&fields[..7], &[("age", "13")]].concat());
    assert_eq!(response.headers(), &expected, "Age comes from RFC 9111 section 5.1");

    let kept = stored(&[("last-modified", BEFORE)], &HeaderMap::new(), lifetimes(60, 0, 0));
    let response = serve(&kept, &headers(&[("if-modified-since", AFTER)]), NOW);
    assert_eq!(response.headers()["last-modified"], BEFORE, "useful where there is no entity tag");
}

#[test]
fn a_hit_has_the_stored_fields_and_its_age_in_whole_seconds() {
    let kept = stored(&[("x", "1"), ("x", "2"), ("date", BEFORE)], &HeaderMap::new(), lifetimes(60, 0, 0));
    let response = serve(&kept, &HeaderMap::new(), NOW + Duration::from_millis(1_900));
    let expected = headers(&[("x", "1"), ("x", "2"), ("date", BEFORE), ("age", "11")]);
    assert_eq!(response.headers(), &expected, "RFC 9111 section 5.1");
}

#[test]
fn a_stored_error_is_sent_whatever_the_precondition() {
    let kept = StoredResponse::new(Arrival {
        status: StatusCode::NOT_FOUND,
        headers: headers(&[("etag", "\"a\"")]),
        request: &HeaderMap::new(),
        lifetimes: lifetimes(60, 0, 0),
        tags: Vec::new(),
        keeps_cookies: false,
        request_time: NOW,
        response_time: NOW,
    });
    let response = serve(&kept, &headers(&[("if-none-match", "\"a\"")]), NOW);
    assert_eq!(response.status(), 404, "RFC 9110 section 13.2.1");
}
