//! Laws that hold for every request: what no client and no backend can make the core do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use selvedge_conformance::case::{Answer, Case, OneOrMany, Step};
use selvedge_conformance::core::Core;
use selvedge_conformance::{Observed, Platform as _, Session, values};
use selvedge_core::facts::{CountryCode, Facts};

const POLICY: &str = r#"
[backends.a]
url = "http://a.test"
request-headers = { X-Token = { env = "CONFORMANCE_TOKEN" } }
[backends.b]
url = "http://b.test/base"
failover = ["a"]

[geo]
rules = [{ action = "block", countries = ["CN"] }]

[bots.rules]
scraper = "block"
http-library = "tag"
seo = { action = "limit", requests = 1, per = "1m" }

[redirects]
allowed-hosts = ["partner.example"]

[headers.response]
presets = ["security"]
set = { X-Echo = "{query.q} {cookie.c} {header.x-any} {city}" }
[headers.request]
set = { X-Echo = "{query.q} {cookie.c} {path}" }

[cors]
origins = ["https://app.example.com"]

[experiments.hero]
force-query = "hero"
sticky = {}
[[experiments.hero.variations]]
name = "one"
[[experiments.hero.variations]]
name = "two"
backend = "b"
rewrite = "/two{path}"

[[routes]]
path = "/cached/{*rest}"
backend = "a"
cache = { edge = "1h", stale-if-error = "1h", tags = ["{rest}"] }
[[routes]]
path = "/go/{*rest}"
redirect = { to = "/{rest}", keep-query = true }
[[routes]]
path = "/out/{*rest}"
redirect = "https://{query.to}/{rest}"
[[routes]]
path = "/host/{*rest}"
redirect = "https://{host}/{rest}?q={query.q}"
[[routes]]
path = "/rewrite/{*rest}"
backend = "b"
rewrite = "/x/{query.q}/{rest}"
[[routes]]
path = "/hello"
respond = { body = "{query.q} {path}", content-type = "text/html" }
[[routes]]
path = "/echo/{name}"
handler = "echo"
[[routes]]
path = "/fetch"
handler = "fetch"
[[routes]]
path = "/{*rest}"
backend = "b"
"#;

fn session() -> Box<dyn Session> {
    let case = Case {
        name: "laws".to_owned(),
        why: String::new(),
        policy: POLICY.to_owned(),
        skip: Vec::new(),
        unreachable: Vec::new(),
        steps: Vec::new(),
    };
    Core.start(&case).expect("the policy is valid")
}

fn step(method: &str, target: &str, headers: &[(String, String)], answer: &Answer) -> Step {
    let mut facts = Facts::default();
    facts.client_ip = "203.0.113.9".parse().ok();
    facts.country = CountryCode::new("DE");
    facts.city = Some("a\r\nb: c".to_owned());
    let mut all = vec![("host".to_owned(), "shop.example.com".to_owned())];
    all.extend_from_slice(headers);
    let answers = ["a", "b"].map(|label| (label.to_owned(), answer.clone()));
    Step { facts, answers: answers.into(), ..Step::request(method, target, all, String::new()) }
}

/// Sends a request that a parser of HTTP would let through; `None` for any other.
fn send(session: &mut dyn Session, step: &Step) -> Option<Observed> {
    let is_valid = step.target.parse::<http::Uri>().is_ok()
        && step.headers.iter().all(|(name, value)| {
            name.parse::<http::HeaderName>().is_ok() && http::HeaderValue::from_str(value).is_ok()
        });
    is_valid.then(|| session.send(step).expect("the core answers every request"))
}

