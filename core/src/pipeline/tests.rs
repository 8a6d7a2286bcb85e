//! Attempts at backends, effect by effect.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};

use super::*;
use crate::body::BodyHandle;
use crate::effect::{EffectId, Fetch, FetchError};
use crate::exchange::tests::fetch;
use crate::exchange::{Exchange, Input, Respond, Step};
use crate::facts::Facts;
use crate::handler::{HandlerContext, HandlerError, HandlerResult};
use crate::health::BodyEnd;
use crate::policy::read::read;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn engine(policy: &str) -> Arc<Engine> {
    let policy = read(policy).unwrap_or_else(|errors| panic!("{errors}"));
    Arc::new(Engine::builder(policy).handler("ask", ask).compile().expect("nothing is missing"))
}

/// A handler that asks a backend and says what came of it.
async fn ask(context: HandlerContext) -> HandlerResult {
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = http::Uri::from_static("/asked");
    context.fetch("a", request).await.map_err(|error| HandlerError::new(error.as_str()))
}

fn begin(engine: &Arc<Engine>, seed: u8, now: Timestamp) -> (Exchange, Step) {
    let request = Request::get("http://shop.test/x").body(Body::Empty).expect("it is a request");
    let mut exchange = Exchange::new(Arc::clone(engine), request, Facts::default(), [seed; 16]);
    let step = exchange.poll(Input::Begin, now);
    (exchange, step)
}

fn respond(step: Step) -> Box<Respond> {
    let Step::Respond(respond) = step else { panic!("a response was expected: {step:?}") };
    respond
}

fn failed(id: EffectId, error: FetchError) -> Input {
    Input::Completed { id, result: EffectResult::Fetch(Err(error)) }
}

fn answered(id: EffectId) -> Input {
    Input::Completed { id, result: EffectResult::Fetch(Ok(Response::new(Body::from("answer")))) }
}

fn host(fetch: &Fetch) -> &str {
    fetch.request.uri().host().unwrap_or_default()
}

#[test]
fn a_backend_has_its_total_time_for_all_of_its_attempts_and_then_the_next_one_is_asked() {
    let engine = engine(
        r#"
[backends.a]
url = ["http://a1.test", "http://a2.test"]
timeout = "3s"
total-timeout = "5s"
retry = { attempts = 5, backoff = "0ms", budget = 100 }
failover = ["b"]
[backends.b]
url = "http://b.test"
[[routes]]
path = "/{*rest}"
backend = "a"
cache = { store = false }
"#,
    );
    let times = |fetch: &Fetch| (fetch.timeout, fetch.watch.as_ref().and_then(|watch| watch.total));
    let seconds = Duration::from_secs;
    let (mut exchange, step) = begin(&engine, 1, NOW);
    let (id, first) = fetch(step);
    assert_eq!((host(&first), times(&first)), ("a1.test", (seconds(3), Some(seconds(5)))));
    let (id, again) = fetch(exchange.poll(failed(id, FetchError::Timeout), NOW + seconds(3)));
    assert_eq!((host(&again), times(&again)), ("a1.test", (seconds(2), Some(seconds(2)))));
    let (_, last) = fetch(exchange.poll(failed(id, FetchError::Timeout), NOW + seconds(5)));
    assert_eq!((host(&last), times(&last)), ("b.test", (seconds(30), None)), "not the second URL");
}

#[test]
fn a_second_url_has_what_the_first_one_left() {
    let engine = engine(
        "[backends.a]\nurl = [\"http://a1.test\", \"http://a2.test\"]\ntotal-timeout = \"5s\"\n\
         [[routes]]\npath = \"/{*rest}\"\nbackend = \"a\"\ncache = { store = false }\n",
    );
    let (mut exchange, step) = begin(&engine, 1, NOW);
    let (id, _) = fetch(step);
    let (id, second) = fetch(exchange.poll(failed(id, FetchError::Connect), NOW + Duration::from_secs(1)));
    assert_eq!((host(&second), second.timeout), ("a2.test", Duration::from_secs(4)));
    let answer = respond(exchange.poll(failed(id, FetchError::Timeout), NOW + Duration::from_secs(5)));
    assert_eq!(answer.response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.summary.reason, Reason::BackendFailed(FetchError::Timeout));
}

