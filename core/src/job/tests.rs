//! What becomes of jobs, response by response.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

use super::*;
use crate::body::Body;
use crate::effect::{Effect, EffectResult, FetchError, Issued, Record};
use crate::engine::Engine;
use crate::exchange::tests::fetch;
use crate::exchange::{Exchange, Input, Settle, Step};
use crate::handler::HandlerError;
use crate::policy::read::read;
use crate::time::Timestamp;

const POLICY: &str = r#"
[backends.a]
url = "http://a.test/base"
failover = ["b"]
request-headers = { X-Key = "k" }
[backends.b]
url = "http://b.test"

[queues.orders]
backend = "a"
path = "/jobs?x=1"
attempts = 3
retry-delay = "10s"

[queues.handled]
handler = "odd"

[queues.panicking]
handler = "panic"

[schedules.nightly]
cron = "0 3 * * *"
backend = "b"
path = "/nightly"

[schedules.nightly-too]
cron = "0 3 * * *"
handler = "odd"
"#;

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn engine() -> Arc<Engine> {
    let builder = Engine::builder(read(POLICY).expect("the policy has no errors"))
        .handler("odd", |context| async move {
            let body = context.read_body(100).await.map_err(|_| HandlerError::new("no body"))?;
            match body.len() % 2 {
                1 => Ok(Response::new(Body::Empty)),
                _ => Err(HandlerError::new("it is even")),
            }
        })
        .handler("panic", |_| async { panic!("it panics as it should") });
    Arc::new(builder.compile().expect("nothing is missing"))
}

fn message(queue: &str, attempt: u32, body: &'static [u8]) -> Job {
    let source = JobSource::Queue(queue.to_owned());
    Job { source, id: "id-1".to_owned(), attempt, body: Bytes::from_static(body) }
}

fn begin(job: Job, seed: u8, crash: Option<String>) -> (Exchange, Step) {
    let mut exchange = Exchange::of_job(engine(), job, [seed; 16], crash);
    let step = exchange.poll(Input::Begin, NOW);
    (exchange, step)
}

fn settled(step: Step) -> (Settlement, Vec<String>) {
    let Step::Settle(Settle { settlement, effects, .. }) = step else { panic!("not settled: {step:?}") };
    let messages = effects.into_iter().map(|issued| {
        let Effect::Record(Record::JobFailure { name, id, message, settlement: recorded }) = issued.effect
        else {
            panic!("a record was expected: {issued:?}")
        };
        assert_eq!((id.as_str(), recorded), ("id-1", settlement), "{name}");
        format!("{name}: {message}")
    });
    (settlement, messages.collect())
}

