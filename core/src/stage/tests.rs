use std::sync::Arc;

use http::{Request, Response, StatusCode};

use super::*;
use crate::effect::Fetch;
use crate::engine::Engine;
use crate::exchange::{Exchange, Input, Step};
use crate::facts::{CountryCode, Fact, FactSet};
use crate::policy::read::read;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_768_478_400_000);
const SEED: [u8; 16] = *b"0123456789abcdef";
const HOW: Departing = Departing { has_failed: false, max_body_bytes: 1000 };

const SHOP: &str = r#"
    [backends.a]
    url = "http://a.test/base"
    request-headers = { x-key = "k" }
    [[geo.rules]]
    action = "block"
    countries = ["CN"]
    [bots.rules]
    scraper = "block"
    [headers.request]
    remove = ["cookie"]
    [[routes]]
    path = "/a/{name}"
    backend = "a"
    rewrite = "/b/{name}"
    cache = { edge = "1m", browser = "10s" }
    [[routes]]
    path = "/go"
    redirect = { to = "https://all.example/", countries = { US = "https://us.example/" } }
    [experiments.hero]
    variations = [{ name = "one", request-headers = { x-hero = "1" } }, { name = "two", request-headers = { x-hero = "2" } }]
"#;

fn engine(policy: &str) -> Arc<Engine> {
    let policy = read(policy).unwrap_or_else(|errors| panic!("{policy}: {errors}"));
    Arc::new(Engine::compile(policy).expect("the policy needs nothing else"))
}

fn request(target: &str, user_agent: &str) -> Request<Body> {
    let builder = Request::builder().uri(target).header("host", "shop.example.com").header("cookie", "a=b");
    let builder =
        builder.header("accept", "*/*").header("accept-language", "en").header("user-agent", user_agent);
    builder.body(Body::Empty).expect("the request is one")
}

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

fn enter(engine: &Engine, request: Request<Body>) -> Entry {
    engine.enter(Transaction::before_the_place(request, Facts::default(), SEED), NOW)
}

fn forwarded(entry: Entry) -> Forward {
    match entry {
        Entry::Forward(forward) => forward,
        Entry::Respond(answer) => panic!("{answer:?}"),
    }
}

fn facts(country: &str) -> Facts {
    Facts { country: CountryCode::new(country), ..Facts::default() }
}

fn depart_from(
    engine: &Arc<Engine>,
    request: Request<Body>,
    country: &str,
    learnt: &Learnt,
) -> (Departure, Transaction) {
    let tx = Transaction::resumed(request, facts(country), learnt);
    let step = Exchange::departing(Arc::clone(engine), tx, HOW).poll(Input::Begin, NOW);
    let Step::Depart(depart) = step else { panic!("{step:?}") };
    (depart.departure, depart.transaction)
}

fn fetch(engine: &Arc<Engine>, learnt: &Learnt) -> (Box<Fetch>, Passage) {
    match depart_from(engine, request("/a/x?q=1", BROWSER), "DE", learnt) {
        (Departure::Fetch(fetch), tx) => {
            let passage = Passage::new(&tx, &fetch.request);
            (fetch, Passage::from_bytes(&passage.to_bytes()).expect("it was written"))
        }
        (Departure::Respond(response), _) => panic!("{response:?}"),
    }
}

fn respond(status: u16, cache_control: &str) -> Response<Body> {
    let builder = Response::builder().status(status).header("cache-control", cache_control);
    builder.body(Body::Empty).expect("the response is one")
}

fn arrive(engine: &Arc<Engine>, learnt: &Learnt, response: Response<Body>) -> HandedOver {
    let (fetch, passage) = fetch(engine, learnt);
    match engine.arrive(passage.resume(fetch.request), response, false, NOW) {
        Arrived::Deliver(handed) => *handed,
        Arrived::Keep => panic!("nothing fails over"),
    }
}

#[test]
fn the_first_stage_answers_only_what_the_place_cannot_change() {
    let engine = engine(SHOP);
    let rows = [
        ("/a/../b", BROWSER, Some(400), "the target is refused before any rule about places"),
        ("/a/x", BROWSER, None, "it goes on"),
        ("/a/x", "sqlmap/1.7", None, "a client in China would be told so before it is told that it is a bot"),
        ("/go", BROWSER, None, "the redirect depends on the country"),
        ("/none", BROWSER, None, "who may not come in is not told what is not there"),
    ];
    for (target, agent, status, why) in rows {
        let answered = match enter(&engine, request(target, agent)) {
            Entry::Respond(answer) => Some(answer.response.status().as_u16()),
            Entry::Forward(_) => None,
        };
        assert_eq!(answered, status, "{target} {agent}: {why}");
    }
}