#[test]
fn backends_with_weights_follow_one_another_and_their_failover_comes_last() {
    let engine = engine(
        "[backends.a]\nurl = \"http://a.test\"\nfailover = [\"b\", \"d\"]\n[backends.b]\nurl = \"http://b.test\"\n\
         failover = [\"d\"]\n[backends.c]\nurl = \"http://c.test\"\n[backends.d]\nurl = \"http://d.test\"\n\
         [[routes]]\npath = \"/{*rest}\"\nbackend = { weights = { a = 1, b = 1, c = 0 } }\ncache = { store = false }\n",
    );
    let mut first = std::collections::BTreeSet::new();
    for seed in 0..16 {
        let (mut exchange, mut step) = begin(&engine, seed, NOW);
        let mut asked = Vec::new();
        while let Step::Effects(_) = step {
            let (id, fetch) = fetch(step);
            asked.push(host(&fetch).to_owned());
            step = exchange.poll(failed(id, FetchError::Connect), NOW);
        }
        let expected = if asked[0] == "a.test" { ["a", "b", "c", "d"] } else { ["b", "a", "c", "d"] };
        assert_eq!(asked, expected.map(|name| format!("{name}.test")), "{seed}");
        assert_eq!(respond(step).response.status(), StatusCode::BAD_GATEWAY);
        first.insert(asked.remove(0));
    }
    assert_eq!(first.len(), 2, "each is drawn first by some request");
}

#[test]
fn what_a_handler_asks_for_counts_for_the_backend_and_is_refused_when_that_is_down() {
    let engine = engine(
        "[backends.a]\nurl = \"http://a.test\"\nbreaker = { failures = 2, open = \"10s\" }\nretry = {}\n\
         [[routes]]\npath = \"/{*rest}\"\nhandler = \"ask\"\n",
    );
    let second = Duration::from_secs(1);
    // A handler is given up at a deadline, of which there is none here.
    for round in 0..2 {
        let (mut exchange, step) = begin(&engine, round, NOW);
        let (id, _) = fetch(step);
        let answer = respond(exchange.poll(failed(id, FetchError::Connect), NOW));
        assert_eq!(answer.summary.reason, Reason::HandlerFailed, "without another attempt");
    }
    let refused = respond(begin(&engine, 3, NOW + second).1);
    let message = refused.effects.iter().find_map(|issued| {
        let Effect::Record(Record::HandlerFailure { message, .. }) = &issued.effect else { return None };
        Some(message.as_str())
    });
    assert_eq!(message, Some("refused"), "at once, and the backend is not asked");
    let (mut probe, step) = begin(&engine, 4, NOW + second * 10);
    let (id, _) = fetch(step);
    assert_eq!(respond(begin(&engine, 5, NOW + second * 10).1).summary.reason, Reason::HandlerFailed);
    assert_eq!(respond(probe.poll(answered(id), NOW + second * 10)).response.status(), StatusCode::OK);
    let _ = fetch(begin(&engine, 6, NOW + second * 10).1);
}

#[test]
fn a_probe_whose_body_streams_waits_for_its_end_unless_none_can_be_expected() {
    let policy = "[backends.a]\nurl = \"http://a.test\"\nbreaker = { failures = 1, open = \"10s\" }\n\
         [[routes]]\npath = \"/{*rest}\"\nbackend = \"a\"\ncache = { store = false }\n";
    let later = NOW + Duration::from_secs(10);
    let streams = || Body::Host(BodyHandle(7));
    let rows = [
        (200, "text/html", streams(), true),
        (200, "text/html", Body::Empty, false),
        (200, "Text/Event-Stream; charset=utf-8", streams(), false),
        (101, "text/html", streams(), false),
    ];
    for (status, media_type, body, waits) in rows {
        let engine = engine(policy);
        let (mut first, step) = begin(&engine, 1, NOW);
        let (id, regular) = fetch(step);
        assert_eq!(regular.watch.map(|watch| (watch.total, watch.report.probe())), Some((None, None)));
        respond(first.poll(failed(id, FetchError::Connect), NOW));
        let (mut probe, step) = begin(&engine, 2, later);
        let (id, asked) = fetch(step);
        let report = asked.watch.expect("the backend has a breaker").report;
        assert!(report.probe().is_some());
        let head = Response::builder().status(status).header("content-type", media_type).body(body).unwrap();
        probe.poll(Input::Completed { id, result: EffectResult::Fetch(Ok(head)) }, later);
        let is_refused = matches!(begin(&engine, 3, later).1, Step::Respond(_));
        assert_eq!(is_refused, waits, "{status} {media_type}");
        report.tell(StatusCode::OK, BodyEnd::Whole, later);
        let (_, next) = fetch(begin(&engine, 4, later).1);
        assert_eq!(next.watch.and_then(|watch| watch.report.probe()), None, "it is closed");
    }
}