fn path() -> impl Strategy<Value = String> {
    let first = prop_oneof!["cached", "go", "out", "host", "rewrite", "hello", "echo", "fetch", "[a-z]{0,3}"];
    let segment = prop_oneof![
        "[a-z.]{0,4}",
        Just("..".to_owned()),
        Just("%2e%2e".to_owned()),
        Just("%2f".to_owned()),
        Just("%0d%0a".to_owned()),
        Just("evil.example".to_owned()),
        Just("é".to_owned()),
        "%[0-9a-fA-F]{2}",
    ];
    (first, proptest::collection::vec(segment, 0..4))
        .prop_map(|(first, rest)| format!("/{first}/{}", rest.join("/")))
}

fn query() -> impl Strategy<Value = String> {
    let name = prop_oneof!["q", "to", "hero", "utm_source", "[a-z]{1,2}"];
    let value = prop_oneof![
        "[a-z0-9%.+/@:]{0,6}",
        Just("evil.example".to_owned()),
        Just("partner.example".to_owned()),
        Just("%0d%0aset-cookie:x".to_owned()),
        Just("%3Cscript%3E".to_owned()),
        Just("one".to_owned()),
    ];
    proptest::collection::vec((name, value), 0..4).prop_map(|pairs| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    })
}

fn target() -> impl Strategy<Value = String> {
    (path(), query())
        .prop_map(|(path, query)| if query.is_empty() { path } else { format!("{path}?{query}") })
}

/// Two targets that are often spellings of one resource, or nearly so.
fn two_targets() -> impl Strategy<Value = (String, String)> {
    target().prop_flat_map(|first| {
        let reversed = first.split_once('?').map_or_else(
            || first.clone(),
            |(path, query)| format!("{path}?{}", query.split('&').rev().collect::<Vec<_>>().join("&")),
        );
        let near = [
            first.to_ascii_uppercase(),
            first.replace('a', "%61"),
            first.replace("%2", "%252"),
            format!("{first}{}utm_source=x", if first.contains('?') { '&' } else { '?' }),
            format!("{first}{}q", if first.contains('?') { '&' } else { '?' }),
            first.replacen('/', "//", 1),
            reversed,
        ];
        (Just(first), prop_oneof![1 => target(), 4 => proptest::sample::select(near.to_vec())])
    })
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        "x-[a-z]{1,3}",
        Just("x-forwarded-for".to_owned()),
        Just("cf-ipcountry".to_owned()),
        Just("selvedge-state".to_owned()),
        Just("connection".to_owned()),
        Just("cookie".to_owned()),
        Just("user-agent".to_owned()),
        Just("cache-control".to_owned()),
        Just("range".to_owned()),
        Just("if-none-match".to_owned()),
        Just("authorization".to_owned()),
        Just("origin".to_owned()),
    ];
    let value = prop_oneof![
        "[ -~]{0,12}",
        Just("c=x; selvedge_hero=two".to_owned()),
        Just("curl/8".to_owned()),
        "é{1,3}"
    ];
    proptest::collection::vec((name, value), 0..6)
}

