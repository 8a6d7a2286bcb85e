use super::*;
use crate::policy::read::read;

const BACKEND: BackendId = BackendId(0);

/// More than any wait before a retry.
const LONG: Duration = Duration::from_secs(3600);

fn health(rules: &str) -> Health {
    let policy = format!(
        "[backends.a]\nurl = [\"http://a.test\", \"http://b.test\"]\n{rules}\n[[routes]]\npath = \"/\"\nbackend = \"a\"\n"
    );
    Health::new(&read(&policy).unwrap_or_else(|errors| panic!("{errors}")))
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn refusal(admitted: Result<Permit, Refused>) -> Option<Refusal> {
    admitted.err().map(|refused| refused.refusal)
}

fn fail(health: &Health, url: usize, times: u32) {
    for _ in 0..times {
        health
            .admit((BACKEND, url), Ask::First, at(0))
            .expect("it may be asked")
            .settle(Fate::Failure, at(0));
    }
}

#[test]
fn a_backend_without_rules_is_always_asked() {
    let health = health("");
    fail(&health, 0, 1000);
    assert!(health.is_up(BACKEND, at(0)));
    assert_eq!(health.report(BACKEND, at(0)).count(), 0);
    assert_eq!(health.retry((BACKEND, 0), 0, 0, LONG), None);
    assert_eq!(health.hedge_after((BACKEND, 0)), None);
}

#[test]
fn each_url_has_a_circuit_of_its_own() {
    let health = health("breaker = { failures = 3, open = \"10s\" }");
    fail(&health, 0, 3);
    let refused = health.admit((BACKEND, 0), Ask::First, at(4_000)).expect_err("its circuit is open");
    assert_eq!(refused, Refused { refusal: Refusal::CircuitOpen, left: Duration::from_secs(6) });
    let permit = health.admit((BACKEND, 1), Ask::First, at(4_000)).expect("it may be asked");
    assert!(health.is_up(BACKEND, at(4_000)), "the other URL answers");
    let place = |circuit, in_flight| PlaceReport { circuit: Some(circuit), is_unhealthy: false, in_flight };
    let expected = [place(CircuitState::Open(Duration::from_secs(6)), 0), place(CircuitState::Closed, 1)];
    assert!(health.report(BACKEND, at(4_000)).eq(expected));
    drop(permit);
    fail(&health, 1, 3);
    assert!(!health.is_up(BACKEND, at(4_000)) && health.is_up(BACKEND, at(10_000)));
}

#[test]
fn a_probe_whose_client_went_away_makes_room_for_another() {
    let health = health("breaker = { failures = 1, open = \"10s\" }");
    fail(&health, 0, 1);
    let probe = health.admit((BACKEND, 0), Ask::First, at(10_000));
    assert!(probe.is_ok());
    assert_eq!(refusal(health.admit((BACKEND, 0), Ask::First, at(10_000))), Some(Refusal::CircuitOpen));
    drop(probe);
    let probe = health.admit((BACKEND, 0), Ask::First, at(10_000)).expect("nothing was learnt");
    probe.settle(Fate::Success, at(10_001));
    assert!(health.admit((BACKEND, 0), Ask::First, at(10_001)).is_ok() && health.is_up(BACKEND, at(10_001)));
}

#[test]
fn no_more_requests_wait_than_may() {
    let health = health("max-concurrent = 2");
    let waiting =
        [health.admit((BACKEND, 0), Ask::First, at(0)), health.admit((BACKEND, 0), Ask::First, at(0))];
    assert_eq!(refusal(health.admit((BACKEND, 0), Ask::First, at(0))), Some(Refusal::Busy));
    assert!(health.admit((BACKEND, 1), Ask::First, at(0)).is_ok(), "the other URL has room");
    for permit in waiting {
        permit.expect("there was room").settle(Fate::Failure, at(0));
    }
    let again =
        [health.admit((BACKEND, 0), Ask::First, at(0)), health.admit((BACKEND, 0), Ask::First, at(0))];
    assert!(again.iter().all(Result::is_ok));
    drop(again);
    assert!(health.admit((BACKEND, 0), Ask::First, at(0)).is_ok(), "who goes away makes room too");
}

#[test]
fn a_retry_waits_within_a_range_that_doubles_and_has_a_budget() {
    let health = health("retry = { attempts = 7, backoff = \"100ms\" }");
    let place = (BACKEND, 0);
    let longest: Vec<_> = (0..8).map(|done| health.retry(place, done, u32::MAX, LONG)).collect();
    let millis = |millis| Some(Duration::from_millis(millis));
    let expected = [100, 200, 400, 800, 1600, 3200, 3200].map(millis);
    assert_eq!(longest[..7], expected);
    assert_eq!(longest[7], None, "no more attempts for this request");
    assert_eq!(health.retry(place, 0, 0, LONG), Some(Duration::ZERO));
    assert_eq!(health.retry(place, 0, u32::MAX / 2, LONG), millis(50), "half of it");
    assert!(health.retry(place, 0, 0, LONG).is_some(), "the tenth");
    assert_eq!(health.retry(place, 0, 0, LONG), None, "the budget is spent");
    for _ in 0..5 {
        health.admit(place, Ask::First, at(0)).expect("it may be asked").settle(Fate::Success, at(0));
    }
    assert!(health.retry(place, 0, 0, LONG).is_some(), "five requests bring one at 20 percent");
    assert_eq!(health.retry(place, 0, 0, LONG), None);
}

#[test]
fn what_the_budget_pays_for_earns_it_nothing() {
    let health = health("retry = { attempts = 3, backoff = \"0ms\", budget = 100 }");
    let place = (BACKEND, 0);
    let mut retries = 0;
    for _ in 0..100 {
        health.admit(place, Ask::First, at(0)).expect("it may be asked").settle(Fate::Failure, at(0));
        for done in 0..3 {
            if health.retry(place, done, 0, LONG).is_some() {
                retries += 1;
                health.admit(place, Ask::Again, at(0)).expect("it may be asked").settle(Fate::Failure, at(0));
            }
        }
    }
    assert_eq!(retries, 10 + 99, "what was there, and one for each request that found it not full");
}

#[test]
fn requests_that_their_host_forgot_keep_nobody_out_once_they_have_had_their_time() {
    let health = health("timeout = \"3s\"\nmax-concurrent = 1\nbreaker = { failures = 1, open = \"10s\" }");
    let place = (BACKEND, 0);
    std::mem::forget(health.admit(place, Ask::First, at(0)));
    assert_eq!(refusal(health.admit(place, Ask::First, at(8_000))), Some(Refusal::Busy));
    health.admit(place, Ask::First, at(8_001)).expect("it is over").settle(Fate::Failure, at(8_001));
    std::mem::forget(health.admit(place, Ask::First, at(18_001)));
    assert_eq!(refusal(health.admit(place, Ask::First, at(26_001))), Some(Refusal::Busy));
    let probe = health.admit(place, Ask::First, at(26_002)).expect("so is the probe");
    probe.settle(Fate::Success, at(26_002));
    assert_eq!(
        health.report(BACKEND, at(26_002)).next().and_then(|at| at.circuit),
        Some(CircuitState::Closed)
    );
}

#[test]
fn a_retry_for_which_there_is_no_time_costs_nothing() {
    let health = health("retry = { backoff = \"100ms\" }");
    let place = (BACKEND, 0);
    let longest = Duration::from_millis(100);
    (0..100).for_each(|_| assert_eq!(health.retry(place, 0, u32::MAX, longest), None));
    let made = (0..100).filter(|_| health.retry(place, 0, u32::MAX, LONG).is_some());
    assert_eq!(made.count(), 10, "the whole budget is there");
}

/// The answer to one request, and how its body ends.
fn answer(health: &Health, status: StatusCode, end: BodyEnd, now: Timestamp) {
    let permit = health.admit((BACKEND, 0), Ask::First, now).expect("it may be asked");
    let report = health.body((BACKEND, 0), probe(&permit));
    permit.await_body(now);
    report.tell(status, end, now);
}

fn probe(permit: &Permit) -> Option<u32> {
    match permit.tracked {
        Some((_, Passage::Probe(number), _)) => Some(number),
        Some((_, Passage::Regular, _)) | None => None,
    }
}

#[test]
fn bodies_that_break_off_open_the_circuit_though_their_heads_were_there() {
    let rows = [
        (StatusCode::OK, BodyEnd::Broken, true),
        (StatusCode::OK, BodyEnd::Late, true),
        (StatusCode::OK, BodyEnd::Whole, false),
        (StatusCode::OK, BodyEnd::Left, false),
        (StatusCode::OK, BodyEnd::Unread, false),
        (StatusCode::BAD_GATEWAY, BodyEnd::Broken, false),
    ];
    for (status, end, opens) in rows {
        let health = health("breaker = { failures = 3, open = \"10s\" }");
        (0..3).for_each(|_| answer(&health, status, end, at(0)));
        assert_eq!(health.admit((BACKEND, 0), Ask::First, at(9_999)).is_err(), opens, "{status} {end:?}");
    }
    let report = health("").body((BackendId(9), 9), None);
    report.tell(StatusCode::OK, BodyEnd::Broken, at(0));
    assert_eq!(report.place(), (BackendId(9), 9), "a place that is none is nobody's failure");
}

#[test]
fn the_end_of_its_body_is_the_verdict_on_a_probe() {
    let closed = Some(CircuitState::Closed);
    let open = Some(CircuitState::Open(Duration::from_secs(20)));
    let rows = [
        (BodyEnd::Whole, closed),
        (BodyEnd::Unread, closed),
        (BodyEnd::Left, Some(CircuitState::HalfOpen)),
        (BodyEnd::Broken, open),
        (BodyEnd::Late, open),
    ];
    for (end, expected) in rows {
        let health = health("breaker = { failures = 1, open = \"10s\" }");
        fail(&health, 0, 1);
        let permit = health.admit((BACKEND, 0), Ask::First, at(10_000)).expect("it is to be tried");
        let report = health.body((BACKEND, 0), probe(&permit));
        permit.await_body(at(10_000));
        let before = health.report(BACKEND, at(10_000)).next().expect("it has a URL");
        assert_eq!((before.circuit, before.in_flight), (Some(CircuitState::HalfOpen), 0), "{end:?}");
        assert_eq!(
            refusal(health.admit((BACKEND, 0), Ask::First, at(10_000))),
            Some(Refusal::CircuitOpen),
            "{end:?}"
        );
        report.tell(StatusCode::OK, end, at(10_000));
        let after = health.report(BACKEND, at(10_000)).next().expect("it has a URL");
        assert_eq!(after.circuit, expected, "{end:?}");
        let is_refused = health.admit((BACKEND, 0), Ask::First, at(10_000)).is_err();
        assert_eq!(is_refused, expected == open, "{end:?}");
    }
}

#[test]
fn a_second_request_leaves_when_an_answer_takes_longer_than_most() {
    let health = health("hedge = { percentile = 90, min = \"30ms\" }");
    let place = (BACKEND, 0);
    let answer = |millis| {
        health.admit(place, Ask::First, at(0)).expect("it may be asked").settle(Fate::Success, at(millis));
    };
    assert_eq!(health.hedge_after(place), Some(Duration::from_millis(30)));
    (0..18).for_each(|_| answer(100));
    (0..2).for_each(|_| answer(900));
    assert_eq!(health.hedge_after(place), Some(Duration::from_millis(100)));
    (0..128).for_each(|_| answer(1));
    assert_eq!(health.hedge_after(place), Some(Duration::from_millis(30)), "never sooner");
    assert!((0..10).all(|_| health.spend(place)));
    (0..128).for_each(|_| answer(1));
    assert_eq!((0..100).filter(|_| health.spend(place)).count(), 10);
}

#[test]
fn checks_take_a_url_out_and_bring_it_back() {
    let health = health("check = { path = \"/health\", every = \"5s\", unhealthy = 2, healthy = 3 }");
    let checks: Vec<_> = health.checks().map(|(place, rule)| (place, rule.path.as_str())).collect();
    assert_eq!(checks, [((BACKEND, 0), "/health"), ((BACKEND, 1), "/health")]);
    let place = (BACKEND, 0);
    let (good, bad) = (Fate::Success, Fate::Failure);
    let steps = [(bad, false), (good, false), (bad, false), (bad, true), (good, false), (good, false)];
    for (step, (fate, changes)) in steps.into_iter().enumerate() {
        assert_eq!(health.on_checked(place, fate), changes, "{step}");
    }
    let refused = health.admit(place, Ask::First, at(0)).expect_err("it is out");
    assert_eq!(refused, Refused { refusal: Refusal::Unhealthy, left: Duration::from_secs(5) });
    assert!(health.is_up(BACKEND, at(0)), "the other URL is not");
    let steps = [(bad, false), (good, false), (good, false), (good, true)];
    for (step, (fate, changes)) in steps.into_iter().enumerate() {
        assert_eq!(health.on_checked(place, fate), changes, "{step}");
    }
    assert!(health.admit(place, Ask::First, at(0)).is_ok());
}
