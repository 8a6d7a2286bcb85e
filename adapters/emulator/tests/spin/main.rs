//! The host of Spin components, from outside, with a component that shows what it is given.

mod support;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use selvedge_core::time::Timestamp;
use selvedge_emulator::runtime::spin::{ADDRESS_HEADER, KeyValueLimits, KeyValues, Reuse};
use selvedge_emulator::{Clock, ManualClock};

use support::{App, backend};

/// More than any of these tests sends to one instance.
const ENDLESS: usize = 1_000_000;

#[test]
fn a_component_is_told_about_the_request() {
    let app = App::start("", |config| config.trusts_edge = true);
    let headers = format!("host: shop.test\r\n{ADDRESS_HEADER}: 203.0.113.9\r\nx-a: 1\r\nx-a: 2\r\n");
    let (status, text) = app.send("/headers?q", headers.as_bytes());
    assert_eq!(status, 200);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "http://shop.test/headers?q", "the URI");
    for expected in ["spin-full-url: http://shop.test/headers?q", "spin-client-addr: 203.0.113.9:0"] {
        assert!(lines.contains(&expected), "{expected} in {text}");
    }
    let repeated: Vec<_> = lines.iter().filter(|line| line.starts_with("x-a: ")).collect();
    assert_eq!(repeated, [&"x-a: 1", &"x-a: 2"]);
    for hidden in ["connection:", ADDRESS_HEADER] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[test]
fn what_spin_cannot_hand_on_is_answered_with_500() {
    let app = App::start("", |_| ());
    assert_eq!(app.send("/count", b"host: a.test\r\nx-name: caf\xe9\r\n").0, 500);
    assert_eq!(app.send("/count", "host: a.test\r\nx-name: café\r\n".as_bytes()).0, 200);
}

#[test]
fn spin_keeps_some_paths_for_itself() {
    let app = App::start("", |_| ());
    assert_eq!(app.get("/.well-known/spin/health"), (200, "OK".to_owned()));
    assert_eq!(app.get("/.well-known/spin/other").0, 404);
}

#[test]
fn a_component_sees_its_variables() {
    let app = App::start("variables = { a = \"<{{ url }}>\" }", |config| {
        config.variables.insert("url".to_owned(), "http://b.test".to_owned());
    });
    assert_eq!(app.get("/variable?a").1, "<http://b.test>");
    for (name, expected) in [("url", "Undefined"), ("A", "InvalidName")] {
        let answer = app.get(&format!("/variable?{name}")).1;
        assert!(answer.contains(expected), "{name}: {answer}");
    }
}

#[test]
fn a_component_reads_its_files_and_nothing_beside_them() {
    let files = "files = [{ source = \"words.txt\", destination = \"/a/words.txt\" }]";
    let app = App::start(files, |_| ());
    assert_eq!(app.get("/file?/a/words.txt").1, "as they were written");
    for outside in ["/edge.wasm", "/etc/passwd", "/../etc/passwd", "../words.txt"] {
        let answer = app.get(&format!("/file?{outside}")).1;
        assert!(
            ["NotFound", "PermissionDenied", "Uncategorized"].contains(&answer.as_str()),
            "{outside}: {answer}"
        );
    }
    for target in ["/a/words.txt", "/new.txt"] {
        let answer = app.get(&format!("/write?{target}")).1;
        assert!(answer.starts_with("Err("), "{target}: {answer}");
    }
    assert_eq!(app.get("/file?/a/words.txt").1, "as they were written");
}

#[test]
fn a_component_reads_the_time_that_is_set() {
    let clock = ManualClock::new(Timestamp::from_millis(1_768_478_400_000));
    let app = App::start("", |config| config.clock = Clock::Manual(clock.clone()));
    assert_eq!(app.get("/time").1, "1768478400");
    clock.set(Timestamp::from_millis(1_768_478_460_000));
    assert_eq!(app.get("/time").1, "1768478460");
}

#[test]
fn requests_go_to_allowed_hosts_only() {
    let address = backend();
    let url = format!("http://{address}");
    let app = App::start("allowed_outbound_hosts = [\"{{ url }}\"]", |config| {
        config.variables.insert("url".to_owned(), url.clone());
    });
    assert_eq!(app.get(&format!("/fetch?{url}/a")).1, "204");
    let other = format!("http://localhost:{}/", address.port());
    for refused in [other.as_str(), "https://a.test/"] {
        let answer = app.get(&format!("/fetch?{refused}")).1;
        assert!(answer.contains("HttpRequestDenied"), "{refused}: {answer}");
    }
}

#[test]
fn a_backend_that_is_not_there_is_told_from_one_that_is_refused() {
    let app = App::start("allowed_outbound_hosts = [\"http://127.0.0.1:1\"]", |_| ());
    assert!(app.get("/fetch?http://127.0.0.1:1/").1.contains("ConnectionRefused"));
}

