use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const EVENTS: [(&str, &str); 7] = [
    ("viewer-request", include_str!("../../tests/fixtures/viewer-request.json")),
    ("viewer-request-body", include_str!("../../tests/fixtures/viewer-request-body.json")),
    ("origin-request-custom", include_str!("../../tests/fixtures/origin-request-custom.json")),
    ("origin-request-s3", include_str!("../../tests/fixtures/origin-request-s3.json")),
    ("origin-response", include_str!("../../tests/fixtures/origin-response.json")),
    ("viewer-response", include_str!("../../tests/fixtures/viewer-response.json")),
    ("old-sample", include_str!("../../tests/fixtures/old-sample.json")),
];
const GENERATED: &str = include_str!("../../tests/fixtures/generated-response.json");

fn event(name: &str) -> Event {
    let (_, json) = EVENTS.iter().find(|(known, _)| *known == name).expect("the fixture is there");
    serde_json::from_str(json).expect("the fixture is an event")
}

fn cf(name: &str) -> Cf {
    event(name).into_cf().expect("the fixture has one record")
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect("it is JSON")
}

fn written(what: &impl Serialize) -> Value {
    serde_json::to_value(what).expect("it is written as JSON")
}

#[test]
fn every_sample_event_comes_out_as_it_went_in() {
    for (name, json) in EVENTS {
        assert_eq!(written(&event(name)), value(json), "{name}");
    }
}

#[test]
fn events_of_the_four_triggers_say_which_one() {
    let fixtures = ["viewer-request", "origin-request-custom", "origin-response", "viewer-response"];
    for (trigger, name) in Trigger::ALL.into_iter().zip(fixtures) {
        let cf = cf(name);
        assert_eq!(cf.config.event_type, Some(trigger));
        assert_eq!(cf.response.is_some(), !trigger.is_request(), "{name}");
        assert_eq!(written(&trigger), Value::from(trigger.as_str()));
    }
    let old = cf("old-sample").config;
    assert_eq!((old.event_type, old.request_id.as_str()), (None, ""), "samples without them are read");
}

#[test]
fn an_event_has_exactly_one_record() {
    let record = event("viewer-request").records.remove(0);
    let many = |count| Event { records: vec![record.clone(); count], extra: Extra::new() };
    for (count, is_event) in [(0, false), (1, true), (2, false)] {
        assert_eq!(many(count).cf().is_some(), is_event, "{count} records");
        assert_eq!(many(count).into_cf().is_some(), is_event, "{count} records");
    }
}

