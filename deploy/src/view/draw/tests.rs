use std::collections::BTreeMap;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use selvedge_core::health::{CircuitState, PlaceReport};
use selvedge_emulator::{Fault, SeenRequest};

use super::*;
use crate::view::board::Told;
use crate::view::keys::Action;
use crate::view::state::tests::{backend, request, snapshot, state};

fn drawn(state: &State, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    terminal
}

/// What a terminal of this size shows.
fn shown(state: &State, width: u16, height: u16) -> String {
    drawn(state, width, height).backend().to_string()
}

/// An edge with something of everything.
fn busy() -> State {
    let mut state = state();
    let mut snapshot = snapshot(3_725, 34);
    snapshot.outcomes = BTreeMap::from([("cache", 20), ("backend", 14)]);
    (snapshot.hits, snapshot.misses, snapshot.in_flight) = (20, 10, 2);
    snapshot.latencies = [1_234, 45_600, 1_200_000].map(Duration::from_micros);
    let open = CircuitState::Open(Duration::from_millis(8_500));
    let place = |circuit| PlaceReport { circuit: Some(circuit), is_unhealthy: false, in_flight: 0 };
    snapshot.backends[0].places = vec![place(CircuitState::Closed), place(open)];
    (snapshot.backends[0].requests, snapshot.backends[0].failures) = (8, 2);
    snapshot.backends[0].fault = Some(Fault::Fail);
    state.on_snapshot(snapshot);
    state.on_request(request("/static/site.css", 200));
    state.on_request(request("/nowhere", 404));
    state
}

fn assert_shows(screen: &str, parts: &[&str]) {
    for part in parts {
        assert!(screen.contains(part), "no {part:?} in\n{screen}");
    }
}

#[test]
fn a_wide_terminal_shows_everything() {
    let mut state = busy();
    state.on_told(Told::Line("INFO listening".to_owned()));
    let screen = shown(&state, 140, 40);
    let parts = [
        "Selvedge shop 0123456789abcdef  edge.toml  up 01:02:05",
        "edge http://127.0.0.1:8787  status /_selvedge/  origin http://127.0.0.1:8788",
        "requests/s",
        "34 requests, 2 in flight",
        "hit ratio 66.7 % (20 of 30)",
        "p50 1.23 p90 45.6 p99 1200",
        "backend 14  cache 20",
        "> us",
        "open 9 s (1 of 2)",
        "made to fail",
        "25 %",
        "no breaker",
        "12:03:04 GET     shop.test/nowhere",
        "404  backend.responded",
        "miss",
        "12.3",
        "INFO listening",
        "q end",
        "space hold",
    ];
    assert_shows(&screen, &parts);
    let line = |part: &str| screen.lines().position(|line| line.contains(part)).unwrap();
    assert!(line("/nowhere") < line("/static/site.css"), "the latest request is the first\n{screen}");
}

#[test]
fn a_usual_terminal_shows_each_request_with_what_came_of_it() {
    let screen = shown(&busy(), 80, 24);
    let row = screen.lines().find(|line| line.contains("/static/site.css")).unwrap();
    assert_shows(row, &["GET", "200", "backend.responded", "miss", "us", "12.3"]);
    assert_shows(&screen, &["hit ratio", "made to fail", "f fail", "shop", "http://127.0.0.1:8787"]);
}

#[test]
fn a_small_terminal_shows_one_line_for_each_thing() {
    let screen = shown(&busy(), 40, 10);
    let parts = [
        "Selvedge shop http://127.0.0.1:8787",
        "34 requests hit 66.7 % p99 1200 ms",
        "> us made to fail 25 % failing",
        "/nowhere",
        "404",
        "q end",
    ];
    assert_shows(&screen, &parts);
}

#[test]
fn no_size_is_too_small_for_anything_that_is_shown() {
    let mut states = vec![state(), busy()];
    for action in [Action::Help, Action::AskPurge, Action::NamePurge, Action::Pause] {
        let mut state = busy();
        state.on_told(Told::Refused("edge.toml:2:8: error\n".repeat(50)));
        state.on_told(Told::Line("x".repeat(500)));
        state.act(action);
        (0..300).for_each(|_| drop(state.act(Action::Type('日'))));
        states.push(state);
    }
    let mut crowded = snapshot(9, 9);
    crowded.backends = (0..50).map(|number| backend(&format!("backend-{number}"))).collect();
    let mut state = state();
    state.on_snapshot(crowded);
    state.act(Action::Previous);
    assert_shows(&shown(&state, 80, 24), &["> backend-49"]);
    states.push(state);
    for state in &states {
        for (width, height) in [(0, 0), (1, 1), (2, 40), (40, 2), (59, 15), (60, 16), (300, 5), (300, 100)] {
            drawn(state, width, height);
        }
    }
}

#[test]
fn whoever_has_no_requests_yet_sees_what_to_try() {
    let mut state = state();
    assert_shows(&shown(&state, 80, 24), &["curl -i http://127.0.0.1:8787/try-this"]);
    state.on_request(request("/", 200));
    assert!(!shown(&state, 80, 24).contains("try-this"));
}

#[test]
fn a_refused_policy_is_shown_with_its_message() {
    let mut state = busy();
    state.on_told(Told::Refused("edge.toml:2:8: error: routes[0].path: expected a text".to_owned()));
    for (width, height) in [(80, 24), (60, 10)] {
        let screen = shown(&state, width, height);
        assert_shows(
            &screen,
            &["the policy before this edit stays in use", "routes[0].path: expected a text"],
        );
    }
}

#[test]
fn what_is_asked_stands_where_the_keys_were() {
    let mut state = busy();
    state.act(Action::AskPurge);
    assert_shows(&shown(&state, 80, 24), &["purge everything? y / n"]);
    state.act(Action::NamePurge);
    "/static".chars().for_each(|character| drop(state.act(Action::Type(character))));
    assert_shows(&shown(&state, 80, 24), &["prefix or tag: /static_"]);
    state.act(Action::Cancel);
    state.act(Action::Help);
    assert_shows(&shown(&state, 80, 24), &["make it fail: there is no connection to it", "any key: back"]);
    state.act(Action::Cancel);
    state.act(Action::Pause);
    state.on_request(request("/", 200));
    assert_shows(&shown(&state, 80, 24), &["requests, held: 1 more"]);
    state.notice = Some("us fails".to_owned());
    assert_shows(&shown(&state, 80, 24), &["us fails  ? help"]);
}

#[test]
fn nothing_that_a_client_sends_reaches_the_terminal_as_a_command() {
    let mut state = state();
    let hostile = SeenRequest {
        host: Some("a\u{9b}2J".to_owned()),
        path: "/\u{1b}]0;title\u{7}\r\nx".to_owned(),
        ..SeenRequest::clone(&request("/", 200))
    };
    state.on_request(hostile.into());
    state.on_told(Told::Line("\u{1b}[2J".to_owned()));
    for (width, height) in [(140, 40), (80, 24), (40, 10)] {
        let screen = shown(&state, width, height);
        assert!(!screen.chars().any(|character| character.is_control() && character != '\n'), "{screen:?}");
        assert!(screen.contains("]0;title"), "what can be read stays\n{screen}");
    }
}

#[test]
fn times_have_as_many_digits_as_tell_something() {
    for (micros, expected) in [(0, "0.00"), (1_234, "1.23"), (45_670, "45.7"), (999_900, "1000")] {
        assert_eq!(millis(Duration::from_micros(micros)), expected);
    }
}
