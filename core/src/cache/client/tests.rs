use super::*;
use crate::cache::tests::{headers, secs};

struct Told {
    response: &'static [(&'static str, &'static str)],
    request: &'static [(&'static str, &'static str)],
    browser: Option<u64>,
    told: Option<&'static str>,
    why: &'static str,
}

const AUTHORIZED: &[(&str, &str)] = &[("authorization", "Basic YQ==")];

#[test]
fn the_rule_tells_the_browser_and_never_loosens_the_origin() {
    let cases = [
        Told { response: &[], request: &[], browser: None, told: None, why: "no opinion" },
        Told {
            response: &[("cache-control", "s-maxage=9")],
            request: &[],
            browser: None,
            told: Some("s-maxage=9"),
            why: "no opinion: RFC 9111 5.2 passes it",
        },
        Told {
            response: &[],
            request: &[],
            browser: Some(600),
            told: Some("public, max-age=600"),
            why: "the rule",
        },
        Told {
            response: &[("cache-control", "max-age=9, S-MaxAge=8, public")],
            request: &[],
            browser: Some(600),
            told: Some("public, max-age=600"),
            why: "replaced",
        },
        Told {
            response: &[("cache-control", "max-age=9"), ("cache-control", "must-revalidate, x=\"a, b\"")],
            request: &[],
            browser: Some(600),
            told: Some("public, max-age=600, must-revalidate, x=\"a, b\""),
            why: "others stay",
        },
        Told {
            response: &[("age", "50")],
            request: &[],
            browser: Some(600),
            told: Some("public, max-age=650"),
            why: "RFC 9111 4.2: Age counts in the browser too",
        },
        Told {
            response: &[("cache-control", "Private, max-age=9")],
            request: &[],
            browser: Some(600),
            told: Some("private, max-age=600"),
            why: "RFC 9111 5.2.2.7",
        },
        Told {
            response: &[("cache-control", "private=\"a\"")],
            request: &[],
            browser: Some(600),
            told: Some("private, max-age=600"),
            why: "RFC 9111 5.2.2.7",
        },
        Told {
            response: &[("cache-control", "NO-STORE")],
            request: &[],
            browser: Some(600),
            told: Some("NO-STORE"),
            why: "RFC 9111 5.2.2.5",
        },
        Told {
            response: &[("cache-control", "no-cache=\"a\"")],
            request: &[],
            browser: Some(600),
            told: Some("no-cache=\"a\""),
            why: "RFC 9111 5.2.2.4",
        },
        Told {
            response: &[("set-cookie", "a=1")],
            request: &[],
            browser: Some(600),
            told: Some("private, max-age=600"),
            why: "one client's cookie",
        },
        Told {
            response: &[],
            request: AUTHORIZED,
            browser: Some(600),
            told: Some("private, max-age=600"),
            why: "RFC 9111 3.5",
        },
        Told {
            response: &[("cache-control", "public")],
            request: AUTHORIZED,
            browser: Some(600),
            told: Some("public, max-age=600"),
            why: "RFC 9111 3.5",
        },
    ];
    for case in cases {
        let mut response = headers(case.response);
        let rule = CacheRule { browser: case.browser.map(secs), ..CacheRule::default() };
        tell_client(&mut response, &headers(case.request), &rule);
        let told: Vec<_> = response.get_all("cache-control").iter().collect();
        assert_eq!(told, Vec::from_iter(case.told), "{}: {:?}", case.why, case.response);
    }
}

#[test]
fn a_route_that_is_never_stored_at_the_edge_is_private_in_the_browser() {
    let rule = CacheRule { browser: Some(secs(5)), store: Storing::Never, ..CacheRule::default() };
    let mut response = HeaderMap::new();
    tell_client(&mut response, &HeaderMap::new(), &rule);
    assert_eq!(response["cache-control"], "private, max-age=5");
}

#[test]
fn expires_goes_only_where_the_rule_replaces_it() {
    for (browser, is_kept) in [(None, true), (Some(secs(5)), false)] {
        let mut response = headers(&[("expires", "0")]);
        let rule = CacheRule { browser, ..CacheRule::default() };
        tell_client(&mut response, &HeaderMap::new(), &rule);
        assert_eq!(response.contains_key("expires"), is_kept, "RFC 9111 section 5.3: {browser:?}");
    }
}

#[test]
fn fields_for_the_edge_end_at_the_edge() {
    let fields: Vec<_> = CONSUMED.iter().map(|name| (*name, "max-age=1")).collect();
    let mut response = headers(&fields);
    tell_client(&mut response, &HeaderMap::new(), &CacheRule::default());
    assert!(response.is_empty(), "RFC 9213 section 3 lets a CDN remove them: {response:?}");
}

#[test]
fn a_response_made_private_is_shared_by_no_cache() {
    let cases = [
        (&[][..], "private"),
        (&[("cache-control", "public, max-age=60, s-maxage=90")], "private, max-age=60"),
        (&[("cache-control", "no-store"), ("cdn-cache-control", "max-age=9")], "private, no-store"),
        (&[("cache-control", "private=\"a\", no-cache")], "private, no-cache"),
    ];
    for (fields, expected) in cases {
        let mut response = headers(fields);
        make_private(&mut response);
        assert_eq!(response, headers(&[("cache-control", expected)]), "RFC 9111 section 5.2.2.7");
    }
}
