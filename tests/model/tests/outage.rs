//! What clients see and backends bear while backends fail.

use std::collections::BTreeMap;

use http::Method;
use selvedge_model::Millis;
use selvedge_model::outage::{Answered, Behaviour, Report, Scenario, play};

/// Main and spare backend, guarded.
const GUARDED: &str = r#"
[limits]
deadline = "3s"

[backends.main]
url = "http://main"
timeout = "1s"
failover = ["spare"]
max-concurrent = 40
retry = { backoff = "20ms", budget = 10 }
breaker = { failures = 5, open = "2s" }

[backends.spare]
url = "http://spare"
timeout = "1s"
max-concurrent = 40
breaker = { failures = 5, open = "2s" }

[fallback]
page = { status = 503, body = "Back soon" }

[[routes]]
path = "/kept/{*rest}"
backend = "main"
cache = { edge = "1s", stale-if-error = "1h" }

[[routes]]
path = "/{*rest}"
backend = "main"
"#;

const DEADLINE: Millis = 3_000;
const OUTAGE: (Millis, Millis) = (5_000, 20_000);
const WELL: Behaviour = Behaviour::Answers(10);

const OUTAGES: [Behaviour; 7] = [
    Behaviour::Dead,
    Behaviour::Unresolved(200),
    Behaviour::Silent,
    Behaviour::Garbage,
    Behaviour::Unavailable,
    Behaviour::Answers(1_500),
    Behaviour::Flaps(300),
];

/// A hundred requests a second for 40 seconds.
fn scenario(policy: &str, main: Behaviour, spare: Behaviour) -> Scenario {
    let script = |behaviour| vec![(0, WELL), (OUTAGE.0, behaviour), (OUTAGE.1, WELL)];
    Scenario {
        policy: policy.to_owned(),
        targets: vec!["/live"],
        method: Method::GET,
        store_hangs: false,
        clients: 4_000,
        pace: 10,
        scripts: BTreeMap::from([("main", script(main)), ("spare", script(spare))]),
    }
}

fn assert_within_deadline(report: &Report, what: Behaviour) {
    let late: Vec<&Answered> = report.answers.iter().filter(|answer| answer.waited > DEADLINE).collect();
    assert!(late.is_empty(), "{what:?}: {late:?}");
    assert_eq!(report.answers.len(), 4_000, "{what:?}");
}

#[test]
fn while_one_backend_fails_the_other_answers_and_the_first_is_left_alone() {
    for outage in OUTAGES {
        let report = play(&scenario(GUARDED, outage, WELL));
        assert_within_deadline(&report, outage);
        for answer in &report.answers {
            assert_eq!(answer.status, 200, "{outage:?}: {answer:?}");
        }
        // Those that are under way when it begins and those that open the circuit, retries out of the budget, and a probe each time that it was open.
        let hits = report.hits_within("main", OUTAGE.0, OUTAGE.1);
        // One that flaps answers half of the time.
        let most = if matches!(outage, Behaviour::Flaps(_)) { 1_500 } else { 40 + 5 + 11 + 4 };
        assert!(hits <= most, "{outage:?}: {hits} of 1500 requests reached it");
        let after = report.hits_within("main", OUTAGE.1 + 9_000, Millis::MAX);
        assert!(after >= 1_000, "{outage:?}: it is asked again: {after} of 1100");
    }
}

#[test]
fn while_all_backends_fail_every_client_has_the_page_in_time_and_they_are_left_alone() {
    for outage in OUTAGES.into_iter().filter(|outage| !matches!(outage, Behaviour::Flaps(_))) {
        let report = play(&scenario(GUARDED, outage, outage));
        assert_within_deadline(&report, outage);
        let during = |answer: &&Answered| (OUTAGE.0 + 50..OUTAGE.1 - 3_000).contains(&answer.arrived);
        for answer in report.answers.iter().filter(during) {
            assert_eq!((answer.status, &answer.body[..]), (503, &b"Back soon"[..]), "{outage:?}: {answer:?}");
        }
        for host in ["main", "spare"] {
            let hits = report.hits_within(host, OUTAGE.0, OUTAGE.1);
            assert!(hits <= 60, "{outage:?}: {hits} of 1500 requests reached {host}");
        }
        let well = report.answers.iter().filter(|answer| answer.arrived > OUTAGE.1 + 9_000);
        assert!(
            well.clone().count() > 1_000 && well.clone().all(|answer| answer.status == 200),
            "{outage:?}"
        );
    }
}

