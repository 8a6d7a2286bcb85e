//! A handler that panics takes down its own event and no other.

use std::thread;

use super::events::{behind, get, shown};
use super::functions::Functions;

const CLIENTS: usize = 16;
const EVENTS: usize = 24;

/// A crashed module is replaced, here almost two hundred times: were each kept, it would be more by far.
const MAX_GROWTH: u64 = 64 << 20;

fn expected(target: &str) -> (String, String) {
    let (status, body) = match target {
        "/panic" | "/late-panic" => ("503", "sorry"),
        "/fetch" => ("200", "GET /a/from-handler?x=1, 15 bytes of token"),
        _ => ("200", "GET one: "),
    };
    (status.to_owned(), body.to_owned())
}

#[test]
fn the_event_after_a_crash_is_answered_as_ever() {
    let functions = Functions::start();
    for target in ["/panic", "/echo/one", "/late-panic", "/fetch", "/panic", "/panic", "/echo/one"] {
        assert_eq!(shown(functions.call(behind(get(target, &[]), false))), expected(target), "{target}");
    }
    let log = functions.log();
    let told = |name: &str| log.matches(&format!(r#""selvedge":"handler-failure","name":"{name}""#)).count();
    assert_eq!((told("panic"), told("late-panic")), (3, 1), "each is told once: {log}");
}

#[test]
fn under_load_only_the_events_that_crash_fail() {
    let functions = Functions::start();
    let client = |number: usize| {
        let targets = ["/panic", "/late-panic", "/fetch", "/echo/one"].into_iter().cycle().skip(number);
        for target in targets.take(EVENTS) {
            assert_eq!(shown(functions.call(behind(get(target, &[]), false))), expected(target), "{target}");
        }
    };
    client(0);
    let warm = functions.resident_bytes();
    thread::scope(|scope| (0..CLIENTS).for_each(|number| drop(scope.spawn(move || client(number)))));
    let last = functions.resident_bytes();
    assert!(last < warm + MAX_GROWTH, "{warm} bytes became {last}, more than {MAX_GROWTH} more");
}
