use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use super::*;
use crate::effect::{CacheEntry, Fetch, FetchError, Record};
use crate::policy::read::read;
use crate::reason::Reason;

const POLICY: &str = r#"
[backends.a]
url = "http://a.test"
[[routes]]
path = "/page"
backend = "a"
cache = { edge = "1m", stale-while-revalidate = "1m" }
[[routes]]
path = "/handled"
handler = "two-at-once"
[[routes]]
path = "/hasty"
handler = "first-of-two"
[[routes]]
path = "/fixed"
respond = { body = "fixed" }
[experiments.hero]
paths = "/page"
when = { query = { try = "1" } }
include-bots = true
variations = [{ name = "one", weight = 0 }, { name = "two", response-headers = { X-Hero = "two" } }]
[bots.rules]
http-library = { action = "limit", requests = 1, per = "1m" }
"#;

/// Asks a backend for two things at once and answers with both.
async fn two_at_once(context: crate::handler::HandlerContext) -> crate::handler::HandlerResult {
    let request = |path: &'static str| {
        let mut request = Request::new(Body::Empty);
        *request.uri_mut() = http::Uri::from_static(path);
        request
    };
    let (mut one, mut two) =
        (Box::pin(context.fetch("a", request("/1"))), Box::pin(context.fetch("a", request("/2"))));
    let (mut first, mut second) = (None, None);
    let both = std::future::poll_fn(|cx| {
        first = first.take().or_else(|| ready(one.as_mut().poll(cx)));
        second = second.take().or_else(|| ready(two.as_mut().poll(cx)));
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    });
    both.await;
    let names = [first, second].map(|response| match response {
        Some(Ok(response)) => response.headers()["x-name"].to_str().unwrap_or_default().to_owned(),
        Some(Err(error)) => error.as_str().to_owned(),
        None => String::new(),
    });
    Ok(Response::new(Body::from(Bytes::from(names.join("+")))))
}

/// Asks a backend for two things at once and answers with whichever comes first.
async fn first_of_two(context: crate::handler::HandlerContext) -> crate::handler::HandlerResult {
    let request = || Request::new(Body::Empty);
    let (mut one, mut two) =
        (Box::pin(context.fetch("a", request())), Box::pin(context.fetch("a", request())));
    let response = std::future::poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(response),
        Poll::Pending => two.as_mut().poll(cx),
    });
    response.await.map_err(|error| crate::handler::HandlerError::new(error.as_str()))
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn exchange(path: &str) -> Exchange {
    exchange_by("somebody", path)
}

fn exchange_by(user_agent: &'static str, path: &str) -> Exchange {
    let policy = read(POLICY).expect("the policy is valid");
    let engine = Engine::builder(policy).handler("two-at-once", two_at_once);
    let engine = engine.handler("first-of-two", first_of_two).compile();
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = path.parse().expect("it is a path");
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("shop.example"));
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(user_agent));
    Exchange::new(Arc::new(engine.expect("nothing is missing")), request, Facts::default(), [1; 16])
}

/// The one fetch that a step asks for.
pub(crate) fn fetch(step: Step) -> (EffectId, Box<Fetch>) {
    let Step::Effects(issued) = step else { panic!("a fetch was expected: {step:?}") };
    let [Issued { id, effect: Effect::Fetch(fetch), .. }] =
        <[_; 1]>::try_from(issued).expect("one effect was expected")
    else {
        panic!("one fetch was expected")
    };
    (id, fetch)
}

fn issued(step: Step) -> Vec<Issued> {
    match step {
        Step::Effects(issued) => issued,
        Step::Respond(_) | Step::Settle(_) | Step::Depart(_) | Step::Done => {
            panic!("effects were expected: {step:?}")
        }
    }
}

fn respond(step: Step) -> Box<Respond> {
    match step {
        Step::Respond(respond) => respond,
        Step::Effects(_) | Step::Settle(_) | Step::Depart(_) | Step::Done => {
            panic!("a response was expected: {step:?}")
        }
    }
}