#[test]
fn a_request_that_is_only_forwarded_to_be_answered_shares_nothing() {
    let engine = engine(SHOP);
    assert!(forwarded(enter(&engine, request("/a/x", BROWSER))).key.is_some());
    assert_eq!(forwarded(enter(&engine, request("/go", BROWSER))).key, None);
    assert_eq!(forwarded(enter(&engine, request("/a/x", "sqlmap/1.7"))).key, None);
}

#[test]
fn a_route_that_depends_on_the_place_shares_nothing() {
    let engine = engine(
        "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nwhen = { countries = [\"US\"] }\nbackend = \"a\"\n\
         [[routes]]\npath = \"/\"\nbackend = \"a\"\n[[routes]]\npath = \"/other\"\nbackend = \"a\"",
    );
    assert_eq!(forwarded(enter(&engine, request("/", BROWSER))).key, None);
    assert!(forwarded(enter(&engine, request("/other", BROWSER))).key.is_some());
}

#[test]
fn the_second_stage_decides_with_the_place_and_keeps_what_was_learnt() {
    let engine = engine(SHOP);
    let forward = forwarded(enter(&engine, request("/a/x", BROWSER)));
    let learnt = Learnt::from_bytes(&forward.learnt.to_bytes()).expect("it was written");
    assert_eq!(learnt, forward.learnt);
    let (blocked, _) = depart_from(&engine, request("/a/x", BROWSER), "CN", &learnt);
    assert!(matches!(blocked, Departure::Respond(response) if response.status() == StatusCode::FORBIDDEN));
    let (redirected, _) = depart_from(&engine, request("/go", BROWSER), "US", &learnt);
    assert!(
        matches!(redirected, Departure::Respond(response) if response.headers()["location"] == "https://us.example/")
    );
    let (fetch, _) = fetch(&engine, &learnt);
    assert_eq!(fetch.request.uri(), "http://a.test/base/b/x?q=1");
    assert!(!fetch.request.headers().contains_key("cookie"), "the policy removes it");
    let again = request("/a/x", BROWSER).into_parts().0;
    let other = Request::from_parts(again, Body::Empty);
    let hero = |seed| {
        let tx = Transaction::before_the_place(request("/a/x", BROWSER), Facts::default(), seed);
        forwarded(engine.enter(tx, NOW)).learnt.assigned
    };
    assert!((0..32).any(|seed| hero([seed; 16]) != learnt.assigned), "visitors differ");
    let (Departure::Fetch(sent), _) = depart_from(&engine, other, "DE", &learnt) else { panic!("a fetch") };
    assert_eq!(
        sent.request.headers()["x-hero"],
        fetch.request.headers()["x-hero"],
        "the variation is the one that was learnt"
    );
}

#[test]
fn a_passage_restores_the_request_from_what_the_backend_was_sent() {
    let engine = engine(SHOP);
    let forward = forwarded(enter(&engine, request("/a/x?q=1", BROWSER)));
    let (fetch, passage) = fetch(&engine, &forward.learnt);
    let tx = passage.resume(fetch.request);
    let mut original = request("/a/x?q=1", BROWSER);
    assert_eq!(tx.request.uri(), original.uri());
    let mut restored = tx.request.headers().clone();
    for headers in [&mut restored, original.headers_mut()] {
        headers.remove("host");
    }
    assert_eq!(&restored, original.headers());
    assert_eq!(tx.facts().country, CountryCode::new("DE"));
}

#[test]
fn the_cache_is_told_the_edges_lifetime_and_the_client_its_own() {
    let engine = engine(SHOP);
    let learnt = forwarded(enter(&engine, request("/a/x", BROWSER))).learnt;
    let handed = arrive(&engine, &learnt, respond(200, "max-age=5"));
    assert_eq!(
        handed.response.headers()["cache-control"],
        "max-age=60, stale-while-revalidate=0, stale-if-error=0"
    );
    let mark =
        Mark::from_bytes(&handed.mark.expect("the last stage is due").to_bytes()).expect("it was written");
    let later = NOW + std::time::Duration::from_secs(20);
    for (learnt, now, status) in [
        (learnt.clone(), NOW, "Selvedge;fwd=uri-miss;stored;detail=backend.responded"),
        (Learnt { seed: [7; 16], ..learnt.clone() }, later, "Selvedge;hit;ttl=40;detail=cache.hit"),
    ] {
        let response = Response::from_parts(handed.response.clone().into_parts().0, Body::Empty);
        let answer = engine.leave(request("/a/x", BROWSER), Facts::default(), &learnt, &mark, response, now);
        assert_eq!(answer.response.headers()["cache-status"], status);
        let age = now.saturating_since(NOW).as_secs();
        let expected = format!("private, max-age={}", 10 + age);
        assert_eq!(
            answer.response.headers()["cache-control"],
            expected.as_str(),
            "private for the visitor's cookie"
        );
        assert!(answer.response.headers().contains_key("set-cookie"));
    }
}

