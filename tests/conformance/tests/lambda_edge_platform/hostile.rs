//! Events that CloudFront never sends.

use selvedge_cloudfront::event::Trigger;
use serde_json::{Value, json};

use super::events::{at, get, shown};
use super::functions::Functions;

const MIB: usize = 1 << 20;

/// An event of one record.
fn of(cf: Value) -> Value {
    json!({ "Records": [{ "cf": cf }] })
}

/// An event of a trigger with one part of another kind.
fn with(trigger: Trigger, pointer: &str, part: Value) -> Value {
    let response = json!({ "status": "200", "headers": {} });
    let mut event = of(json!({
        "config": { "distributionId": "E", "eventType": trigger, "requestId": "r" },
        "request": { "clientIp": "203.0.113.7", "method": "GET", "uri": "/hello", "headers": {} },
        "response": if trigger.is_request() { Value::Null } else { response },
    }));
    *event.pointer_mut(&format!("/Records/0/cf{pointer}")).unwrap() = part;
    event
}

fn hostile() -> Vec<String> {
    let mut events = vec![
        json!(null),
        json!([]),
        json!({}),
        json!("Records"),
        json!({ "Records": null }),
        json!({ "Records": {} }),
        json!({ "Records": [] }),
        json!({ "Records": [null] }),
        json!({ "Records": [{}, {}] }),
        of(json!(null)),
        of(json!({})),
        of(json!({ "config": { "eventType": "origin-request" } })),
        of(json!({ "response": null })),
        of(json!({ "response": 1 })),
        of(json!({ "response": {} })),
        of(json!({ "response": { "status": 200, "headers": null } })),
        of(json!({ "response": { "status": 99, "headers": { "selvedge-state": "x" } } })),
    ];
    let parts = [json!(null), json!(1), json!("x"), json!([1]), json!({ "x": 1 }), json!("\u{0}\n\u{2028}")];
    for trigger in Trigger::ALL {
        for pointer in
            ["", "/config", "/config/eventType", "/request", "/request/uri", "/request/headers", "/response"]
        {
            events.extend(parts.iter().map(|part| with(trigger, pointer, part.clone())));
        }
        let many: serde_json::Map<_, _> =
            (0..40_000).map(|at| (format!("x-{at}"), json!([{ "value": "1" }]))).collect();
        events.push(with(trigger, "/request/headers", many.into()));
        events.push(with(
            trigger,
            "/request/headers",
            json!({ "x": [{ "key": "y", "value": "a\r\nb: c" }] }),
        ));
        events.push(with(trigger, "/request/uri", "/".repeat(5 * MIB).into()));
        events.push(with(trigger, "/request/uri", "/a\u{fffd}\u{10ffff}".into()));
    }
    let mut texts: Vec<_> = events.into_iter().map(|event| event.to_string()).collect();
    // What serde_json writes none of: half a surrogate, a number without end, and what is nested too deeply.
    texts.push(texts[0].replace("null", r#"{"Records":[{"cf":{"request":{"uri":"\ud800"}}}]}"#));
    texts.push(r#"{"Records":[{"cf":{"config":{"eventType":1e999}}}],"__proto__":{"x":1}}"#.to_owned());
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        texts.push(deep.clone());
        texts.push(format!(
            r#"{{"Records":[{{"cf":{{"config":{{"eventType":"origin-request"}},"x":{deep}}}}}]}}"#
        ));
    }
    texts
}

#[test]
fn what_is_no_event_is_answered_and_the_next_event_as_ever() {
    let functions = Functions::start();
    for event in hostile() {
        let begin: String = event.chars().take(300).collect();
        let answer = functions.call_with(&event);
        assert!(answer.is_object(), "{begin}: {answer}");
        let answers = answer["status"].is_string() || answer["uri"].is_string();
        let has_response = event.contains(r#""response":{"#) || event.contains(r#""response":1"#);
        assert!(answers || has_response, "{begin}: {answer}");
    }
    let hello = at(Trigger::ViewerRequest, get("/hello", &[]), None);
    assert_eq!(shown(functions.call(hello)), ("200".to_owned(), "hello".to_owned()));
}