/// Two backends, of which the second one stands in for the first.
fn guarded(first: &str, second: &str, rest: &str) -> String {
    format!(
        "[backends.a]\nurl = \"http://a.test\"\n{first}\n[backends.b]\nurl = \"http://b.test\"\n{second}\n\
         [[routes]]\npath = \"/{{*rest}}\"\nbackend = \"a\"\ncache = {{ store = false }}\n{rest}"
    )
}

#[test]
fn what_has_little_time_left_is_no_failure_of_its_backend_when_that_is_over() {
    for (timeout, counts) in [("2s", true), ("3s", false)] {
        let timeout = format!("timeout = \"{timeout}\"\nbreaker = {{ failures = 1 }}");
        let engine = engine(&guarded(
            "timeout = \"2s\"\nfailover = [\"b\"]",
            &timeout,
            "[limits]\ndeadline = \"3s\"\n",
        ));
        let (mut exchange, step) = begin(&engine, 1, NOW);
        let (id, _) = fetch(step);
        let (id, second) =
            fetch(exchange.poll(failed(id, FetchError::Timeout), NOW + Duration::from_secs(2)));
        assert_eq!((host(&second), second.timeout), ("b.test", Duration::from_secs(1)));
        let later = NOW + Duration::from_secs(3);
        assert_eq!(
            respond(exchange.poll(failed(id, FetchError::Timeout), later)).response.status(),
            StatusCode::GATEWAY_TIMEOUT
        );
        let (mut exchange, step) = begin(&engine, 2, later);
        let step = exchange.poll(failed(fetch(step).0, FetchError::Connect), later);
        assert_eq!(matches!(step, Step::Respond(_)), counts, "{timeout}");
    }
}

#[test]
fn the_first_attempt_has_the_time_of_its_client_and_counts_when_that_is_over() {
    let engine = engine(&guarded(
        "timeout = \"30s\"\nbreaker = { failures = 1 }",
        "",
        "[limits]\ndeadline = \"3s\"\n",
    ));
    let (mut exchange, step) = begin(&engine, 1, NOW);
    let (id, first) = fetch(step);
    assert_eq!(first.timeout, Duration::from_secs(3));
    let later = NOW + Duration::from_secs(3);
    respond(exchange.poll(failed(id, FetchError::Timeout), later));
    let refused = respond(begin(&engine, 2, later).1);
    assert_eq!(refused.summary.reason.code(), "backend.circuit-open");
}

