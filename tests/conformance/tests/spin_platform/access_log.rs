//! The access log on Spin: one line of JSON on the component's standard output, where a variable says so.

use serde_json::Value;

use super::app::App;
use super::client::send;

const POLICY: &str = r#"
[backends.a]
url = "http://BACKEND"

[[routes]]
path = "/same"
respond = { body = "same" }

[[routes]]
path = "/down"
respond = { status = 503, body = "down" }

[[routes]]
path = "/{*rest}"
backend = "a"
"#;

/// Asks for paths of an application that logs a share of requests, and returns what it says of them.
fn lines(share: &str, paths: &[(&str, &str)]) -> Vec<Value> {
    let app = App::with(POLICY, |config| {
        config.variables.insert("selvedge_access_log".to_owned(), share.to_owned());
    });
    for (method, path) in paths {
        let fields =
            [("user-agent", "agent"), ("cookie", "session=s3cret"), ("authorization", "Bearer s3cret")];
        // What one client is authorised for is not stored for others.
        let fields = if path.starts_with("/cached/") { &fields[..1] } else { &fields[..] };
        send(app.address(), method, path, fields);
    }
    let log = app.log();
    assert!(!log.contains("s3cret") && !log.contains("127.0.0.1"), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["selvedge"] == "access").collect()
}

#[test]
fn each_request_has_a_line_whatever_answered_it() {
    let paths = [
        ("GET", "/same"),
        ("GET", "/same"),
        ("GET", "/cached/a?token=s3cret"),
        ("GET", "/cached/a?token=s3cret"),
        ("HEAD", "/count"),
    ];
    let lines = lines("1", &paths);
    let found: Vec<_> =
        lines.iter().map(|line| (line["outcome"].as_str().unwrap(), line["bytes_out"].as_u64())).collect();
    let expected = [
        ("route.responded", Some(4)),
        ("route.responded", Some(4)),
        ("backend.responded", None),
        ("cache.hit", Some(1000)),
        ("backend.responded", Some(0)),
    ];
    assert_eq!(found, expected, "{lines:#?}");
    for (line, (method, target)) in lines.iter().zip(paths) {
        let path = target.split('?').next().unwrap();
        assert_eq!((&line["method"], &line["path"]), (&method.into(), &path.into()), "{line}");
        assert_eq!((&line["host"], &line["status"]), (&"shop.test".into(), &200.into()), "{line}");
        assert!(line["head_ms"].as_f64().unwrap() >= 0.0, "{line}");
        let personal = ["user_agent", "query", "address"].map(|name| line.get(name));
        assert_eq!(personal, [None; 3], "the policy allows none of it: {line}");
        assert_eq!(line["request_id"].as_str().unwrap().len(), 32, "{line}");
    }
    assert_ne!(lines[0]["request_id"], lines[1]["request_id"], "the same answer, and another request");
    assert!(lines[2]["origin_ms"].as_f64() > Some(0.0) && lines[2]["backend"] == "a", "{}", lines[2]);
    assert_eq!((lines[3].get("origin_ms"), &lines[3]["route"]), (None, &"/{*rest}".into()));
    let lookups = lines.iter().map(|line| line["cache_ms"].is_number()).collect::<Vec<_>>();
    assert_eq!(lookups, [false, false, true, true, true], "the edge's own answers ask no store");
    assert!(lines[3]["cache_status"].as_str().unwrap().starts_with("Selvedge;hit"), "{}", lines[3]);
    assert_eq!(
        (lines[2].get("duration_ms"), lines[3]["duration_ms"].is_number()),
        (None, true),
        "the end of a body that Spin hands on is not seen"
    );
}

#[test]
fn a_sample_has_every_failure_and_without_the_variable_there_is_no_line() {
    let paths = [("GET", "/same"), ("GET", "/down"), ("GET", "/down"), ("GET", "/page/a")];
    let failures = lines("0", &paths);
    let found: Vec<_> =
        failures.iter().map(|line| (line["path"].as_str(), line["status"].as_u64())).collect();
    assert_eq!(found, [(Some("/down"), Some(503)), (Some("/down"), Some(503))]);
    assert_eq!(lines("", &paths), Vec::<Value>::new());
}
