use super::*;
use crate::cache::lifetime::LifetimeSource::{
    self, CacheControl as Own, Expires, Heuristic, Negative, Rule, SurrogateControl, Targeted, Validation,
};
use crate::cache::tests::{NOW, headers, secs};

type Fields = &'static [(&'static str, &'static str)];

struct Case {
    method: Method,
    request: Fields,
    status: u16,
    response: Fields,
    rule: CacheRule,
    expected: Result<(u64, u64, u64, LifetimeSource), NoStoreReason>,
    why: &'static str,
}

const MODIFIED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:27 GMT");

const FRESH: Fields = &[("cache-control", "max-age=60")];

/// A `GET` that nothing speaks against.
fn case(why: &'static str) -> Case {
    let expected = Ok((60, 0, 0, Own));
    let rule = CacheRule::default();
    Case { method: Method::GET, request: &[], status: 200, response: FRESH, rule, expected, why }
}

fn refused(why: &'static str, reason: NoStoreReason) -> Case {
    Case { expected: Err(reason), ..case(why) }
}

fn edge(seconds: u64) -> CacheRule {
    CacheRule { edge: Some(secs(seconds)), ..CacheRule::default() }
}

fn check(cases: &[Case]) {
    for case in cases {
        let status = StatusCode::from_u16(case.status).unwrap();
        let decision = storability(
            &case.method,
            &headers(case.request),
            status,
            &headers(case.response),
            &case.rule,
            NOW,
        );
        let decision = match decision {
            Storability::Refuse(reason) => Err(reason),
            Storability::Store(l) => Ok((
                l.fresh.as_secs(),
                l.stale_while_revalidate.as_secs(),
                l.stale_if_error.as_secs(),
                l.source,
            )),
        };
        assert_eq!(decision, case.expected, "{}: {} {:?}", case.why, case.status, case.response);
    }
}

#[test]
fn what_section_3_forbids_is_refused() {
    use NoStoreReason as R;
    let never = CacheRule { store: Storing::Never, ..edge(5) };
    let store_authorized = CacheRule { authorization: AuthorizationRule::Store, ..CacheRule::default() };
    let strip = CacheRule { set_cookie: SetCookieRule::Strip, ..CacheRule::default() };
    let authorized: Fields = &[("authorization", "Basic YQ==")];
    let cookie: Fields = &[("cache-control", "max-age=60"), ("set-cookie", "a=1")];
    check(&[
        case("3: all conditions hold"),
        Case { rule: never, ..refused("the policy", R::Rule) },
        Case { method: Method::HEAD, ..refused("3: no body to store", R::Method) },
        Case { method: Method::POST, ..refused("RFC 9110 9.3.3: needs Content-Location", R::Method) },
        Case { request: &[("range", "bytes=0-1")], ..case("a whole response to a request for a part") },
        Case { request: &[("cache-control", "no-store")], ..refused("5.2.1.5", R::RequestNoStore) },
        Case {
            response: &[("cache-control", "max-age=60, no-store")],
            rule: edge(5),
            ..refused("5.2.2.5", R::NoStore)
        },
        Case {
            response: &[("cache-control", "private, max-age=60")],
            rule: edge(5),
            ..refused("5.2.2.7", R::Private)
        },
        Case {
            response: &[("cache-control", "max-age=60, private=\"a\"")],
            ..case("5.2.2.7: qualified, the rest may be stored")
        },
        Case {
            response: &[("cache-control", "max-age=60, no-cache")],
            rule: edge(5),
            ..refused("5.2.2.4", R::NoCache)
        },
        Case {
            response: &[("cache-control", "max-age=60, no-cache=\"a\"")],
            ..case("5.2.2.4: qualified, the rest may answer")
        },
        Case {
            response: &[("cache-control", "max-age=60, no-cache"), ("etag", "\"a\"")],
            rule: edge(5),
            expected: Ok((0, 0, 0, Validation)),
            ..case("5.2.2.4: with validation only")
        },
        Case {
            response: &[("cache-control", "max-age=0"), MODIFIED],
            expected: Ok((0, 0, 0, Own)),
            ..case("4.3: with validation only")
        },
        Case { request: authorized, ..refused("3.5", R::Authorization) },
        Case {
            request: authorized,
            rule: edge(5),
            ..refused("3.5: a lifetime is no permission", R::Authorization)
        },
        Case { request: authorized, rule: store_authorized, ..case("the policy's permission") },
        Case {
            request: authorized,
            response: &[("cache-control", "max-age=60, public")],
            ..case("3.5: public")
        },
        Case { request: authorized, response: &[("cache-control", "s-maxage=60")], ..case("3.5: s-maxage") },
        Case {
            request: authorized,
            response: &[("cache-control", "max-age=60, must-revalidate")],
            ..case("3.5")
        },
        Case { response: cookie, ..refused("7.3: a cookie is one client's", R::SetCookie) },
        Case { response: cookie, rule: strip, ..case("stored without it") },
        Case {
            response: &[("cache-control", "max-age=60"), ("vary", "a, *")],
            ..refused("4.1", R::VaryStar)
        },
        Case { response: &[("cache-control", "public")], ..refused("3: heuristics are off", R::NoLifetime) },
        Case { response: &[], ..refused("3: heuristics are off", R::NoLifetime) },
        Case { response: &[("cache-control", "max-age=0")], ..refused("never of use", R::ZeroLifetime) },
        Case { response: &[("cache-control", "max-age=0, max-age=9")], ..refused("4.2.1", R::ZeroLifetime) },
    ]);
}

