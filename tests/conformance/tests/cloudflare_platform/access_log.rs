//! The access log on Workers: a line of JSON on the console, and a data point of Analytics Engine.

use serde_json::{Value, json};

use super::client::send;
use super::edge::Edge;

const FRONT: &str = include_str!("front.mjs");

/// What an edge that logs a share of requests tells of them: lines and data points.
fn told(share: &str, requests: &[(&str, &str)]) -> (Vec<Value>, Vec<Value>) {
    let edge = Edge::start_behind(FRONT, share);
    for (method, path) in requests {
        let fields = [
            ("User-Agent", "agent\u{9b}"),
            ("Cookie", "session=s3cret"),
            ("Authorization", "Bearer s3cret"),
            ("CF-Connecting-IP", "203.0.113.9"),
        ];
        send(edge.address(), method, path, &fields);
    }
    let answer = send(edge.address(), "GET", "/told", &[]);
    assert!(!answer.text().contains("s3cret") && !answer.text().contains("203.0.113.9"), "{}", answer.text());
    let told: Value = serde_json::from_str(answer.text()).unwrap();
    let written = told["written"].as_str().unwrap();
    assert!(!written.contains(char::is_control), "a terminal that shows it obeys nothing of it: {written:?}");
    (told["lines"].as_array().unwrap().clone(), told["points"].as_array().unwrap().clone())
}

#[test]
fn each_request_has_a_line_with_the_fields_of_every_platform() {
    let requests = [
        ("PUT", "/refused"),
        ("PUT", "/refused"),
        ("GET", "/length?token=s3cret"),
        ("HEAD", "/length"),
        ("GET", "/panic"),
    ];
    let (lines, points) = told("1", &requests);
    let found: Vec<_> = lines
        .iter()
        .map(|line| [&line["outcome"], &line["status"], &line["route"], &line["bytes_out"]])
        .collect();
    let all = "/{*rest}";
    let refused = [json!("route.method-not-allowed"), json!(405), Value::Null, lines[0]["bytes_out"].clone()];
    let expected = [
        refused.clone(),
        refused,
        [json!("backend.responded"), json!(200), json!(all), json!(5)],
        [json!("backend.responded"), json!(200), json!(all), json!(0)],
        [json!("fallback.page"), json!(503), json!("/panic"), json!(5)],
    ];
    assert_eq!(found, expected.each_ref().map(|row| row.each_ref()), "{lines:#?}");
    assert!(lines[0]["bytes_out"].as_u64() > Some(0), "{}", lines[0]);
    for (line, (method, target)) in lines.iter().zip(requests) {
        let path = target.split('?').next().unwrap();
        assert_eq!(
            (&line["selvedge"], &line["method"], &line["path"]),
            (&json!("access"), &json!(method), &json!(path))
        );
        let query = target.split_once('?').map(|_| json!("token"));
        assert_eq!(line.get("query"), query.as_ref(), "the policy allows names: {line}");
        let agent = line["user_agent"].as_str().unwrap();
        assert!(
            agent.starts_with("agent") && agent.ends_with('\u{9b}') && line.get("address").is_none(),
            "{line}"
        );
        assert!(
            line["time"].as_str().unwrap().ends_with('Z') && line["head_ms"].as_f64() >= Some(0.0),
            "{line}"
        );
        assert_eq!(line["request_id"].as_str().unwrap().len(), 32, "{line}");
        assert_eq!((&line["country"], &line["host"]), (&json!("DE"), &json!("shop.test")), "{line}");
    }
    assert_ne!(lines[0]["request_id"], lines[1]["request_id"], "the same answer, and another request");
    assert_eq!((&lines[2]["backend"], lines[0].get("backend")), (&json!("a"), None));
    let origin = ["origin_ms", "duration_ms"].map(|name| lines[2][name].is_number());
    assert_eq!(origin, [true, false], "the end of a body that Cloudflare hands on is not seen: {}", lines[2]);
    let points: Vec<_> = points.iter().filter(|point| point["blobs"][0] == "access").collect();
    assert_eq!(points.len(), requests.len(), "{points:#?}");
    assert_eq!(points[2]["indexes"], json!([all]));
    assert_eq!(
        points[2]["blobs"].as_array().unwrap()[1..5],
        [json!(all), json!("backend.responded"), json!("cache.bypass"), json!("a")]
    );
    assert_eq!((&points[2]["doubles"][0], &points[2]["doubles"][3]), (&json!(1), &json!(200)));
}

#[test]
fn outside_the_sample_are_data_points_and_failures_alone_and_without_the_variable_nothing() {
    let requests = [("GET", "/length"), ("GET", "/panic"), ("PUT", "/refused")];
    let (lines, points) = told("0", &requests);
    let found: Vec<_> = lines.iter().map(|line| (line["path"].as_str(), line["status"].as_u64())).collect();
    assert_eq!(found, [(Some("/panic"), Some(503))], "{lines:#?}");
    assert_eq!(points.iter().filter(|point| point["blobs"][0] == "access").count(), 3, "{points:#?}");
    let (lines, points) = told("", &requests);
    assert!(
        lines.is_empty() && points.iter().all(|point| point["blobs"][0] == "handler-failure"),
        "{points:#?}"
    );
}