#[test]
fn repeated_headers_stay_repeated_in_order_and_each_in_its_case() {
    let headers = cf("viewer-request").request.headers;
    assert_eq!(headers.get_all("Cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    let keys: Vec<_> = headers.fields("x-tag").iter().map(|field| field.key.as_deref()).collect();
    assert_eq!(keys, [Some("X-Tag"), Some("x-tag")]);
    let names: Vec<_> = headers.names().collect();
    assert_eq!(names, ["host", "user-agent", "accept", "cookie", "accept-language", "x-tag"]);
    let text = serde_json::to_string(&headers).expect("headers are written");
    let again: Vec<_> =
        names.iter().map(|name| text.find(&format!("\"{name}\":[")).expect("it is there")).collect();
    assert!(again.is_sorted(), "names keep their order: {text}");
}

#[test]
fn fields_of_a_newer_cloudfront_survive_everywhere() {
    for (name, json) in EVENTS {
        let mut newer = value(json);
        mark(&mut newer);
        let event: Event = serde_json::from_value(newer.clone()).expect("unknown fields are no error");
        assert_eq!(written(&event), newer, "{name}");
    }
    let custom = cf("origin-request-custom").request.origin;
    let Some(Origin::Custom(origin)) = custom else { panic!("the fixture has a custom origin: {custom:?}") };
    assert_eq!(origin.extra.get("responseCompletionTimeout"), Some(&json!(30)));
}

/// Adds a field to each object but to header maps, fields of headers and the wrapper of an origin.
fn mark(value: &mut Value) {
    let Some(object) = value.as_object_mut() else {
        value.as_array_mut().into_iter().flatten().for_each(mark);
        return;
    };
    let is_origin = object.contains_key("custom") || object.contains_key("s3");
    for (name, value) in object.iter_mut() {
        if !matches!(name.as_str(), "headers" | "customHeaders") {
            mark(value);
        }
    }
    if !is_origin {
        object.insert("newer".to_owned(), json!({ "a": [1, null] }));
    }
}

#[test]
fn origins_have_their_types() {
    let Some(Origin::Custom(custom)) = cf("origin-request-custom").request.origin else {
        panic!("a custom origin")
    };
    assert_eq!((custom.port, custom.read_timeout, custom.keepalive_timeout), (Some(443), Some(30), Some(5)));
    assert_eq!(custom.custom_headers.first("X-Env"), Some("staging"));
    let s3 = cf("origin-request-s3").request.origin.expect("an origin");
    assert_eq!(s3.domain_name(), "my-bucket.s3.amazonaws.com");
    assert!(s3.custom_headers().is_empty());
}

#[test]
fn numbers_of_an_origin_may_be_strings_but_must_be_numbers() {
    let origin = |port: Value| json!({ "custom": { "domainName": "example.org", "port": port } });
    for (port, want) in [(json!(8443), Some(8443)), (json!("8443"), Some(8443)), (Value::Null, None)] {
        let read: Origin = serde_json::from_value(origin(port.clone())).expect("it is a port");
        let Origin::Custom(read) = read else { panic!("a custom origin") };
        assert_eq!(read.port, want, "{port}");
    }
    for port in [json!(65_536), json!("65536"), json!(-1), json!("+1"), json!(""), json!(1.5), json!([1])] {
        assert!(serde_json::from_value::<Origin>(origin(port.clone())).is_err(), "{port} is no port");
    }
    let both = json!({ "custom": { "domainName": "a" }, "s3": { "domainName": "b" } });
    assert!(serde_json::from_value::<Origin>(both).is_err(), "an origin is one or the other");
}

#[test]
fn bodies_are_decoded_by_their_encoding() {
    let body = cf("viewer-request-body").request.body.expect("a body");
    assert_eq!(
        (body.action, body.encoding, body.input_truncated),
        (BodyAction::ReadOnly, Encoding::Base64, false)
    );
    assert_eq!(body.decode(), Ok("name=selvedge&x=ü".as_bytes().to_vec()));
    let text = RequestBody { encoding: Encoding::Text, data: "not base64!".into(), ..body.clone() };
    assert_eq!(text.decode(), Ok(b"not base64!".to_vec()));
    let wrong = RequestBody { data: "not base64!".into(), ..body };
    assert_eq!(wrong.decode().map_err(|error| error.to_string()), Err("the body is not base64".to_owned()));
    let replaced = RequestBody::replace(&[0, 255]);
    assert_eq!((replaced.action, replaced.decode()), (BodyAction::Replace, Ok(vec![0, 255])));
}

#[test]
fn what_has_a_status_is_a_response_and_what_has_a_method_is_a_request() {
    let generated: Outcome = serde_json::from_str(GENERATED).expect("it is a response");
    assert_eq!(written(&generated), value(GENERATED));
    let Outcome::Response(response) = generated else { panic!("what has a status is a response") };
    assert_eq!(response.decode(), Some(Ok(b"<html>".to_vec())));
    let request = cf("origin-request-s3").request;
    let read: Outcome = serde_json::from_value(written(&request)).expect("it is a request");
    assert_eq!(read, Outcome::Request(Box::new(request)));
    let both: Outcome =
        serde_json::from_str(r#"{"method": "GET", "status": "200"}"#).expect("it is a response");
    assert!(matches!(&both, Outcome::Response(response) if response.status == "200"), "{both:?}");
    let empty: Outcome =
        serde_json::from_str("{}").expect("a response without a status is read, and is against the rules");
    assert_eq!(empty, Outcome::Response(Response::default()));
    for wrong in ["null", "[]", "1", r#"{"status": 200}"#, r#"{"method": "GET"}"#] {
        assert!(serde_json::from_str::<Outcome>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn names_are_looked_up_whatever_their_case() {
    let read: Headers =
        serde_json::from_str(r#"{"X-A": [{"value": "1"}], "x-a": [{"value": "2"}]}"#).expect("headers");
    let first = Field { key: Some("X-A".into()), value: "1".into() };
    assert_eq!(read.fields("X-a"), [first, Field { key: None, value: "2".into() }]);
    let mut headers = Headers::from_iter([("A", "1"), ("b", "2"), ("a", "3")]);
    assert_eq!((headers.len(), headers.names().collect::<Vec<_>>()), (3, vec!["a", "b"]));
    assert_eq!(headers.insert("a", "4").len(), 2, "the old fields come back");
    assert_eq!(headers.names().collect::<Vec<_>>(), ["a", "b"], "a header that is set again keeps its place");
    headers.append("C", "5");
    assert_eq!(headers.remove("A").len(), 1);
    assert_eq!(headers.names().collect::<Vec<_>>(), ["b", "c"], "the others keep their order");
    headers.insert("a", "4");
    assert_eq!((headers.remove("B").len(), headers.remove("c").len()), (1, 1));
    assert!(headers.contains("A") && !headers.contains("b") && !headers.is_empty());
    headers.set("A", Vec::new());
    assert!(headers.is_empty(), "no fields are no header");
}

#[test]
fn headers_go_to_the_http_crate_and_back() {
    let headers = Headers::from_iter([
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-text", "grün"),
        ("x-empty", ""),
    ]);
    assert_eq!(Headers::from_http(&headers.to_http()), headers);
    let bad = Headers::from_iter([("no name", "1"), ("x-break", "a\r\nb: c"), ("", "1"), ("x-good", "1")]);
    assert_eq!(bad.to_http().keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["x-good"]);
    let latin = http::HeaderValue::from_bytes(b"gr\xfcn").expect("any byte from 0x80 on is allowed");
    let map = http::HeaderMap::from_iter([(http::header::SERVER, latin)]);
    assert_eq!(Headers::from_http(&map).first("server"), Some("grün"), "what is no UTF-8 is Latin-1");
}

#[test]
fn more_headers_than_the_http_crate_takes_are_no_panic() {
    let many: Headers = (0..40_000).map(|n| (format!("x-{n}"), "")).collect();
    assert!(many.to_http().len() > 10_000);
}

#[test]
fn depth_is_bounded() {
    let deep = format!(r#"{{"Records": [], "x": {}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    let error = serde_json::from_str::<Event>(&deep).expect_err("it is too deep");
    assert!(error.to_string().contains("recursion limit"), "{error}");
}

/// What parses is written so that it parses to the same.
fn round_trips(bytes: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<Event>(bytes) {
        let again: Event = serde_json::from_value(written(&event)).expect("what was written is read");
        assert_eq!(again, event);
    }
    if let Ok(outcome) = serde_json::from_slice::<Outcome>(bytes) {
        let again: Outcome = serde_json::from_value(written(&outcome)).expect("what was written is read");
        assert_eq!(again, outcome);
    }
    if let Ok(headers) = serde_json::from_slice::<Headers>(bytes) {
        let _ = headers.to_http();
        let again: Headers = serde_json::from_value(written(&headers)).expect("what was written is read");
        assert_eq!(again, headers);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        round_trips(&bytes);
    }

    #[test]
    fn no_changed_sample_makes_reading_panic(
        sample in 0..=EVENTS.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_usize), 1..6),
    ) {
        let mut bytes = EVENTS.get(sample).map_or(GENERATED, |(_, json)| json).as_bytes().to_vec();
        for (at, byte, how) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        round_trips(&bytes);
    }

    #[test]
    fn no_changed_value_makes_reading_panic(
        sample in 0..EVENTS.len(),
        at in any::<prop::sample::Index>(),
        with in prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from), Just(json!([])), Just(json!({})), Just(json!({"": [{}]})),
        ],
    ) {
        let mut tree = value(EVENTS[sample].1);
        let mut spots = Vec::new();
        pointers(&tree, String::new(), &mut spots);
        let spot = &spots[at.index(spots.len())];
        *tree.pointer_mut(spot).expect("it was found there") = with;
        round_trips(tree.to_string().as_bytes());
    }

    #[test]
    fn every_body_survives(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let body = RequestBody::replace(&bytes);
        prop_assert_eq!(&body.data, &STANDARD.encode(&bytes));
        prop_assert_eq!(body.decode(), Ok(bytes));
    }
}

/// Collects the JSON pointers to all that is in a value.
fn pointers(value: &Value, here: String, spots: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| pointers(value, format!("{here}/{name}"), spots))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| pointers(item, format!("{here}/{at}"), spots));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    spots.push(here);
}