#[test]
fn a_component_keeps_values_in_its_own_stores_only() {
    let values = KeyValues::default();
    let app = App::start("key_value_stores = [\"default\"]", |config| config.key_values = values.clone());
    assert_eq!(app.get("/keep?default").1, "1 a,b false");
    assert!(app.get("/keep?other").1.contains("AccessDenied"));
    assert_eq!(values.get("default", "b").as_deref(), Some(&b"2"[..]));
    values.refuse_writes(true);
    assert!(app.get("/keep?default").1.contains("quota"));
    values.refuse_to_open(true);
    assert!(app.get("/keep?default").1.contains("NoSuchStore"));
}

#[test]
fn a_store_that_is_full_says_so() {
    let limits = KeyValueLimits { total_bytes: 3, ..KeyValueLimits::default() };
    let app = App::start("key_value_stores = [\"default\"]", |config| {
        config.key_values = KeyValues::new(limits);
    });
    assert!(app.get("/keep?default").1.contains("4 bytes and not at most 3"));
}

#[test]
fn an_instance_answers_so_many_requests_and_no_more() {
    let app = App::start("", |config| config.reuse.requests = 3);
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..30 {
        let text = app.get("/count").1;
        let (instance, count) = text.split_once(' ').expect("a name and a number");
        let most = most.entry(instance.to_owned()).or_default();
        *most = (*most).max(count.parse().expect("a number"));
    }
    assert!(most.len() >= 10, "{most:?}");
    assert!(most.values().all(|count| *count <= 3), "{most:?}");
    assert!(most.values().any(|count| *count > 1), "instances are used again: {most:?}");
    assert_eq!(Reuse::default().requests, 128, "as with Spin");
}

/// The name of the instance in which the one request waits that was sent.
fn name_of_waiting(app: &App) -> String {
    loop {
        let text = app.get("/present").1;
        let (name, present) = text.split_once(' ').expect("a name and a number");
        if present == "1" {
            return name.to_owned();
        }
    }
}

#[test]
fn sixteen_requests_are_answered_at_once_by_one_instance() {
    let app = App::start("", |config| config.reuse.requests = ENDLESS);
    let app = &app;
    let answers: Vec<_> = thread::scope(|scope| {
        let first = scope.spawn(|| app.get("/meet?16"));
        let target = format!("/meet?16,{}", name_of_waiting(app));
        // The host decides who goes where, so they ask until they are there.
        let join = move |target: String| {
            std::iter::repeat_with(|| app.get(&target)).find(|answer| answer.1 != "elsewhere")
        };
        let spawn = |_| {
            let target = target.clone();
            scope.spawn(move || join(target))
        };
        let others: Vec<_> = (1..16).map(spawn).collect();
        let others = others.into_iter().filter_map(|other| other.join().expect("it is answered"));
        others.chain([first.join().expect("it is answered")]).collect()
    });
    assert_eq!(answers.len(), 16);
    assert!(answers.iter().all(|answer| answer.0 == 200 && *answer == answers[0]), "{answers:?}");
}

#[test]
fn an_instance_takes_no_more_at_once_than_it_may() {
    let app = App::start("", |config| config.reuse.at_once = 1);
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| app.get("/alone"))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it is answered").1).collect()
    });
    assert_eq!(answers, ["1"; 8]);
    assert_eq!(Reuse::default().at_once, 16, "as with Spin");
}

#[test]
fn a_panic_is_answered_with_500_and_the_next_request_as_ever() {
    let app = App::start("", |_| ());
    for _ in 0..3 {
        assert_eq!(app.get("/panic").0, 500);
        assert_eq!(app.get("/count").0, 200);
    }
}

#[test]
fn a_panic_ends_the_requests_beside_it_and_leaves_none_waiting() {
    let app = App::start("", |config| config.reuse.requests = ENDLESS);
    thread::scope(|scope| {
        let neighbour = scope.spawn(|| app.get("/meet?2"));
        name_of_waiting(&app);
        while !neighbour.is_finished() {
            assert_eq!(app.get("/panic").0, 500);
        }
        assert_eq!(neighbour.join().expect("it is answered").0, 500);
    });
    assert_eq!(app.get("/count").0, 200);
}

#[test]
fn a_component_that_computes_for_ever_is_ended() {
    let app = App::start("", |config| config.timeout = Duration::from_millis(200));
    assert_eq!(app.get("/loop").0, 500);
    assert_eq!(app.get("/count").0, 200);
}

#[test]
fn what_is_no_component_of_spin_is_refused() {
    let error = |source: &[u8]| {
        let change = |config: &mut selvedge_emulator::runtime::spin::SpinConfig| {
            std::fs::write(config.folder.join("edge.wasm"), source).expect("it is written");
        };
        let result = App::try_start("", change);
        result.map(|_| ()).map_err(|error| format!("{error:#}")).expect_err("it starts")
    };
    assert!(error(b"no wasm").contains("edge.wasm"));
    // The header alone is an empty component.
    assert!(error(b"\0asm\x0d\0\x01\0").contains("wasi:http/handler@0.3.0"));
}