#[test]
fn the_status_decides_which_lifetimes_count() {
    use NoStoreReason as R;
    for status in [404, 405, 410, 414, 451, 500, 501, 502, 503, 504] {
        let rule = || CacheRule { negative: Some(secs(3)), ..CacheRule::default() };
        let expected = Ok((3, 0, 0, Negative));
        check(&[
            Case { status, response: &[], rule: rule(), expected, ..case("the policy's lifetime of errors") },
            Case { status, rule: rule(), expected, ..case("in place of the origin's") },
            Case {
                status,
                response: &[("cache-control", "no-store")],
                rule: rule(),
                ..refused("5.2.2.5", R::NoStore)
            },
        ]);
    }
    for status in [200, 203, 204, 300, 301, 308] {
        let expected = Ok((5, 0, 0, Rule));
        check(&[Case { status, response: &[], rule: edge(5), expected, ..case("RFC 9110 15.1: cacheable") }]);
    }
    for status in [302, 303, 307, 400, 403, 404, 405, 410, 414, 451, 500, 501, 502, 503, 504, 599] {
        check(&[
            Case {
                status,
                response: &[],
                rule: edge(5),
                ..refused("not by the policy alone", R::NoLifetime)
            },
            Case { status, rule: edge(5), ..case("3: the origin's explicit lifetime") },
        ]);
    }
    check(&[
        Case { status: 206, ..refused("3.3: nothing says which part", R::PartialContent) },
        Case {
            status: 206,
            response: &[("cache-control", "max-age=60"), ("content-range", "bytes 0-1/9")],
            ..case("3.3: a part that says which it is")
        },
        Case { status: 304, ..refused("3: completes another response", R::Status) },
        Case { status: 412, ..refused("answers one precondition", R::Status) },
        Case { status: 416, ..refused("answers one range", R::Status) },
        Case { status: 103, ..refused("3: not final", R::Status) },
        Case { status: 101, ..refused("3: not final", R::Status) },
        Case { status: 600, ..refused("RFC 9110 15: no such class", R::Status) },
    ]);
}

#[test]
fn heuristics_give_a_tenth_of_the_age_at_most_a_day_where_the_policy_wants_it() {
    let rule = || CacheRule { heuristic: true, ..CacheRule::default() };
    let dated: Fields = &[MODIFIED, ("date", "Sun, 06 Nov 1994 08:49:47 GMT")];
    let ok = |fresh| Ok((fresh, 0, 0, Heuristic));
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        check(&[Case { status, response: dated, rule: rule(), expected: ok(2), ..case("4.2.2: 20 s") }]);
    }
    for status in [201, 202, 299, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599] {
        check(&[
            Case {
                status,
                response: dated,
                rule: rule(),
                ..refused("RFC 9110 15.1", NoStoreReason::NoLifetime)
            },
            Case {
                status,
                response: &[MODIFIED, ("cache-control", "public")],
                rule: rule(),
                expected: ok(1),
                ..case("4.2.2: public")
            },
        ]);
    }
    check(&[
        Case {
            response: &[("last-modified", "Tue, 06 Nov 1984 08:49:27 GMT")],
            rule: rule(),
            expected: ok(86_400),
            ..case("at most a day")
        },
        Case { response: dated, ..refused("heuristics are off", NoStoreReason::NoLifetime) },
        Case {
            response: &[("date", "soon")],
            rule: rule(),
            ..refused("no Last-Modified", NoStoreReason::NoLifetime)
        },
        Case {
            response: &[MODIFIED, ("cache-control", "max-age=60")],
            rule: rule(),
            ..case("an explicit lifetime counts")
        },
    ]);
}

#[test]
fn must_understand_takes_no_store_back_where_the_status_is_known() {
    let response: Fields = &[("cache-control", "must-understand, no-store, max-age=60")];
    check(&[
        Case { response, ..case("5.2.2.3: 200 is known") },
        Case { response, status: 299, ..refused("5.2.2.3", NoStoreReason::MustUnderstand) },
    ]);
}