#[test]
fn what_was_stored_answers_while_all_backends_fail() {
    for outage in OUTAGES {
        let mut scenario = scenario(GUARDED, outage, outage);
        scenario.targets = vec!["/kept/a", "/kept/b", "/kept/c"];
        let report = play(&scenario);
        assert_within_deadline(&report, outage);
        assert!(report.answers.iter().all(|answer| answer.status == 200), "{outage:?}");
        let stale = report.answers.iter().filter(|answer| answer.reason == "fallback.stale").count();
        assert!(stale > 100 || matches!(outage, Behaviour::Flaps(_)), "{outage:?}: {stale}");
    }
}

#[test]
fn without_a_page_a_refused_client_is_told_when_to_come_again() {
    let policy = GUARDED.replace("page = { status = 503, body = \"Back soon\" }", "");
    let report = play(&scenario(&policy, Behaviour::Dead, Behaviour::Dead));
    let refused: Vec<_> =
        report.answers.iter().filter(|answer| answer.reason == "backend.circuit-open").collect();
    assert!(refused.len() > 1_000, "{}", refused.len());
    for answer in refused {
        assert_eq!((answer.status, answer.waited), (503, 0), "{answer:?}");
        assert!(answer.retry_after.is_some_and(|seconds| (1..=8).contains(&seconds)), "{answer:?}");
    }
}

#[test]
fn more_requests_than_may_wait_go_to_the_next_backend_or_are_refused_at_once() {
    let slow = Behaviour::Answers(900);
    let policy = GUARDED.replace("page = { status = 503, body = \"Back soon\" }", "");
    let report = play(&scenario(&policy, slow, slow));
    assert!(report.hits_within("spare", OUTAGE.0, OUTAGE.1) > 400, "what does not fit goes on");
    let busy = report.answers.iter().filter(|answer| answer.reason == "backend.busy");
    assert!(busy.clone().count() > 100, "two times 40 that take 900 ms each are fewer than 100 a second");
    assert!(
        busy.clone().all(|answer| (answer.status, answer.waited, answer.retry_after) == (503, 0, Some(1)))
    );
    assert!(report.answers.iter().all(|answer| answer.status == 200 || answer.reason == "backend.busy"));
}

#[test]
fn a_slow_answer_is_overtaken_by_that_of_another_backend() {
    let hedged = GUARDED.replace("retry =", "hedge = { percentile = 95, min = \"30ms\" }\nretry =");
    let slow = Behaviour::Answers(700);
    let mut scenario = scenario(&hedged, slow, WELL);
    scenario.pace = 100;
    scenario.clients = 400;
    let report = play(&scenario);
    let slow = report.answers.iter().filter(|answer| answer.waited >= 700).count();
    let overtaken = report.answers.iter().filter(|answer| (30..100).contains(&answer.waited)).count();
    assert!(overtaken >= 10, "{overtaken} of 150 were overtaken, and {slow} waited");
    let second = report.hits_within("spare", OUTAGE.0, OUTAGE.1);
    assert!(second <= 10 + 400 / 10, "{second} second requests are more than the budget has");
    assert!(report.answers.iter().all(|answer| answer.status == 200));
}

#[test]
fn the_deadline_holds_whatever_backends_do() {
    let policy = r#"
[limits]
deadline = "700ms"
[backends.main]
url = "http://main"
timeout = "500ms"
failover = ["spare"]
retry = { attempts = 5, backoff = "1s", budget = 100 }
[backends.spare]
url = "http://spare"
[[routes]]
path = "/{*rest}"
backend = "main"
"#;
    for outage in OUTAGES {
        let report = play(&scenario(policy, outage, Behaviour::Silent));
        let late: Vec<_> = report.answers.iter().filter(|answer| answer.waited > 700).collect();
        assert!(late.is_empty(), "{outage:?}: {late:?}");
    }
    let report = play(&scenario(policy, Behaviour::Silent, Behaviour::Silent));
    assert!(report.answers.iter().any(|answer| answer.status == 504 && answer.waited == 700));
}