fn fetched(id: EffectId, name: &'static str) -> Input {
    let mut response = Response::new(Body::from(name));
    response.headers_mut().insert("x-name", HeaderValue::from_static(name));
    Input::Completed { id, result: EffectResult::Fetch(Ok(response)) }
}

fn only_put(effects: Vec<Issued>) -> CacheEntry {
    let [issued] = <[Issued; 1]>::try_from(effects).expect("one effect");
    let Effect::CachePut(put) = issued.effect else { panic!("a response was to be stored: {issued:?}") };
    put.entry
}

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

#[test]
fn an_answer_of_the_edge_needs_no_effect() {
    let mut exchange = exchange("/fixed");
    let answer = respond(exchange.poll(Input::Begin, NOW));
    assert_eq!((answer.summary.reason, answer.rest), (Reason::RouteResponded, Rest::Nothing));
    assert!(answer.effects.is_empty());
    assert!(matches!(exchange.poll(Input::Begin, NOW), Step::Done), "nothing is left to do");
}

#[test]
fn effects_complete_in_any_order() {
    for is_reversed in [false, true] {
        let mut exchange = exchange("/handled");
        let effects = issued(exchange.poll(Input::Begin, NOW));
        let mut inputs = vec![fetched(effects[0].id, "one"), fetched(effects[1].id, "two")];
        if is_reversed {
            inputs.reverse();
        }
        let mut inputs = inputs.into_iter();
        assert!(issued(exchange.poll(inputs.next().expect("two"), NOW)).is_empty(), "one is still awaited");
        let answer = respond(exchange.poll(inputs.next().expect("two"), NOW));
        assert_eq!(answer.response.body(), &Body::from("one+two"), "reversed: {is_reversed}");
    }
}

#[test]
fn a_result_that_nobody_awaits_is_ignored() {
    let mut exchange = exchange("/handled");
    let effects = issued(exchange.poll(Input::Begin, NOW));
    assert!(issued(exchange.poll(fetched(EffectId(99), "nobody"), NOW)).is_empty());
    assert!(issued(exchange.poll(fetched(effects[0].id, "one"), NOW)).is_empty());
    let answer = respond(exchange.poll(fetched(effects[1].id, "two"), NOW));
    assert_eq!(answer.response.body(), &Body::from("one+two"));
}

#[test]
fn an_effect_that_nobody_waits_for_any_more_is_cancelled() {
    for winner in [0, 1] {
        let mut exchange = exchange("/hasty");
        let effects = issued(exchange.poll(Input::Begin, NOW));
        assert_eq!(effects.len(), 2);
        let answer = respond(exchange.poll(fetched(effects[winner].id, "first"), NOW));
        assert_eq!(answer.response.body(), &Body::from("first"));
        let [Issued { effect: Effect::Cancel { id }, .. }] = answer.effects[..] else {
            panic!("the other one is cancelled: {:?}", answer.effects)
        };
        assert_eq!(id, effects[1 - winner].id);
    }
}

#[test]
fn a_result_of_another_kind_is_a_failure() {
    let mut exchange = exchange("/handled");
    let effects = issued(exchange.poll(Input::Begin, NOW));
    let wrong = Input::Completed { id: effects[0].id, result: EffectResult::Record };
    assert!(issued(exchange.poll(wrong, NOW)).is_empty());
    let answer = respond(exchange.poll(fetched(effects[1].id, "two"), NOW));
    assert_eq!(answer.response.body(), &Body::from("protocol+two"));
}