#[test]
fn the_first_source_of_a_lifetime_wins() {
    let rule = || edge(5);
    const CDN: (&str, &str) = ("cdn-cache-control", "max-age=7");
    const LATER: (&str, &str) = ("expires", "Sun, 06 Nov 1994 08:49:47 GMT");
    const EARLIER: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:27 GMT");
    const MAX_AGE: (&str, &str) = ("cache-control", "max-age=60");
    let ok = |fresh, source| Ok((fresh, 0, 0, source));
    check(&[
        Case { response: &[CDN, MAX_AGE], rule: rule(), expected: ok(7, Targeted), ..case("RFC 9213 2.2") },
        Case {
            response: &[CDN, ("cache-control", "no-store")],
            expected: ok(7, Targeted),
            ..case("RFC 9213 2.2: ignore Cache-Control")
        },
        Case {
            response: &[("cdn-cache-control", "no-store"), MAX_AGE],
            rule: rule(),
            ..refused("RFC 9213 2.2", NoStoreReason::NoStore)
        },
        Case {
            response: &[("cdn-cache-control", "must-revalidate"), MAX_AGE, LATER],
            ..refused("RFC 9213 2.2: ignore Expires", NoStoreReason::NoLifetime)
        },
        Case {
            response: &[("cdn-cache-control", "must-revalidate")],
            rule: rule(),
            expected: ok(5, Rule),
            ..case("the rule gives what it lacks")
        },
        Case {
            response: &[("cdn-cache-control", "MAX"), MAX_AGE],
            expected: ok(60, Own),
            ..case("RFC 9213 2.1: invalid is ignored")
        },
        Case {
            response: &[("surrogate-control", "max-age=8"), MAX_AGE],
            rule: rule(),
            expected: ok(8, SurrogateControl),
            ..case("for surrogates")
        },
        Case {
            response: &[("surrogate-control", "max-age=8"), ("cache-control", "no-store")],
            ..refused("5.2.2.5", NoStoreReason::NoStore)
        },
        Case {
            response: &[("surrogate-control", "no-store"), MAX_AGE],
            ..refused("for surrogates", NoStoreReason::NoStore)
        },
        Case { response: &[MAX_AGE, LATER], rule: rule(), expected: ok(5, Rule), ..case("the policy") },
        Case {
            response: &[("cache-control", "max-age=60, s-maxage=6")],
            expected: ok(6, Own),
            ..case("4.2.1: s-maxage first")
        },
        Case { response: &[MAX_AGE, LATER], expected: ok(60, Own), ..case("5.3: max-age before Expires") },
        Case { response: &[LATER], expected: ok(10, Expires), ..case("5.3: from arrival without Date") },
        Case { response: &[LATER, EARLIER], expected: ok(20, Expires), ..case("4.2.1: Expires - Date") },
        Case {
            response: &[("expires", "0")],
            ..refused("5.3: invalid is past", NoStoreReason::ZeroLifetime)
        },
        Case {
            response: &[LATER, ("expires", "0")],
            ..refused("4.2.1: several values", NoStoreReason::ZeroLifetime)
        },
    ]);
}

#[test]
fn stale_use_is_allowed_by_origin_or_policy_and_forbidden_by_directives() {
    let rule = || CacheRule {
        stale_while_revalidate: Some(secs(3)),
        stale_if_error: Some(secs(4)),
        ..CacheRule::default()
    };
    const BOTH: &str = "max-age=60, stale-while-revalidate=1, stale-if-error=2";
    let ok = |swr, sie| Ok((60, swr, sie, Own));
    check(&[
        Case { response: &[("cache-control", BOTH)], expected: ok(1, 2), ..case("RFC 5861") },
        Case {
            response: &[("cache-control", BOTH)],
            rule: rule(),
            expected: ok(3, 4),
            ..case("the policy first")
        },
        Case { rule: rule(), expected: ok(3, 4), ..case("4.2.4: out-of-band contract") },
        Case {
            response: &[("cdn-cache-control", BOTH)],
            rule: rule(),
            expected: Ok((60, 1, 2, Targeted)),
            ..case("RFC 9213 first")
        },
        Case {
            response: &[("cache-control", "max-age=60, must-revalidate")],
            rule: rule(),
            expected: ok(0, 0),
            ..case("5.2.2.2")
        },
        Case {
            response: &[("cache-control", "max-age=60, proxy-revalidate")],
            rule: rule(),
            expected: ok(0, 0),
            ..case("5.2.2.8")
        },
        Case {
            response: &[("cache-control", "s-maxage=60")],
            rule: rule(),
            expected: ok(0, 0),
            ..case("5.2.2.10")
        },
        Case { status: 404, rule: rule(), expected: ok(0, 0), ..case("no policy for errors") },
        Case {
            response: &[("cache-control", "max-age=0, stale-while-revalidate=9")],
            expected: Ok((0, 9, 0, Own)),
            ..case("of use while revalidating")
        },
    ]);
}

#[test]
fn a_vary_past_the_bound_is_not_stored() {
    let list: Vec<String> = (0..33).map(|n| format!("x{n}")).collect();
    let response = headers(&[("cache-control", "max-age=60"), ("vary", &list.join(","))]);
    let decision =
        storability(&Method::GET, &HeaderMap::new(), StatusCode::OK, &response, &CacheRule::default(), NOW);
    assert_eq!(decision, Storability::Refuse(NoStoreReason::VaryTooLong));
}