#[test]
fn what_may_not_be_stored_is_not() {
    let engine = engine(SHOP);
    let learnt = forwarded(enter(&engine, request("/a/x", BROWSER))).learnt;
    let vary = |mut response: Response<Body>| {
        response.headers_mut().insert("vary", "accept-language".parse().expect("a name"));
        response
    };
    for (response, why) in [
        (respond(200, "private"), "the backend says so"),
        (vary(respond(200, "max-age=60")), "the platform's cache does not follow Vary"),
    ] {
        let handed = arrive(&engine, &learnt, response);
        assert_eq!(handed.response.headers()["cache-control"], "private, no-store", "{why}");
        assert!(
            handed.mark.is_some_and(|mark| !mark.fields.is_empty()),
            "the client is told what the backend said"
        );
    }
}

#[test]
fn an_error_is_final_where_it_arrives() {
    let engine = engine(SHOP);
    let learnt = forwarded(enter(&engine, request("/a/x", BROWSER))).learnt;
    let handed = arrive(&engine, &learnt, respond(404, "max-age=5"));
    assert_eq!(handed.mark, None);
    let headers = handed.response.headers();
    assert_eq!(
        headers["cache-status"], "Selvedge;fwd=uri-miss;detail=backend.responded",
        "a cookie is one visitor's"
    );
    assert!(headers.contains_key("set-cookie"), "a visitor is remembered");
    assert!(headers["cache-control"].to_str().is_ok_and(|text| text.contains("private")), "{headers:?}");
    assert_eq!(handed.records.len(), 1, "the visitor saw a variation");
}

#[test]
fn the_facts_that_decide_are_those_that_change_a_response() {
    let rows: [(&str, &[Fact]); 6] = [
        ("", &[]),
        ("[[geo.rules]]\naction = \"block\"\ncountries = [\"CN\"]", &[Fact::Country, Fact::Continent]),
        ("[[routes]]\npath = \"/\"\nrespond = { body = \"{city}\" }", &[Fact::City]),
        (
            "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { key = { facts = [\"region\"] } }",
            &[Fact::Region],
        ),
        ("[headers.response.set]\nx-a = \"{asn}\"", &[Fact::Asn]),
        ("[headers.request.set]\nx-a = \"{asn}\"", &[]),
    ];
    for (policy, expected) in rows {
        let policy = read(policy).unwrap_or_else(|errors| panic!("{policy}: {errors}"));
        assert_eq!(deciding_facts(&policy), FactSet::of(expected), "{}", policy.routes.len());
    }
    let told = read("[headers.request.set]\nx-a = \"{asn}\"").expect("a policy");
    assert!(facts_read(&told).has(Fact::Asn), "a backend is told");
}

const PLAIN: &str = r#"
    [backends.a]
    url = "http://a.test/base"
    [headers.request.set]
    x-extra = "1"
    [headers.response.set]
    x-agent = "{header.user-agent}"
    [[geo.rules]]
    action = "block"
    countries = ["CN"]
    [[routes]]
    path = "/a/{name}"
    backend = "a"
    [experiments.hero]
    variations = [{ name = "one" }, { name = "two" }]
"#;

#[test]
fn a_backend_is_sent_nothing_internal_where_the_request_says_it_all() {
    let plain = |more: &str| PLAIN.replace("backend = \"a\"\n", &format!("backend = \"a\"\n{more}\n"));
    let rows = [
        (PLAIN.to_owned(), false, "everything can be found again"),
        (plain("rewrite = \"/b/{name}\""), true, "the path is another one"),
        (plain("headers.request.remove = [\"user-agent\"]"), true, "a response header needs it"),
        (plain("headers.request.remove = [\"cookie\"]"), true, "the visitor is known by it"),
        (plain("headers.request.remove = [\"x-other\"]"), false, "nothing reads it"),
        (plain("headers.request.set = { x-request-id = \"mine\" }"), true, "the request's id is lost"),
        (plain("headers.response.set = { x-country = \"{country}\" }"), true, "the place is not sent"),
    ];
    for (policy, is_needed, why) in rows {
        let engine = engine(&policy);
        let learnt = forwarded(enter(&engine, request("/a/x?q=1", BROWSER))).learnt;
        let (Departure::Fetch(fetch), tx) = depart_from(&engine, request("/a/x?q=1", BROWSER), "DE", &learnt)
        else {
            panic!("{policy}")
        };
        let passage = engine.passage(&tx, &fetch.request, Facts::default());
        assert_eq!(passage.is_some(), is_needed, "{why}");
        if passage.is_none() {
            let again = engine.retrace(fetch.request, Facts::default());
            assert_eq!((Learnt::of(&again), again.route), (learnt, tx.route), "{why}");
            assert_eq!(again.request.uri(), "/a/x?q=1", "the path of the backend's URL is taken off");
        }
    }
}

