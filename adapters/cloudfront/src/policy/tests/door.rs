//! What viewer-request makes of a request.

use selvedge_core::facts::CountryCode;

use super::*;

const BLOCKS: &str =
    "[[geo.rules]]\naction = \"block\"\ncountries = [\"CN\"]\nstatus = 451\nbody = \"not here\"\n";

#[test]
fn a_request_goes_on_as_it_came_with_two_headers_more() {
    let edge = edge(SHOP);
    let fields =
        [("X-MiXeD", "1"), ("X-MiXeD", "2"), ("Cookie", "a=b"), ("Cookie", "c=d"), ("Via", "1.1 proxy")];
    let mut came = get("/items/1?q=x", &fields);
    came.extra.insert("later".to_owned(), serde_json::Value::from(1));
    let mut entered = enter(&edge, came.clone());
    let [state, key] = ["selvedge-state", "selvedge-key"].map(|name| entered.headers.remove(name));
    assert_eq!(entered, came, "nothing else changed, neither case nor order nor what is unknown");
    assert_eq!((state.len(), key.len()), (1, 1));
    assert!(key[0].value.starts_with("https://shop.example.com/items/1?q"), "{key:?}");
}

#[test]
fn a_key_that_is_no_word_of_a_line_has_a_digest() {
    let edge = edge(SHOP);
    let key = |target: String, cookie: &str| {
        let entered = enter(&edge, get(&target, &[("Cookie", cookie)]));
        all(&entered.headers, "selvedge-key").concat()
    };
    let is_digest = |key: &str| key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    let long = |last: char| format!("/items/{}{last}", "1".repeat(256));
    assert!(is_digest(&key(long('a'), "hero=one")));
    assert_ne!(key(long('a'), "hero=one"), key(long('b'), "hero=one"), "it tells apart what is told apart");
    let short = key("/items/1".to_owned(), "hero=one");
    assert!(!is_digest(&short) && short.contains(" variation:hero="), "its lines are words: {short}");
}

#[test]
fn what_a_client_says_of_cloudfront_or_the_edge_goes() {
    let edge = edge(SHOP);
    let entered = enter(
        &edge,
        get(
            "/items/1",
            &[
                ("Selvedge-State", "forged"),
                ("selvedge-key", "mine"),
                ("selvedge-key", "again"),
                ("Selvedge-Client-Ip", "192.0.2.1"),
                ("CloudFront-Viewer-Country", "CN"),
                ("CloudFront-Forwarded-Proto", "https"),
                ("X-Real-IP", "192.0.2.1"),
            ],
        ),
    );
    let expected = ["host", "user-agent", "accept", "accept-language", "selvedge-key", "selvedge-state"];
    assert_eq!(entered.headers.names().collect::<Vec<_>>(), expected);
    for name in ["selvedge-key", "selvedge-state"] {
        let [value] = all(&entered.headers, name)[..] else { panic!("{name} is there once") };
        assert!(!["forged", "mine", "again"].contains(&value), "{name} is the edge's own");
    }
}

#[test]
fn the_key_is_the_same_for_requests_that_share_responses_only() {
    let edge = edge(SHOP);
    let key = |target: &str, headers: &[(&str, &str)]| {
        let entered = enter(&edge, get(target, headers));
        all(&entered.headers, "selvedge-key").concat()
    };
    let usual = key("/items/1?a=1", &[("Cookie", "hero=one")]);
    assert_eq!(key("/items/1?a=1", &[("Cookie", "hero=one"), ("X-A", "1")]), usual);
    for (target, cookie, why) in [
        ("/items/2?a=1", "hero=one", "the path is another one"),
        ("/items/1?a=2", "hero=one", "the query is another one"),
        ("/items/1?a=1", "hero=two", "the backend is told another variation"),
    ] {
        assert_ne!(key(target, &[("Cookie", cookie)]), usual, "{why}");
    }
}

#[test]
fn a_request_that_shares_nothing_has_a_key_of_its_own() {
    let edge = edge(SHOP);
    for (method, target, why) in [
        ("GET", "/api", "it is not stored"),
        ("POST", "/items/1", "it is not safe"),
        ("GET", "/echo", "a handler answers"),
        ("GET", "/here", "the answer is due behind the cache"),
    ] {
        let entered = enter(&edge, request(method, target, &[]));
        let own = "-30313233343536373839616263646566";
        assert_eq!(all(&entered.headers, "selvedge-key"), [own], "{target}: {why}");
    }
}