fn status(status: u16, retry_after: Option<&'static str>) -> Result<Response<Body>, FetchError> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status.try_into().expect("it is a status");
    if let Some(value) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Answers every fetch with the same and returns how many there were.
fn run(
    job: Job,
    seed: u8,
    answer: impl Fn() -> Result<Response<Body>, FetchError>,
) -> (usize, Settlement, Vec<String>) {
    let (mut exchange, mut step) = begin(job, seed, None);
    for fetches in 0.. {
        if !matches!(step, Step::Effects(_)) {
            let (settlement, messages) = settled(step);
            return (fetches, settlement, messages);
        }
        let (id, _) = fetch(step);
        step = exchange.poll(Input::Completed { id, result: EffectResult::Fetch(answer()) }, NOW);
    }
    unreachable!("a job ends")
}

#[test]
fn a_message_is_a_request_that_tells_itself_from_others() {
    let (_, step) = begin(message("orders", 2, b"hello"), 0, None);
    let (_, fetch) = fetch(step);
    let request = fetch.request;
    assert_eq!(
        (request.method().as_str(), request.uri().to_string()),
        ("POST", "http://a.test/base/jobs?x=1".to_owned())
    );
    assert!(matches!(request.body(), Body::Bytes(bytes) if bytes == "hello"));
    let expected: HeaderMap = [
        ("content-type", "application/octet-stream"),
        ("idempotency-key", "\"id-1\""),
        ("selvedge-queue", "orders"),
        ("selvedge-attempt", "2"),
        ("x-key", "k"),
    ]
    .into_iter()
    .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
    .collect();
    assert_eq!(request.headers(), &expected);
}

#[test]
fn the_status_says_what_becomes_of_a_message() {
    let retry = |seconds| Settlement::Retry { after: Duration::from_secs(seconds) };
    // Seed 0 draws no jitter.
    let rows: [(u16, Option<&'static str>, u32, usize, Settlement); 12] = [
        (200, None, 1, 1, Settlement::Done),
        (204, None, 3, 1, Settlement::Done),
        (404, None, 1, 1, Settlement::Dropped),
        (301, None, 1, 1, Settlement::Dropped),
        (500, None, 1, 2, retry(10)),
        (503, None, 2, 2, retry(20)),
        (503, None, 3, 2, Settlement::Dropped),
        (429, Some("90"), 1, 2, retry(90)),
        (429, Some("99999999999"), 1, 2, retry(43_200)),
        (503, Some("Sun, 06 Nov 1994 08:49:37 GMT"), 1, 2, retry(10)),
        (408, None, 1, 2, retry(10)),
        (425, None, 1, 2, retry(10)),
    ];
    for (code, retry_after, attempt, places, expected) in rows {
        let (fetches, settlement, messages) =
            run(message("orders", attempt, b"x"), 0, || status(code, retry_after));
        assert_eq!((fetches, settlement), (places, expected), "{code} at attempt {attempt}");
        let failed =
            if expected == Settlement::Done { vec![] } else { vec![format!("orders: status {code}")] };
        assert_eq!(messages, failed, "{code} at attempt {attempt}");
    }
}

#[test]
fn a_backend_that_does_not_answer_is_asked_again_later_and_its_failover_at_once() {
    let (mut exchange, step) = begin(message("orders", 1, b"x"), 0, None);
    let (id, first) = fetch(step);
    let step =
        exchange.poll(Input::Completed { id, result: EffectResult::Fetch(Err(FetchError::Connect)) }, NOW);
    let (id, second) = fetch(step);
    assert_eq!((&*first.backend, &*second.backend), ("a", "b"));
    let step = exchange.poll(Input::Completed { id, result: EffectResult::Fetch(status(201, None)) }, NOW);
    assert_eq!(settled(step), (Settlement::Done, vec![]));
    let (_, settlement, messages) = run(message("orders", 1, b"x"), 0, || Err(FetchError::Timeout));
    assert_eq!(settlement, Settlement::Retry { after: Duration::from_secs(10) });
    assert_eq!(messages, ["orders: timeout"]);
}

#[test]
fn messages_that_failed_together_come_back_at_different_times() {
    let delay = |seed, attempt| {
        let (_, settlement, _) = run(message("orders", attempt, b"x"), seed, || Err(FetchError::Connect));
        let Settlement::Retry { after } = settlement else { panic!("it comes again: {settlement:?}") };
        after.as_secs()
    };
    assert_eq!((delay(0, 1), delay(0xff, 1)), (10, 15), "up to half more");
    assert_eq!((delay(0, 2), delay(0xff, 2)), (20, 30));
}

#[test]
fn a_handler_does_a_job_as_a_backend_does() {
    let outcome = |queue, body, crash: Option<&str>| {
        settled(begin(message(queue, 1, body), 0, crash.map(str::to_owned)).1)
    };
    let retry = Settlement::Retry { after: Duration::from_secs(10) };
    assert_eq!(outcome("handled", b"odd", None), (Settlement::Done, vec![]));
    assert_eq!(
        outcome("handled", b"even", None),
        (retry, vec!["handled: the handler `odd` failed: it is even".to_owned()])
    );
    assert_eq!(
        outcome("handled", b"odd", Some("a trap")),
        (retry, vec!["handled: the handler `odd` panicked: a trap".to_owned()]),
        "what crashed the module is not run again at once"
    );
}

/// Where a panic ends the module, the host says so: see the crash above.
#[cfg(panic = "unwind")]
#[test]
fn a_handler_that_panics_is_asked_again() {
    let outcome = settled(begin(message("panicking", 1, b""), 0, None).1);
    let why = "panicking: the handler `panic` panicked: it panics as it should";
    assert_eq!(outcome, (Settlement::Retry { after: Duration::from_secs(10) }, vec![why.to_owned()]));
}

#[test]
fn a_message_of_a_queue_that_is_gone_waits_for_it() {
    let hour = Settlement::Retry { after: Duration::from_secs(3_600) };
    let lost = vec!["gone: the policy has no such queue".to_owned()];
    assert_eq!(settled(begin(message("gone", 1, b""), 0, None).1), (hour, lost.clone()));
    assert_eq!(settled(begin(message("gone", 24, b""), 0, None).1), (Settlement::Dropped, lost));
}

#[test]
fn a_schedule_that_fails_waits_for_its_next_time() {
    let job = |name: &str| Job {
        source: JobSource::Schedule(name.to_owned()),
        id: "id-1".to_owned(),
        attempt: 1,
        body: Bytes::new(),
    };
    let (mut exchange, step) = begin(job("nightly"), 0, None);
    let (id, fetch) = fetch(step);
    let headers = fetch.request.headers();
    assert_eq!(
        (headers["selvedge-schedule"].as_bytes(), fetch.request.uri().path()),
        (&b"nightly"[..], "/nightly")
    );
    let step = exchange.poll(Input::Completed { id, result: EffectResult::Fetch(status(503, None)) }, NOW);
    let Step::Settle(Settle { settlement, effects, .. }) = step else { panic!("not settled: {step:?}") };
    assert_eq!((settlement, failures(effects)), (Settlement::Done, vec!["nightly: status 503".to_owned()]));

    let (_, step) = begin(job("nightly-too"), 0, None);
    let Step::Settle(Settle { settlement, effects, .. }) = step else { panic!("not settled: {step:?}") };
    let failed = "nightly-too: the handler `odd` failed: it is even".to_owned();
    assert_eq!((settlement, failures(effects)), (Settlement::Done, vec![failed]));
    assert_eq!(
        settled(begin(job("other"), 0, None).1),
        (Settlement::Done, vec![]),
        "there is no such schedule"
    );
}

/// What the records of failed jobs say.
fn failures(effects: Vec<Issued>) -> Vec<String> {
    let message = |issued: Issued| {
        let Effect::Record(Record::JobFailure { name, message, .. }) = issued.effect else {
            panic!("a record was expected: {issued:?}")
        };
        format!("{name}: {message}")
    };
    effects.into_iter().map(message).collect()
}

#[test]
fn a_message_passes_by_what_is_down_and_counts_for_what_it_asks() {
    let policy = POLICY.replace("/base\"\n", "/base\"\nbreaker = { failures = 2, open = \"10s\" }\n");
    let policy = read(&policy).expect("the policy has no errors");
    let engine = Engine::builder(policy)
        .handler("odd", |_| async { Err(HandlerError::new("it is not asked")) })
        .handler("panic", |_| async { Err(HandlerError::new("it is not asked")) });
    let engine = Arc::new(engine.compile().expect("nothing is missing"));
    let hosts = |now: Timestamp| {
        let mut exchange = Exchange::of_job(Arc::clone(&engine), message("orders", 1, b""), [1; 16], None);
        let (mut hosts, mut step) = (Vec::new(), exchange.poll(Input::Begin, now));
        while let Step::Effects(_) = step {
            let (id, fetch) = fetch(step);
            hosts.push(fetch.request.uri().host().unwrap_or_default().to_owned());
            let result = EffectResult::Fetch(status(503, None));
            step = exchange.poll(Input::Completed { id, result }, now);
        }
        (hosts, settled(step).0)
    };
    let later = |settlement| matches!(settlement, Settlement::Retry { after } if !after.is_zero());
    for expected in [["a.test", "b.test"].as_slice(), &["a.test", "b.test"], &["b.test"]] {
        let (hosts, settlement) = hosts(NOW);
        assert_eq!(hosts, expected);
        assert!(later(settlement), "{settlement:?}");
    }
    assert_eq!(hosts(NOW + Duration::from_secs(10)).0, ["a.test", "b.test"], "a message is a probe too");
}