#[test]
fn an_experiment_that_depends_on_the_place_is_decided_with_it() {
    let engine = engine(
        "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\n[experiments.hero]\n\
         when = { countries = [\"DE\"] }\nvariations = [{ name = \"one\" }, { name = \"two\" }]",
    );
    let forward = forwarded(enter(&engine, request("/", BROWSER)));
    assert_eq!(
        (forward.key, forward.learnt.assigned.len()),
        (None, 0),
        "nothing is shared and nothing decided"
    );
    for (country, variations) in [("DE", 1), ("FR", 0)] {
        let (Departure::Fetch(fetch), tx) =
            depart_from(&engine, request("/", BROWSER), country, &forward.learnt)
        else {
            panic!("a fetch")
        };
        assert_eq!(tx.assigned.len(), variations, "{country}");
        let passage =
            engine.passage(&tx, &fetch.request, Facts::default()).expect("it cannot be found again");
        let Arrived::Deliver(handed) =
            engine.arrive(passage.resume(fetch.request), respond(200, "max-age=9"), false, NOW)
        else {
            panic!("a response")
        };
        let mark = handed.mark.expect("the last stage is due");
        let answer = engine.leave(
            request("/", BROWSER),
            Facts::default(),
            &forward.learnt,
            &mark,
            respond(200, ""),
            NOW,
        );
        assert_eq!(answer.records.len(), variations, "{country}: the last stage knows");
        assert_eq!(answer.response.headers().contains_key("set-cookie"), variations == 1, "{country}");
    }
}

#[test]
fn a_response_that_is_too_stale_to_be_revalidated_stands_in_for_a_failure() {
    let engine = engine(
        "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\n\
         cache = { edge = \"1m\", stale-while-revalidate = \"1m\", stale-if-error = \"1h\" }",
    );
    let learnt = forwarded(enter(&engine, request("/", BROWSER))).learnt;
    let (Departure::Fetch(fetch), tx) = depart_from(&engine, request("/", BROWSER), "DE", &learnt) else {
        panic!("a fetch")
    };
    assert_eq!(engine.passage(&tx, &fetch.request, Facts::default()), None);
    let tx = engine.retrace(fetch.request, Facts::default());
    let Arrived::Deliver(handed) = engine.arrive(tx, respond(200, ""), false, NOW) else {
        panic!("a response")
    };
    let mark = handed.mark.expect("the last stage is due");
    let other = Learnt { seed: [7; 16], ..learnt };
    for (age, status) in [
        (59, "Selvedge;hit;ttl=1;detail=cache.hit"),
        (90, "Selvedge;hit;ttl=-30;detail=cache.stale-while-revalidate"),
        (200, "Selvedge;fwd=stale;detail=fallback.stale"),
    ] {
        let now = NOW + std::time::Duration::from_secs(age);
        let answer =
            engine.leave(request("/", BROWSER), Facts::default(), &other, &mark, respond(200, ""), now);
        assert_eq!(answer.response.headers()["cache-status"], status, "after {age} s");
    }
}

#[test]
fn a_response_to_a_request_that_another_policy_sent_stays_as_it_is() {
    let engine = engine(PLAIN);
    let learnt = forwarded(enter(&engine, request("/a/x", BROWSER))).learnt;
    let (Departure::Fetch(fetch), _) = depart_from(&engine, request("/a/x", BROWSER), "DE", &learnt) else {
        panic!("a fetch")
    };
    let sent = |uri: &str| {
        let mut sent = fetch.request.clone();
        *sent.uri_mut() = uri.parse().expect("a URI");
        engine.retrace(sent, Facts::default())
    };
    let arrive = |tx| engine.arrive(tx, respond(200, "max-age=9"), false, NOW);
    assert!(matches!(arrive(sent("http://a.test/base/a/x")), Arrived::Deliver(_)), "the policy's own");
    for unknown in ["http://a.test/base/none", "http://other.test/base/a/x", "http://a.test/a/x"] {
        assert!(matches!(arrive(sent(unknown)), Arrived::Keep), "{unknown}");
    }
}
