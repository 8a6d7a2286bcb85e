use std::collections::BTreeMap;

use selvedge_core::time::Timestamp;
use selvedge_emulator::PolicyInfo;

use super::*;
use crate::view::keys::Action;

/// A state of an edge with the backends `us` and `eu` that has just begun.
pub(in crate::view) fn state() -> State {
    let about = About {
        source: "edge.toml".to_owned(),
        edge: SocketAddr::from(([127, 0, 0, 1], 8787)),
        origin: Some(SocketAddr::from(([127, 0, 0, 1], 8788))),
        tries: vec!["curl -i http://127.0.0.1:8787/try-this".to_owned()],
    };
    State::new(about, snapshot(0, 0))
}

/// What the edge is like after so many seconds and requests.
pub(in crate::view) fn snapshot(seconds: u64, requests: u64) -> Snapshot {
    Snapshot {
        policy: Arc::new(PolicyInfo { name: "shop".to_owned(), hash: "0123456789abcdef".to_owned() }),
        uptime: Duration::from_secs(seconds),
        requests,
        in_flight: 0,
        outcomes: BTreeMap::new(),
        hits: 0,
        misses: 0,
        entries: 0,
        latencies: [Duration::ZERO; 3],
        backends: ["us", "eu"].map(backend).to_vec(),
    }
}

pub(in crate::view) fn backend(name: &str) -> BackendSnapshot {
    BackendSnapshot {
        name: name.to_owned(),
        places: Vec::new(),
        requests: 0,
        failures: 0,
        in_flight: 0,
        fault: None,
    }
}

pub(in crate::view) fn request(path: &str, status: u16) -> Arc<SeenRequest> {
    Arc::new(SeenRequest {
        time: Timestamp::from_millis(43_384_000),
        method: "GET".to_owned(),
        host: Some("shop.test".to_owned()),
        path: path.to_owned(),
        status: Some(status),
        reason: Some("backend.responded"),
        cache: Some("cache.miss"),
        backend: Some("us".to_owned()),
        duration: Duration::from_micros(12_340),
        is_aborted: false,
    })
}

fn paths(state: &State) -> Vec<&str> {
    state.requests.iter().map(|request| request.path.as_str()).collect()
}

fn set(backend: &str, fault: Option<Fault>) -> Option<Command> {
    Some(Command::SetFault(backend.to_owned(), fault))
}

#[test]
fn the_latest_request_is_the_first_and_old_ones_are_forgotten() {
    let mut state = state();
    for number in 0..MAX_REQUESTS + 5 {
        state.on_request(request(&format!("/{number}"), 200));
    }
    assert_eq!((state.requests.len(), paths(&state)[0]), (MAX_REQUESTS, "/504"));
}

#[test]
fn what_comes_while_the_list_is_held_is_there_once_it_goes_on() {
    let mut state = state();
    state.on_request(request("/before", 200));
    assert_eq!(state.act(Action::Pause), None);
    for number in 0..MAX_REQUESTS - 1 {
        state.on_request(request(&format!("/{number}"), 200));
    }
    assert_eq!(paths(&state), ["/before"]);
    state.act(Action::Pause);
    assert_eq!((paths(&state)[0], paths(&state)[MAX_REQUESTS - 1]), ("/498", "/before"));
    state.act(Action::Pause);
    (0..=MAX_REQUESTS).for_each(|_| state.on_request(request("/", 200)));
    state.act(Action::Pause);
    assert_eq!(state.requests.len(), MAX_REQUESTS, "what is held back is bounded, too");
}

#[test]
fn faults_are_set_on_the_backend_that_is_chosen() {
    let mut state = state();
    assert_eq!(state.act(Action::Fail), set("us", Some(Fault::Fail)));
    state.act(Action::Next);
    assert_eq!(state.act(Action::Heal), set("eu", None));
    state.act(Action::Next);
    assert_eq!(state.chosen().map(|(at, _)| at), Some(0), "after the last one is the first");
    state.act(Action::Previous);
    assert_eq!(state.act(Action::Fail), set("eu", Some(Fault::Fail)));

    let mut fewer = snapshot(1, 0);
    fewer.backends.truncate(1);
    state.on_snapshot(fewer.clone());
    assert_eq!(state.act(Action::Fail), set("us", Some(Fault::Fail)), "a reload took the other away");
    fewer.backends.clear();
    state.on_snapshot(fewer);
    state.act(Action::Next);
    assert_eq!((state.act(Action::Fail), state.notice.is_some()), (None, true), "there is none");
}

#[test]
fn a_backend_gets_slower_with_each_press_and_well_after_the_last() {
    let seconds = |seconds| Some(Fault::Slow(Duration::from_secs(seconds)));
    let rows = [
        (None, seconds(2)),
        (Some(Fault::Fail), seconds(2)),
        (seconds(1), seconds(2)),
        (seconds(2), seconds(5)),
        (seconds(5), seconds(10)),
        (seconds(10), None),
        (seconds(60), None),
    ];
    for (fault, next) in rows {
        let mut state = state();
        state.snapshot.backends[0].fault = fault;
        assert_eq!(state.act(Action::Slow), set("us", next), "{fault:?}");
    }
}