fn answers() -> impl Strategy<Value = Answer> {
    let control = prop_oneof![
        Just("max-age=60"),
        Just("private"),
        Just("no-store"),
        Just("public, s-maxage=60"),
        Just("no-cache=\"x"),
        Just(",,=;"),
    ];
    let extra = prop_oneof![
        Just(("x-a", vec!["1", "2"])),
        Just(("set-cookie", vec!["a=1", "b=2"])),
        Just(("vary", vec!["accept", "*"])),
        Just(("vary", vec!["x-a"])),
        Just(("selvedge-state", vec!["x"])),
        Just(("connection", vec!["x-b"])),
        Just(("age", vec!["99999999999999999999"])),
    ];
    let status = prop_oneof![
        Just(200_u16),
        Just(204),
        Just(206),
        Just(302),
        Just(304),
        Just(404),
        Just(500),
        Just(503)
    ];
    (status, control, proptest::collection::vec(extra, 0..3)).prop_map(|(status, control, extra)| {
        let mut headers = BTreeMap::from([("cache-control".to_owned(), OneOrMany::One(control.to_owned()))]);
        for (name, values) in extra {
            headers.insert(name.to_owned(), OneOrMany::Many(values.into_iter().map(str::to_owned).collect()));
        }
        Answer { status: Some(status), headers, body: Some("body".to_owned()), error: None }
    })
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_answered_with_a_reason(
        method in prop_oneof!["GET", "HEAD", "POST", "OPTIONS", "PUT", "TRACE", "get"],
        target in target(), headers in headers(), answer in answers(),
    ) {
        let mut session = session();
        for _ in 0..2 {
            let Some(seen) = send(&mut *session, &step(&method, &target, &headers, &answer)) else { return Ok(()) };
            prop_assert!((200..600).contains(&seen.status), "{}", seen.status);
            let own: Vec<_> = values(&seen.headers, "cache-status").into_iter().map(text).collect();
            prop_assert_eq!(own.len(), 1, "{:?}", own);
            prop_assert!(own[0].starts_with("Selvedge") && own[0].contains("detail="), "{}", own[0]);
            prop_assert!(seen.headers.iter().all(|(name, _)| !name.starts_with("selvedge-")), "{:?}", seen.headers);
            for (name, value) in &seen.headers {
                prop_assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)), "{} is {:?}", name, value);
            }
        }
    }

    #[test]
    fn backends_believe_nothing_that_a_client_claims(target in target(), headers in headers(), answer in answers()) {
        let mut session = session();
        let Some(seen) = send(&mut *session, &step("GET", &target, &headers, &answer)) else { return Ok(()) };
        for fetch in &seen.fetches {
            prop_assert!(!fetch.target.split(['/', '?']).any(|part| part == ".."), "{}", fetch.target);
            prop_assert!(fetch.target.bytes().all(|b| b.is_ascii_graphic()), "{}", fetch.target);
            prop_assert!(values(&fetch.headers, "cf-ipcountry").is_empty());
            prop_assert!(values(&fetch.headers, "selvedge-state").is_empty());
            prop_assert!(values(&fetch.headers, "connection").is_empty());
            if fetch.to == "a" {
                prop_assert_eq!(values(&fetch.headers, "x-token"), [b"5ecret"]);
            }
            if !target.starts_with("/fetch") {
                prop_assert_eq!(values(&fetch.headers, "x-forwarded-for"), [b"203.0.113.9"]);
            }
        }
    }

    #[test]
    fn no_redirect_leaves_the_allowed_hosts(target in target(), headers in headers()) {
        let mut session = session();
        let Some(seen) = send(&mut *session, &step("GET", &target, &headers, &Answer::default())) else { return Ok(()) };
        for location in values(&seen.headers, "location").into_iter().map(text) {
            let base = url::Url::parse("https://shop.example.com/").expect("it is a URL");
            let url = base.join(&location).map_err(|error| TestCaseError::fail(format!("{location}: {error}")))?;
            let host = url.host_str().unwrap_or_default();
            prop_assert!(["shop.example.com", "partner.example"].contains(&host), "{} leads to {}", location, host);
            prop_assert!(["http", "https"].contains(&url.scheme()), "{} leads to {}", location, url.scheme());
        }
    }

    #[test]
    fn what_is_one_client_s_own_is_never_stored(
        rest in "[a-z]{0,3}",
        directive in prop_oneof!["private", "Private, max-age=60", "no-store", "max-age=60, no-store", "no-cache"],
        with_cookie in any::<bool>(),
    ) {
        let control = if with_cookie { "public, max-age=60" } else { directive.as_str() };
        let mut headers = BTreeMap::from([("cache-control".to_owned(), OneOrMany::One(control.to_owned()))]);
        if with_cookie {
            headers.insert("set-cookie".to_owned(), OneOrMany::One("sid=1".to_owned()));
        }
        let answer = Answer { headers, ..Answer::default() };
        let mut session = session();
        for _ in 0..2 {
            let seen = send(&mut *session, &step("GET", &format!("/cached/{rest}"), &[], &answer)).expect("it is valid");
            prop_assert_eq!(seen.fetches.len(), 1, "the second request reaches the backend too");
        }
    }

    #[test]
    fn a_field_that_is_one_client_s_own_is_never_stored(directive in prop_oneof!["private", "PRIVATE", "no-cache"], rest in "[a-z]{0,3}") {
        let control = OneOrMany::One(format!("max-age=60, {directive}=\"x-own\""));
        let own = OneOrMany::One("1".to_owned());
        let headers = BTreeMap::from([("cache-control".to_owned(), control), ("x-own".to_owned(), own)]);
        let (mut session, target) = (session(), format!("/cached/{rest}"));
        let first = send(&mut *session, &step("GET", &target, &[], &Answer { headers, ..Answer::default() })).expect("it is valid");
        prop_assert_eq!(values(&first.headers, "x-own"), [b"1"]);
        let hit = send(&mut *session, &step("GET", &target, &[], &Answer::default())).expect("it is valid");
        prop_assert!(hit.fetches.is_empty(), "the second answer is a hit");
        prop_assert!(values(&hit.headers, "x-own").is_empty());
    }

    #[test]
    fn repeated_headers_survive_both_ways(values_in in proptest::collection::vec("[!-~]{1,5}", 1..4)) {
        let headers: Vec<_> = values_in.iter().map(|value| ("x-many".to_owned(), value.clone())).collect();
        let many = OneOrMany::Many(values_in.clone());
        let answer = Answer { headers: BTreeMap::from([("x-many".to_owned(), many)]), ..Answer::default() };
        let mut session = session();
        let expected: Vec<&[u8]> = values_in.iter().map(String::as_bytes).collect();
        let seen = send(&mut *session, &step("GET", "/cached/x", &headers, &answer)).expect("it is valid");
        prop_assert_eq!(values(&seen.fetches[0].headers, "x-many"), expected.clone());
        prop_assert_eq!(values(&seen.headers, "x-many"), expected.clone());
        // A header that is in no key could have changed the response, which is therefore not stored.
        let seen = send(&mut *session, &step("GET", "/cached/x", &[], &answer)).expect("it is valid");
        prop_assert_eq!(seen.fetches.len(), 1);
        let hit = send(&mut *session, &step("GET", "/cached/x", &[], &Answer::default())).expect("it is valid");
        prop_assert!(hit.fetches.is_empty(), "the second answer is a hit");
        prop_assert_eq!(values(&hit.headers, "x-many"), expected);
    }

    #[test]
    fn no_two_resources_share_a_stored_response((first, second) in two_targets()) {
        let mut session = session();
        let answer = |body: &str| Answer { body: Some(body.to_owned()), ..Answer::default() };
        let (first, second) = (format!("/cached{first}"), format!("/cached{second}"));
        let Some(one) = send(&mut *session, &step("GET", &first, &[], &answer("first"))) else { return Ok(()) };
        let Some(two) = send(&mut *session, &step("GET", &second, &[], &answer("second"))) else { return Ok(()) };
        if two.body == b"first" {
            let sorted = |target: &str| {
                let mut pairs: Vec<String> = target.split_once('?').map_or("", |(_, query)| query).split('&').map(str::to_owned).collect();
                pairs.retain(|pair| !pair.is_empty() && !pair.starts_with("utm_source"));
                pairs.sort_by_key(|pair| pair.split('=').next().map(str::to_owned));
                pairs.iter().map(|pair| decoded(&pair.replace('+', " "))).collect::<Vec<_>>()
            };
            let path = |target: &str| decoded(target.split('?').next().unwrap_or_default());
            prop_assert_eq!(path(&first), path(&second), "{:?}", one);
            prop_assert_eq!(sorted(&first), sorted(&second));
        }
    }
}

/// Percent-decodes a text, as the law's own judge.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}