#[test]
fn what_needs_no_place_is_answered() {
    let edge = edge(SHOP);
    let rows = [
        ("GET", "/hello", "200", Some("hello")),
        ("GET", "/none", "404", Some("Not found")),
        ("GET", "/items/%00", "400", None),
        ("GET", "", "400", None),
        ("TRACE", "/hello", "501", None),
    ];
    for (method, target, status, body) in rows {
        let answer = answered(outcome(&edge, cf(Trigger::ViewerRequest, request(method, target, &[]), None)));
        assert_eq!(answer.status, status, "{method} {target}");
        assert!(body.is_none() || answer.body.as_deref() == body, "{method} {target}: {answer:?}");
        assert_eq!(all(&answer.headers, "x-served-by"), ["selvedge"], "{method} {target}");
        assert!(!answer.headers.contains("selvedge-state"), "nobody takes it away from an answer");
    }
}

#[test]
fn what_the_place_could_change_goes_on_to_be_answered_behind_the_cache() {
    let edge = edge(&format!("{BLOCKS}[bots.rules]\nscraper = \"block\"\n"));
    for (target, agent) in [("/none", BROWSER), ("/", "sqlmap/1.7")] {
        enter(&edge, get(target, &[("User-Agent", agent)]));
    }
}

#[test]
fn a_database_of_places_decides_at_the_door() {
    let places: Places = Arc::new(|address| {
        let mut facts = Facts::default();
        facts.country = CountryCode::new(if address.is_ipv6() { "DE" } else { "CN" });
        facts.city = Some("Anywhere".to_owned());
        facts.tls_version = Some("a database knows none".to_owned());
        facts
    });
    let here = "[[routes]]\npath = \"/here\"\nrespond = { status = 200, body = \"{country} {city}\" }\n";
    let edge = edge_with(&format!("{BLOCKS}{here}"), KEY, Some(places));
    let from = |client_ip: &str| {
        let request = Request { client_ip: client_ip.to_owned(), ..get("/here", &[]) };
        let answer = answered(outcome(&edge, cf(Trigger::ViewerRequest, request, None)));
        (answer.status, answer.body.unwrap_or_default())
    };
    assert_eq!(from("203.0.113.7"), ("451".to_owned(), "not here".to_owned()));
    assert_eq!(from("2001:db8::1"), ("200".to_owned(), "DE Anywhere".to_owned()));
    assert_eq!(from("nobody").0, "200", "no address has no place, which may come in");
}

#[test]
fn a_redirect_to_https_is_cloudfronts_and_the_scheme_is_known() {
    let text = "[[routes]]\npath = \"/\"\nrespond = { status = 200, body = \"{scheme}\" }\n";
    let policy = read(text).expect("it is a policy");
    for (https_only, scheme) in [(true, "https"), (false, "http")] {
        let engine = Arc::new(Engine::compile(policy.clone()).expect("it needs nothing else"));
        let edge = Arc::new(Edge::new(engine, Settings { key: KEY, https_only, places: None }));
        let answer = answered(outcome(&edge, cf(Trigger::ViewerRequest, get("/", &[]), None)));
        assert_eq!(answer.body.as_deref(), Some(scheme));
        assert_eq!(edge.distribution().https_only, https_only);
    }
}

#[test]
fn an_event_without_a_trigger_is_a_viewers() {
    let edge = edge(SHOP);
    let mut event = cf(Trigger::OriginRequest, get("/hello", &[]), None);
    event.config.event_type = None;
    assert_eq!(answered(outcome(&edge, event)).body.as_deref(), Some("hello"));
    let mut event =
        cf(Trigger::OriginResponse, get("/hello", &[]), Some(respond(200, &[("selvedge-state", "x")])));
    event.config.event_type = None;
    assert_eq!(
        answered(outcome(&edge, event)),
        respond(200, &[]),
        "viewer-response removes what is internal"
    );
}

#[test]
fn an_answer_that_is_too_long_for_the_door_is_the_fallback_page() {
    let page = format!(
        "[[routes]]\npath = \"/\"\nrespond = {{ status = 200, body = \"{}\" }}\n",
        "x".repeat(41_000)
    );
    let sorry = "[fallback]\npage = { status = 503, body = \"sorry\" }\n";
    let finished = run(
        &edge(&format!("{page}{sorry}")),
        cf(Trigger::ViewerRequest, get("/", &[]), None),
        &mut Host::down(),
    );
    assert_eq!(
        finished.violations.iter().map(|found| found.rule).collect::<Vec<_>>(),
        [rules::Rule::ResponseSize]
    );
    let answer = answered(finished.outcome);
    assert_eq!((answer.status.as_str(), answer.body.as_deref()), ("503", Some("sorry")));
    let sorry = format!("[fallback]\npage = {{ status = 503, body = \"{}\" }}\n", "s".repeat(41_000));
    let finished = run(
        &edge(&format!("{page}{sorry}")),
        cf(Trigger::ViewerRequest, get("/", &[]), None),
        &mut Host::down(),
    );
    let answer = answered(finished.outcome);
    assert_eq!(
        (answer.status.as_str(), answer.body.as_deref()),
        ("503", Some("")),
        "that page is too long as well"
    );
    assert_eq!(all(&answer.headers, "cache-control"), ["no-store"]);
}
