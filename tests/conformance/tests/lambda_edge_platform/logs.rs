//! What functions print goes to CloudWatch Logs, where more people read than may know secrets.

use selvedge_cloudfront::event::{Response, Trigger};
use serde_json::{Value, json};

use super::events::{at, behind, body, forwarded, get, request, shown};
use super::functions::{Functions, TOKEN};

/// What a client says and nobody else may know.
const CLIENTS: [(&str, &str); 3] = [
    ("Authorization", "Bearer topsecret-bearer"),
    ("Cookie", "session=topsecret-session; hero=odd"),
    ("X-Api-Key", "topsecret-key"),
];

#[test]
fn no_secret_is_printed_whatever_happens() {
    let functions = Functions::start();
    let entered = forwarded(functions.call(at(
        Trigger::ViewerRequest,
        get("/items/1?token=topsecret-query", &CLIENTS),
        None,
    )));
    let sent = forwarded(functions.call(behind(entered.clone(), false)));
    assert_eq!(sent.headers.first("x-token"), Some(TOKEN), "the backend is told it");
    let mut response = Response::new(200);
    response.headers.append("Set-Cookie", "session=topsecret-new");
    let arrived = functions.call(at(Trigger::OriginResponse, sent, Some(response)));
    let arrived = super::events::answered(arrived);
    functions.call(at(Trigger::ViewerResponse, entered.clone(), Some(arrived)));
    functions.call(behind(entered, true));
    for target in ["/fail", "/panic", "/late-panic", "/fetch"] {
        let mut event = behind(request("POST", &format!("{target}?token=topsecret-query"), &CLIENTS), false);
        event.request.body = body(b"topsecret-body");
        functions.call(event);
    }
    // A rule that a result breaks is told, and a header of the policy's is one that CloudFront forbids.
    let marked = shown(functions.call(at(Trigger::ViewerRequest, get("/marked", &CLIENTS), None)));
    assert_eq!(marked.1, "marked");
    for part in ["request", "config", "response"] {
        let mut cf = json!({ "config": { "distributionId": "E" }, "request": { "method": "GET" } });
        cf[part] = "topsecret-part".into();
        functions.call_with(&json!({ "Records": [{ "cf": cf }] }).to_string());
    }
    let log = functions.log();
    for expected in ["exposure", "it fails as it should", "it panics as it should", "disallowed-header"] {
        assert!(log.contains(expected), "{expected} is told: {log}");
    }
    assert!(!log.contains("topsecret"), "{log}");
    assert!(!log.contains(&functions.key()), "{log}");
    for line in log.lines() {
        let told: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(told["level"].is_string(), "every line says how bad it is: {line}");
    }
}