fn type_in(state: &mut State, text: &str) -> Option<Command> {
    state.act(Action::NamePurge);
    text.chars().for_each(|character| drop(state.act(Action::Type(character))));
    state.act(Action::Confirm)
}

#[test]
fn everything_is_purged_after_a_yes_and_nothing_after_a_no() {
    let mut state = state();
    assert_eq!(state.act(Action::AskPurge), None);
    assert_eq!((state.act(Action::Cancel), state.act(Action::Confirm)), (None, None));
    state.act(Action::AskPurge);
    let everything = PurgeRequest { everything: true, ..PurgeRequest::default() };
    assert_eq!(state.act(Action::Confirm), Some(Command::Purge(everything)));
    assert_eq!(state.mode, Mode::Watching);
}

#[test]
fn a_url_or_a_path_is_purged_as_a_prefix_and_anything_else_as_a_tag() {
    let prefix = |prefix: &str| PurgeRequest { prefixes: vec![prefix.to_owned()], ..PurgeRequest::default() };
    let rows = [
        ("/static", prefix("http://127.0.0.1:8787/static")),
        (" http://shop.test/a ", prefix("http://shop.test/a")),
        ("static", PurgeRequest { tags: vec!["static".to_owned()], ..PurgeRequest::default() }),
    ];
    for (typed, expected) in rows {
        assert_eq!(type_in(&mut state(), typed), Some(Command::Purge(expected)), "{typed}");
    }
    assert_eq!(type_in(&mut state(), "  "), None);
    let mut state = state();
    assert_eq!(
        type_in(&mut state, &"x".repeat(MAX_TYPED + 50)).map(|_| state.mode.clone()),
        Some(Mode::Watching)
    );
    state.act(Action::NamePurge);
    (0..MAX_TYPED + 50).for_each(|_| drop(state.act(Action::Type('ä'))));
    state.act(Action::Erase);
    assert_eq!(state.mode, Mode::NamingPurge("ä".repeat(MAX_TYPED - 1)));
}

#[test]
fn a_refused_policy_is_shown_until_one_is_taken() {
    let mut state = state();
    state.on_told(Told::Refused("edge.toml:2:8: error\nhelp".to_owned()));
    assert_eq!(state.refusal.as_deref(), Some("edge.toml:2:8: error\nhelp"));
    state.on_told(Told::Line("something else".to_owned()));
    assert!(state.refusal.is_some());
    state.on_told(Told::Reloaded("reloaded".to_owned()));
    assert_eq!((state.refusal.clone(), state.log.len()), (None, 4));
    (0..MAX_LOG_LINES).for_each(|number| state.on_told(Told::Line(number.to_string())));
    assert_eq!((state.log.len(), state.log[0].as_str()), (MAX_LOG_LINES, "0"), "the log is bounded");
    state.on_told(Told::Refused("no".to_owned()));
    state.on_request(request("/", 200));
    state.act(Action::Clear);
    assert_eq!((state.log.len(), state.requests.len(), state.refusal), (0, 0, None));
}

#[test]
fn requests_are_counted_by_whole_seconds() {
    let mut state = state();
    for (seconds, requests) in [(0, 3), (0, 4), (1, 6), (3, 6), (4, 16), (5, 17)] {
        state.on_snapshot(snapshot(seconds, requests));
    }
    assert_eq!(state.rates.last(10), [4, 2, 0, 0, 10], "the second under way is not whole");
    assert_eq!((state.rates.last(2), state.rates.latest()), (vec![0, 10], 10));
    state.on_snapshot(snapshot(1_000_000, 20));
    assert_eq!(state.rates.last(usize::MAX).len(), rates::MAX_SECONDS - 1, "a night asleep is bounded");
    assert_eq!(state.rates.latest(), 0);
}

#[test]
fn failures_count_for_half_a_minute() {
    let mut state = state();
    let mut look = |seconds, requests, failures| {
        let mut snapshot = snapshot(seconds, requests);
        (snapshot.backends[0].requests, snapshot.backends[0].failures) = (requests, failures);
        state.on_snapshot(snapshot);
        state.failures.percent("us")
    };
    assert_eq!(look(1, 0, 0), None, "there was no request");
    assert_eq!(look(2, 4, 1), Some(25));
    assert_eq!(look(10, 6, 3), Some(50));
    assert_eq!(look(35, 10, 3), Some(33), "the first failure is long ago");
    assert_eq!(look(70, 20, 3), Some(0));
    assert_eq!(look(71, 20, 5), Some(20));
    assert_eq!(state.failures.percent("nobody"), None);
}