#[test]
fn work_after_the_response_goes_on_until_it_is_done() {
    let stored = {
        let mut exchange = exchange("/page");
        let lookup = issued(exchange.poll(Input::Begin, NOW));
        let miss = Input::Completed { id: lookup[0].id, result: EffectResult::CacheGet(None) };
        let fetch = issued(exchange.poll(miss, NOW));
        let answer = respond(exchange.poll(fetched(fetch[0].id, "page"), NOW));
        assert_eq!(answer.rest, Rest::Nothing, "storing is asked for and not awaited");
        assert!(answer.effects.iter().all(|issued| issued.span == EffectSpan::AfterResponse));
        only_put(answer.effects)
    };
    let mut exchange = exchange("/page");
    let later = NOW + std::time::Duration::from_secs(90);
    let lookup = issued(exchange.poll(Input::Begin, later));
    let hit = Input::Completed { id: lookup[0].id, result: EffectResult::CacheGet(Some(stored)) };
    let answer = respond(exchange.poll(hit, later));
    assert_eq!((answer.summary.reason, answer.rest), (Reason::CacheStaleWhileRevalidate, Rest::Pending));
    let fetch = answer.effects.iter().find(|issued| matches!(issued.effect, Effect::Fetch(_)));
    let step = exchange.poll(fetched(fetch.expect("it is fetched anew").id, "newer"), later);
    assert!(matches!(only_put(issued(step)), CacheEntry::Response(_, body) if body == Body::from("newer")));
    assert!(matches!(exchange.poll(Input::Begin, later), Step::Done));
}

#[test]
fn a_visitor_who_sees_a_variation_is_recorded_and_one_who_is_refused_is_not() {
    for (count, status, exposures) in [(1, 200, 1), (2, 429, 0)] {
        let mut exchange = exchange_by("curl/8.5.0", "/page?try=1");
        let counted = EffectResult::Count(Ok(count));
        let id = issued(exchange.poll(Input::Begin, NOW))[0].id;
        let mut step = exchange.poll(Input::Completed { id, result: counted }, NOW);
        if count == 1 {
            let id = issued(step)[0].id;
            let miss = Input::Completed { id, result: EffectResult::CacheGet(None) };
            let id = issued(exchange.poll(miss, NOW))[0].id;
            step = exchange.poll(fetched(id, "page"), NOW);
        }
        let answer = respond(step);
        assert_eq!(answer.response.status(), status);
        assert_eq!(answer.response.headers().contains_key("x-hero"), status == 200);
        assert_eq!(answer.response.headers().contains_key(header::SET_COOKIE), status == 200);
        let records = answer.effects.iter().filter(|issued| {
            matches!(&issued.effect, Effect::Record(Record::Exposure { experiment, variation, .. })
                if &**experiment == "hero" && &**variation == "two")
        });
        assert_eq!(records.count(), exposures, "after {count} requests");
    }
}

#[test]
fn time_never_goes_back() {
    let mut exchange = exchange("/handled");
    let effects = issued(exchange.poll(Input::Begin, NOW));
    drop(exchange.poll(fetched(effects[0].id, "one"), Timestamp::default()));
    assert_eq!(exchange.mailbox().now, NOW, "a clock that is set back does not make an age negative");
    let failed = EffectResult::Fetch(Err(FetchError::Timeout));
    let answer = respond(exchange.poll(Input::Completed { id: effects[1].id, result: failed }, NOW));
    assert_eq!(answer.response.body(), &Body::from("one+timeout"));
}

#[test]
fn a_platform_without_a_store_is_asked_for_none_and_claims_none() {
    let policy = "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { edge = \"1m\" }";
    let policy = read(policy).expect("a policy");
    let engine = Arc::new(Engine::builder(policy).without_store().compile().expect("nothing else is needed"));
    let request = Request::builder().uri("http://shop.example.com/").body(Body::Empty).expect("a request");
    let mut exchange = Exchange::new(engine, request, Facts::default(), Seed::default());
    let issued = issued(exchange.poll(Input::Begin, Timestamp::default()));
    assert!(matches!(issued[..], [Issued { effect: Effect::Fetch(_), .. }]), "{issued:?}");
    let result = EffectResult::Fetch(Ok(Response::new(Body::Empty)));
    let answered =
        respond(exchange.poll(Input::Completed { id: issued[0].id, result }, Timestamp::default()));
    assert!(answered.effects.is_empty(), "nothing is handed out to be kept");
    assert_eq!(answered.response.headers()["cache-status"], "Selvedge;fwd=uri-miss;detail=backend.responded");
}