#[test]
fn the_same_scenario_plays_the_same_way() {
    let scenario = scenario(GUARDED, Behaviour::Flaps(300), Behaviour::Answers(1_500));
    assert_eq!(play(&scenario), play(&scenario));
}

#[test]
fn the_share_of_a_backend_that_is_down_is_spread_over_the_others() {
    let policy = r#"
[backends.main]
url = "http://main"
breaker = { failures = 5, open = "30s" }
[backends.spare]
url = "http://spare"
[backends.third]
url = "http://third"
[[routes]]
path = "/{*rest}"
backend = { weights = { main = 6, spare = 3, third = 1 } }
"#;
    let mut scenario = scenario(policy, Behaviour::Dead, WELL);
    scenario.scripts.insert("third", vec![(0, WELL)]);
    let report = play(&scenario);
    assert!(report.answers.iter().all(|answer| answer.status == 200));
    // Within five standard deviations of what the weights promise.
    let rows = [
        ((0, OUTAGE.0), [("main", 300, 55), ("spare", 150, 51), ("third", 50, 34)]),
        ((OUTAGE.0 + 1_000, OUTAGE.1), [("main", 0, 0), ("spare", 1_050, 82), ("third", 350, 82)]),
    ];
    for ((from, until), shares) in rows {
        for (host, expected, most) in shares {
            let hits = report.hits_within(host, from, until);
            assert!(hits.abs_diff(expected) <= most, "{host} from {from} to {until}: {hits}, not {expected}");
        }
    }
}

#[test]
fn bodies_that_break_off_send_the_clients_to_the_other_backend() {
    let outage = Behaviour::Truncates(10);
    let report = play(&scenario(GUARDED, outage, WELL));
    assert_within_deadline(&report, outage);
    let parts = report.answers.iter().filter(|answer| answer.body.is_empty()).count();
    // The five that open the circuit with those that were under way, and a probe each time that it was open.
    assert!((5..=5 + 2 + 4).contains(&parts), "{parts} clients got a part");
    let hits = report.hits_within("main", OUTAGE.0, OUTAGE.1);
    assert_eq!(hits, parts, "nothing that has begun is asked for again");
}

#[test]
fn retries_alone_bring_a_backend_no_more_than_their_budget_has() {
    let retried = GUARDED.replace("breaker = { failures = 5, open = \"2s\" }", "").replace("20ms", "0ms");
    let many = retried.replace("budget = 10", "attempts = 10, budget = 100");
    for (policy, outage, most) in [
        (&retried, Behaviour::Unavailable, 1_500 + 10 + 150),
        (&retried, Behaviour::Garbage, 1_500 + 10 + 150),
        (&many, Behaviour::Unavailable, 2 * 1_500 + 10),
        (&many, Behaviour::Dead, 2 * 1_500 + 10),
    ] {
        let report = play(&scenario(policy, outage, WELL));
        let hits = report.hits_within("main", OUTAGE.0, OUTAGE.1);
        assert!((1_600..=most).contains(&hits), "{outage:?}: {hits} for 1500 requests");
        assert!(report.answers.iter().all(|answer| answer.status == 200), "{outage:?}");
    }
}

#[test]
fn what_may_have_arrived_is_not_sent_once_more() {
    for (outage, is_unsent) in [
        (Behaviour::Silent, false),
        (Behaviour::Garbage, false),
        (Behaviour::Unavailable, false),
        (Behaviour::Dead, true),
    ] {
        let mut scenario = scenario(GUARDED, outage, WELL);
        scenario.method = Method::POST;
        let report = play(&scenario);
        assert_within_deadline(&report, outage);
        let hits: usize = report.hits.values().map(Vec::len).sum();
        assert_eq!(hits > 4_000, is_unsent, "{outage:?}: {hits} for 4000 clients");
        let failed = report.answers.iter().filter(|answer| answer.status != 200).count();
        assert_eq!(failed == 0, is_unsent, "{outage:?}: {failed} clients have no answer");
    }
}

#[test]
fn a_store_that_hangs_keeps_no_client_beyond_the_deadline() {
    let mut scenario = scenario(GUARDED, WELL, WELL);
    scenario.store_hangs = true;
    let report = play(&scenario);
    for answer in report.answers {
        assert_eq!((answer.waited, answer.status), (DEADLINE, 503), "{answer:?}");
    }
}