#[test]
fn a_client_whose_upload_is_late_is_no_failure_of_the_backend() {
    let engine = engine(&guarded("breaker = { failures = 1 }", "", ""));
    let (mut exchange, step) = begin(&engine, 1, NOW);
    let answer = respond(exchange.poll(failed(fetch(step).0, FetchError::ClientTimeout), NOW));
    assert_eq!(answer.response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(answer.summary.reason.code(), "request.body-late");
    assert_eq!(host(&fetch(begin(&engine, 2, NOW).1).1), "a.test", "its circuit is closed");
}

#[test]
fn a_place_that_lost_to_a_failure_is_not_asked_once_more() {
    let engine = engine(&guarded(
        "failover = [\"b\", \"c\"]\nhedge = { min = \"10ms\" }",
        "[backends.c]\nurl = \"http://c.test\"",
        "",
    ));
    let (mut exchange, step) = begin(&engine, 1, NOW);
    let Step::Effects(issued) = step else { panic!("effects were expected: {step:?}") };
    let [first, timer] = <[_; 2]>::try_from(issued).expect("a request and a timer");
    let later = NOW + Duration::from_millis(10);
    let slept = Input::Completed { id: timer.id, result: EffectResult::Sleep };
    let (hedge, second) = fetch(exchange.poll(slept, later));
    assert_eq!(host(&second), "b.test");
    let waits = exchange.poll(failed(hedge, FetchError::Connect), later);
    assert!(matches!(&waits, Step::Effects(issued) if issued.is_empty()), "for the first: {waits:?}");
    let (id, third) = fetch(exchange.poll(failed(first.id, FetchError::Connect), later));
    assert_eq!(host(&third), "c.test");
    assert_eq!(respond(exchange.poll(answered(id), later)).response.status(), StatusCode::OK);
}

#[test]
fn the_last_backend_takes_what_never_left_and_its_own_refusal_hides_no_failure() {
    let engine = engine(&guarded("", "breaker = { failures = 1 }", "[fallback]\nbackend = \"b\"\n"));
    let post = || {
        let request = Request::post("http://shop.test/x").body(Body::from("content")).expect("a request");
        let mut exchange = Exchange::new(Arc::clone(&engine), request, Facts::default(), [1; 16]);
        let step = exchange.poll(Input::Begin, NOW);
        (exchange, fetch(step).0)
    };
    let (mut exchange, id) = post();
    let (id, last) = fetch(exchange.poll(failed(id, FetchError::Connect), NOW));
    assert_eq!(host(&last), "b.test", "it never left");
    respond(exchange.poll(failed(id, FetchError::Connect), NOW));
    let (mut exchange, id) = post();
    let lost = respond(exchange.poll(failed(id, FetchError::Timeout), NOW));
    assert_eq!(lost.response.status(), StatusCode::GATEWAY_TIMEOUT, "it may have arrived");
    let (mut exchange, step) = begin(&engine, 2, NOW);
    let answer = respond(exchange.poll(failed(fetch(step).0, FetchError::Timeout), NOW));
    assert_eq!(answer.response.status(), StatusCode::GATEWAY_TIMEOUT, "the last one is left alone");
    assert_eq!(answer.summary.reason, Reason::BackendFailed(FetchError::Timeout));
}

#[test]
fn a_page_with_503_says_when_to_come_again() {
    let after = |status: u16, answer: Result<Response<Body>, FetchError>| {
        let page = format!("[fallback]\npage = {{ status = {status}, body = \"Back soon\" }}\n");
        let engine = engine(&guarded("breaker = { failures = 1, open = \"7s\" }", "", &page));
        let (mut exchange, step) = begin(&engine, 1, NOW);
        let result = EffectResult::Fetch(answer);
        let first = respond(exchange.poll(Input::Completed { id: fetch(step).0, result }, NOW));
        let second = respond(begin(&engine, 2, NOW + Duration::from_millis(500)).1);
        [first, second].map(|answer| {
            assert_eq!(answer.summary.reason, Reason::FallbackPage);
            answer
                .response
                .headers()
                .get("retry-after")
                .and_then(|after| after.to_str().ok())
                .map(str::to_owned)
        })
    };
    let busy = || Response::builder().status(503).header("retry-after", "120").body(Body::Empty).unwrap();
    let seven = Some("7".to_owned());
    assert_eq!(after(503, Err(FetchError::Connect)), [None, seven.clone()]);
    assert_eq!(after(503, Ok(busy())), [Some("120".to_owned()), seven]);
    assert_eq!(after(200, Ok(busy())), [None, None]);
}

#[test]
fn a_store_that_never_answers_keeps_no_client_beyond_its_deadline() {
    let engine = engine(
        "[backends.a]\nurl = \"http://a.test\"\n[limits]\ndeadline = \"3s\"\n\
         [[routes]]\npath = \"/{*rest}\"\nbackend = \"a\"\n",
    );
    let (mut exchange, step) = begin(&engine, 1, NOW);
    let Step::Effects(issued) = step else { panic!("effects were expected: {step:?}") };
    let time = issued.iter().find_map(|issued| {
        let Effect::Sleep { time } = issued.effect else { return None };
        Some((issued.id, time))
    });
    let (id, time) = time.expect("a timer");
    assert_eq!(time, Duration::from_secs(3));
    assert!(issued.iter().any(|issued| matches!(issued.effect, Effect::CacheGet { .. })));
    let over = Input::Completed { id, result: EffectResult::Sleep };
    let answer = respond(exchange.poll(over, NOW + time));
    assert_eq!(answer.response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(answer.effects.iter().any(|issued| matches!(issued.effect, Effect::Cancel { .. })));
}

/// More of a policy, the statuses that backends answer with, and what is told of that.
type Row = (&'static str, &'static [Option<u16>], Reason, Option<Reason>);

#[test]
fn what_failed_before_something_else_answered_is_told_beside_the_reason() {
    let connect = FetchError::Connect;
    let (policy, page) = (
        "[backends.a]\nurl = \"http://a.test\"\nbreaker = { failures = 3, open = \"10s\" }\nfailover = [\"b\"]\n\
         [backends.b]\nurl = \"http://b.test\"\n\
         [[routes]]\npath = \"/{*rest}\"\nbackend = \"a\"\ncache = { store = false }\n",
        "[fallback]\npage = { status = 503, body = \"soon\" }\n",
    );
    let is_down = Reason::BackendRefused(crate::health::Refusal::CircuitOpen);
    let rows: [Row; 5] = [
        ("", &[Some(200)], Reason::BackendResponded, None),
        ("", &[None, Some(200)], Reason::BackendResponded, Some(Reason::BackendFailed(connect))),
        ("", &[None, Some(503)], Reason::BackendErrorStatus, Some(Reason::BackendFailed(connect))),
        ("", &[Some(502), None], Reason::BackendFailed(connect), None),
        (page, &[None, None], Reason::FallbackPage, Some(Reason::BackendFailed(connect))),
    ];
    for (more, results, reason, failed_over) in rows {
        let engine = engine(&format!("{policy}{more}"));
        let (mut exchange, mut step) = begin(&engine, 1, NOW);
        for result in results {
            let (id, _) = fetch(step);
            let response = |status: u16| Response::builder().status(status).body(Body::Empty).unwrap();
            let result = EffectResult::Fetch(result.map(response).ok_or(connect));
            step = exchange.poll(Input::Completed { id, result }, NOW);
        }
        let summary = respond(step).summary;
        let told = (summary.reason, summary.failed_over, summary.attempts as usize);
        assert_eq!(told, (reason, failed_over, results.len()), "{results:?}");
    }
    let engine = engine(policy);
    for seed in 0..4 {
        let (mut exchange, mut step) = begin(&engine, seed, NOW);
        let mut attempts = 0;
        let summary = loop {
            let Step::Effects(_) = step else { break respond(step).summary };
            let (id, fetch) = fetch(step);
            attempts += 1;
            let input = if host(&fetch) == "a.test" { failed(id, connect) } else { answered(id) };
            step = exchange.poll(input, NOW);
        };
        let expected = if seed < 3 { (Reason::BackendFailed(connect), 2) } else { (is_down, 1) };
        assert_eq!((summary.failed_over, attempts), (Some(expected.0), expected.1), "{seed}");
        assert_eq!(summary.reason, Reason::BackendResponded);
    }
}

#[test]
fn server_timing_is_told_where_the_policy_says_so() {
    let routes = "[backends.a]\nurl = [\"http://a1.test\", \"http://a2.test\"]\n\
         [[routes]]\npath = \"/x\"\nbackend = \"a\"\ncache = { store = false }\n\
         [[routes]]\npath = \"/fixed\"\nrespond = { body = \"fixed\" }\n";
    let told = |response: &Response<Body>| {
        let values = response.headers().get_all("server-timing").iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (key, whole, alone) in [
        ("", vec!["db;dur=5"], vec![]),
        (
            "server-timing = true\n",
            vec!["db;dur=5", "edge;dur=37, cache;desc=\"cache.bypass\", origin;dur=37"],
            vec!["edge;dur=0"],
        ),
    ] {
        let engine = engine(&format!("{key}{routes}"));
        let (mut exchange, step) = begin(&engine, 1, NOW);
        let (id, _) = fetch(step);
        let (id, _) = fetch(exchange.poll(failed(id, FetchError::Connect), NOW + Duration::from_millis(30)));
        let answer = Response::builder().header("server-timing", "db;dur=5").body(Body::Empty).unwrap();
        let input = Input::Completed { id, result: EffectResult::Fetch(Ok(answer)) };
        let answer = respond(exchange.poll(input, NOW + Duration::from_millis(37)));
        assert_eq!(told(&answer.response), whole, "{key}");
        let request = Request::get("http://shop.test/fixed").body(Body::Empty).unwrap();
        let omitted = crate::transaction::Omitted::default();
        let answer = engine.answer_alone(request, Facts::default(), [1; 16], omitted, NOW).unwrap();
        assert_eq!(told(&answer.response), alone, "the same for everybody");
    }
}
