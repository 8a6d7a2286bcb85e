//! What holds for many clients at once.

use selvedge_model::Millis;
use selvedge_model::crowd::{Answered, Failure, Fetched, Report, Scenario, run};

fn scenario() -> Scenario {
    Scenario {
        seed: 1,
        clients: 3000,
        arrivals: 1000,
        pages: 1,
        languages: 1,
        control: "max-age=60",
        latency: 200..201,
        body: 0,
        outages: Vec::new(),
    }
}

fn waited(answer: &Answered) -> Millis {
    answer.answered - answer.arrived
}

/// Whether two requests for one page and language were under way at the same time.
fn overlap(fetches: &[Fetched]) -> Option<(Fetched, Fetched)> {
    let is_same = |a: &Fetched, b: &Fetched| (a.page, a.language) == (b.page, b.language);
    let mut pairs =
        fetches.iter().enumerate().flat_map(|(at, a)| fetches[at + 1..].iter().map(move |b| (a, b)));
    let found = pairs.find(|(a, b)| is_same(a, b) && b.sent < a.done);
    found.map(|(a, b)| (a.clone(), b.clone()))
}

fn all_ok(report: &Report) {
    assert_eq!(report.answers.iter().find(|answer| answer.status != 200), None);
}

#[test]
fn the_same_scenario_ends_in_the_same_way() {
    let scenario =
        Scenario { latency: 1..400, outages: vec![(300..500, Failure::Unavailable)], ..scenario() };
    assert_eq!(run(&scenario), run(&scenario));
    let other = Scenario { seed: 2, ..scenario.clone() };
    assert_ne!(run(&scenario), run(&other), "the seed decides");
}

#[test]
fn one_request_brings_what_all_wait_for() {
    for body in [0, 300] {
        let report = run(&Scenario { pages: 4, body, ..scenario() });
        all_ok(&report);
        assert_eq!(report.fetches.len(), 4, "one for each page");
        assert!(
            report.answers.iter().all(|answer| waited(answer) <= 200 + body),
            "no longer than that one takes"
        );
    }
}

#[test]
fn one_request_brings_each_variant() {
    let report = run(&Scenario { languages: 3, ..scenario() });
    all_ok(&report);
    assert_eq!(overlap(&report.fetches), None, "one at a time");
    assert_eq!(report.fetches.len(), 3, "one for each variant");
}

#[test]
fn what_cannot_be_stored_holds_nobody_after_the_first_answer() {
    let report = run(&Scenario { control: "no-store", arrivals: 9000, ..scenario() });
    all_ok(&report);
    assert_eq!(report.fetches.len(), 3000, "each client has an answer of its own");
    let first = report.answers.iter().map(|answer| answer.answered).min().unwrap();
    for answer in &report.answers {
        let begins = answer.arrived.max(if answer.arrived < first { first } else { 0 });
        assert!(answer.answered <= begins + 200, "released at once: {answer:?}");
    }
}

#[test]
fn a_slow_request_holds_nobody_beyond_the_bound() {
    let report = run(&Scenario { latency: 60_000..60_001, arrivals: 20_000, ..scenario() });
    all_ok(&report);
    assert!(report.answers.iter().all(|answer| waited(answer) <= 5000 + 60_000), "five seconds of waiting");
}

#[test]
fn one_revalidation_goes_on_behind_stale_answers() {
    let control = "max-age=10, stale-while-revalidate=30";
    let report = run(&Scenario { control, arrivals: 100_000, latency: 100..900, ..scenario() });
    all_ok(&report);
    assert_eq!(overlap(&report.fetches), None, "one at a time");
    let lifetimes = report.fetches.windows(2).all(|pair| pair[1].sent - pair[0].sent >= 10_000);
    assert!(lifetimes, "one for each time that it becomes stale: {:?}", report.fetches);
    let first = report.fetches[0].done;
    assert!(report.answers.iter().all(|a| a.arrived < first || waited(a) == 0), "nobody waits for it");
    assert!(report.answers.iter().all(|answer| answer.age.unwrap_or_default() < 40_000), "within the window");
}

#[test]
fn each_variant_is_revalidated_and_forgets_no_other() {
    let control = "max-age=10, stale-while-revalidate=30";
    let report = run(&Scenario { control, languages: 3, arrivals: 100_000, latency: 100..900, ..scenario() });
    all_ok(&report);
    assert_eq!(overlap(&report.fetches), None, "one at a time");
    assert!(
        report.fetches.len() <= 3 * 10,
        "one for each time that one becomes stale: {}",
        report.fetches.len()
    );
}

#[test]
fn stale_answers_stand_in_during_an_outage_and_no_longer_than_they_may() {
    let control = "max-age=10, stale-if-error=60";
    for failure in [Failure::Unavailable, Failure::Hang(3000), Failure::Hang(20_000)] {
        let outages = vec![(20_000..200_000, failure)];
        let report = run(&Scenario { control, outages, arrivals: 200_000, ..scenario() });
        let last =
            report.fetches.iter().filter(|fetch| fetch.sent < 20_000).map(|fetch| fetch.done).max().unwrap();
        for answer in report.answers.iter() {
            let age = answer.answered.saturating_sub(answer.made.unwrap_or(answer.answered));
            assert!(age < 70_500, "stale answers end with their window: {answer:?}");
            if answer.answered + 2000 < last + 70_000 {
                assert_eq!(answer.status, 200, "{failure:?}: {answer:?}");
            }
        }
    }
}

#[test]
fn an_outage_does_not_bring_every_client_to_the_origin() {
    let control = "max-age=10, stale-if-error=600";
    let outages = vec![(20_000..100_000, Failure::Unavailable)];
    let report = run(&Scenario { control, outages, arrivals: 100_000, ..scenario() });
    all_ok(&report);
    assert_eq!(overlap(&report.fetches), None, "one at a time: {}", report.fetches.len());
}
