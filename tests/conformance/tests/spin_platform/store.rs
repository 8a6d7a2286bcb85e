//! The store of responses on Spin's key-value, when it refuses and when it is full.

use selvedge_emulator::runtime::spin::{KeyValueLimits, KeyValues};

use super::app::App;
use super::client::{all, send, text};

const POLICY: &str = r#"
[limits]
max-store-bytes = "1MiB"

[backends.a]
url = "http://BACKEND"

[[routes]]
path = "/cached/{*rest}"
backend = "a"

[[routes]]
path = "/count/{*rest}"
backend = "a"

[[routes]]
path = "/kept"
handler = "count"
"#;

/// Starts an application and gives its stores too.
fn start(limits: KeyValueLimits) -> (App, KeyValues) {
    let values = KeyValues::new(limits);
    let stores = values.clone();
    (App::with(POLICY, move |config| config.key_values = stores), values)
}

#[test]
fn a_store_that_refuses_fails_no_request() {
    let (app, values) = start(KeyValueLimits::default());
    values.refuse_writes(true);
    for n in 0..3 {
        let answer = send(app.address(), "GET", "/cached/a", &[]);
        app.settle();
        assert_eq!((answer.status, text(&answer)), (200, "a".repeat(1000).as_str()), "{n}");
        assert!(all(&answer, "cache-status").concat().contains("fwd=uri-miss"), "{n}: nothing is stored");
    }
    assert_eq!(values.bytes(), 0);
    let log = app.log();
    assert_eq!(log.matches("key-value").count(), 1, "it is told of once: {log}");
    assert_eq!(send(app.address(), "GET", "/kept", &[]).status, 500, "a handler is told, and fails here");
    values.refuse_writes(false);
    let answers = [0, 1].map(|_| {
        let answer = send(app.address(), "GET", "/cached/a", &[]);
        app.settle();
        all(&answer, "cache-status").concat()
    });
    assert!(answers[1].contains("hit"), "it works again: {answers:?}");
}

#[test]
fn a_store_that_does_not_open_is_an_empty_one() {
    let (app, values) = start(KeyValueLimits::default());
    values.refuse_to_open(true);
    for n in 0..2 {
        let answer = send(app.address(), "GET", "/cached/a", &[]);
        app.settle();
        assert_eq!(answer.status, 200, "{n}");
        assert!(all(&answer, "cache-status").concat().contains("fwd=uri-miss"), "{n}");
    }
}

#[test]
fn a_store_does_not_grow_beyond_its_bound() {
    let (app, values) = start(KeyValueLimits::default());
    for n in 0..300 {
        assert_eq!(send(app.address(), "GET", &format!("/cached/{n}"), &[]).status, 200);
    }
    app.settle();
    let bytes = values.bytes();
    assert!((64 << 10..=1 << 20).contains(&bytes), "{bytes} bytes of at most a mebibyte");
}

#[test]
fn a_stale_response_is_renewed_after_the_answer() {
    let policy =
        POLICY.replace("path = \"/count/{*rest}\"", "path = \"/count/{*rest}\"\ncache = { edge = \"1s\" }");
    let clock = selvedge_emulator::ManualClock::new(selvedge_conformance::case::START);
    let of_app = clock.clone();
    let app = App::with(&policy, move |config| config.clock = selvedge_emulator::Clock::Manual(of_app));
    let ask = || {
        let answer = send(app.address(), "GET", "/count/x", &[]);
        app.settle();
        (text(&answer).parse::<usize>().unwrap(), all(&answer, "cache-status").concat())
    };
    let (first, _) = ask();
    clock.set(selvedge_conformance::case::START + std::time::Duration::from_secs(10));
    let (stale, status) = ask();
    assert_eq!(stale, first, "the client does not wait: {status}");
    let (renewed, status) = ask();
    assert!(renewed > first && status.contains("hit"), "it was renewed meanwhile: {status}");
}
