//! What origin-request makes of a request.

use super::*;
use crate::event::RequestBody;

fn custom(request: &Request) -> &CustomOrigin {
    match &request.origin {
        Some(Origin::Custom(origin)) => origin,
        other => panic!("{other:?}"),
    }
}

fn failed(mut event: Cf) -> Cf {
    event.request.origin = Some(secondary());
    event
}

/// A host whose backends answer with a body.
fn answering(status: u16, body: Result<&'static [u8], ReadBodyError>) -> Host {
    Host { response: Some(respond(status, &[("X-Backend", "b")])), body, asked: Vec::new() }
}

#[test]
fn a_request_goes_to_the_backend_of_the_policy() {
    let edge = edge(SHOP);
    let entered =
        enter(&edge, get("/items/1?q=x", &[("Cookie", "hero=one"), ("X-MiXeD", "1"), ("X-MiXeD", "2")]));
    let sent = depart(&edge, entered, "DE");
    assert_eq!(
        (sent.method.as_str(), sent.uri.as_str(), sent.querystring.as_str()),
        ("GET", "/base/v2/1", "q=x")
    );
    let origin = custom(&sent);
    let told = (origin.domain_name.as_str(), origin.port, origin.protocol.as_str(), origin.read_timeout);
    assert_eq!(told, ("a.example", Some(443), "https", Some(3)), "2.5 seconds are rounded up");
    assert!(!sent.headers.contains("selvedge-key"), "it is for the cache");
    assert!(!sent.headers.contains("cookie"), "the route removes it");
    assert_eq!((all(&sent.headers, "x-token"), all(&sent.headers, "x-hero")), (vec!["t"], vec!["1"]));
    let mixed: Vec<_> = sent.headers.fields("x-mixed").iter().map(|field| field.key.as_deref()).collect();
    assert_eq!(mixed, [Some("X-MiXeD"); 2]);
    let api = depart(&edge, enter(&edge, get("/api", &[])), "DE");
    let origin = custom(&api);
    assert_eq!(
        (origin.domain_name.as_str(), origin.port, origin.protocol.as_str()),
        ("b.example", Some(8080), "http")
    );
}

#[test]
fn what_a_backend_is_sent_hides_what_it_may_not_see() {
    let edge = edge(SHOP);
    let sent =
        depart(&edge, enter(&edge, get("/items/1", &[("Cookie", "session=topsecret; hero=one")])), "DE");
    let written = serde_json::to_string(&sent).expect("it is JSON");
    assert!(!written.contains("topsecret"), "the cookie that the route removes is encrypted: {written}");
    assert_eq!(all(&sent.headers, "selvedge-state").len(), 1);
}

#[test]
fn what_was_deferred_is_answered_with_the_place_known() {
    let edge = edge(SHOP);
    for country in ["DE", "US"] {
        let event = behind(enter(&edge, get("/here", &[])), &[("CloudFront-Viewer-Country", country)]);
        let answer = answered(outcome(&edge, event));
        assert_eq!((answer.status.as_str(), answer.body.as_deref()), ("200", Some(country)));
        assert_eq!(
            all(&answer.headers, "cache-control"),
            ["private, no-store"],
            "CloudFront keeps none of these"
        );
        assert!(answer.headers.contains("selvedge-state"), "viewer-response finishes it");
    }
}

#[test]
fn handlers_are_given_bodies_as_text_and_as_bytes() {
    let edge = edge(SHOP);
    let run_with = |target: &str, body: Option<RequestBody>| {
        let length = [("Content-Length", "5")];
        let mut event = behind(enter(&edge, request("POST", target, &length)), &[]);
        event.request.body = body;
        let finished = run(&edge, event, &mut Host::down());
        assert_eq!(finished.violations, []);
        answered(finished.outcome)
    };
    let base64 = Some(crate::event::Encoding::Base64);
    let body =
        |bytes: &[u8], input_truncated| Some(RequestBody { input_truncated, ..RequestBody::replace(bytes) });
    assert_eq!(run_with("/echo", body(b"hello", false)).body.as_deref(), Some("hello"));
    let bytes = run_with("/echo", body(&[0, 159, 146, 255], false));
    assert_eq!((bytes.body.as_deref(), bytes.body_encoding), (Some("AJ+S/w=="), base64));
    assert_eq!(
        run_with("/echo", body(b"hel", true)).body.as_deref(),
        Some("Broken"),
        "a part is not the body"
    );
    assert_eq!(run_with("/echo", None).body.as_deref(), Some("Broken"), "it was not shown");
    let binary = run_with("/binary", None);
    assert_eq!((binary.body.as_deref(), binary.body_encoding), (Some("AJ+S"), base64));
}

#[test]
fn a_handler_that_fails_or_says_too_much_is_the_fallback() {
    let edge = edge(SHOP);
    for (target, status, body) in
        [("/fail", "503", "sorry"), ("/long/980001", "503", "sorry"), ("/long/3", "200", "xxx")]
    {
        let event = behind(enter(&edge, get(target, &[])), &[]);
        let finished = run(&edge, event, &mut Host::down());
        assert_eq!(finished.violations, [], "{target}");
        let answer = answered(finished.outcome);
        assert_eq!((answer.status.as_str(), answer.body.as_deref()), (status, Some(body)), "{target}");
    }
    let event = behind(enter(&edge, get("/long/980000", &[])), &[]);
    assert_eq!(
        answered(run(&edge, event, &mut Host::down()).outcome).body.map(|body| body.len()),
        Some(980_000)
    );
}

#[test]
fn a_crash_counts_as_the_handlers_failure() {
    let edge = edge(SHOP);
    let event = behind(enter(&edge, get("/echo", &[])), &[]);
    let Begun::Runs(mut running) = edge.begin(event, SEED, Some("unreachable".to_owned()), NOW) else {
        panic!("origin-request runs")
    };
    let Progress::Done { finished, effects, .. } = running.poll(Input::Begin, NOW) else {
        panic!("it is done")
    };
    let answer = answered(finished.outcome);
    assert_eq!((answer.status.as_str(), answer.body.as_deref()), ("503", Some("sorry")));
    assert!(format!("{effects:?}").contains("unreachable"), "the log says why: {effects:?}");
}

const TWO: &str = "[backends.a]\nurl = \"https://a.example\"\nfailover = [\"b\"]\n\
    [backends.b]\nurl = \"https://b.example\"\nrequest-headers = { X-Token = \"t\" }\n\
    [[routes]]\npath = \"/{*rest}\"\nbackend = \"a\"\ncache = { edge = \"1m\" }\n\
    [fallback]\npage = { status = 503, body = \"sorry\" }\n";

#[test]
fn the_second_origin_asks_the_next_backend_by_itself() {
    let edge = edge(TWO);
    let event = failed(behind(enter(&edge, get("/x?q=1", &[])), &[]));
    let mut host = answering(200, Ok(b"from b"));
    let finished = run(&edge, event, &mut host);
    assert_eq!(host.asked, ["GET https://b.example/x?q=1", "a body"], "a failed already");
    let answer = answered(finished.outcome);
    assert_eq!((answer.status.as_str(), answer.body.as_deref()), ("200", Some("from b")));
    assert_eq!(all(&answer.headers, "x-backend"), ["b"]);
    assert!(!format!("{answer:?}").contains("failover.selvedge"), "the placeholder is nobody's");
}

#[test]
fn the_fallback_answers_when_the_last_backend_cannot() {
    let edge = edge(TWO);
    for (status, expected) in [(500, ("500", "broken")), (502, ("503", "sorry")), (504, ("503", "sorry"))] {
        let event = failed(behind(enter(&edge, get("/x", &[])), &[]));
        let mut host = answering(status, Ok(b"broken"));
        let finished = run(&edge, event, &mut host);
        let answer = answered(finished.outcome);
        let (status, body) = (answer.status.as_str(), answer.body.as_deref().unwrap_or_default());
        assert_eq!((status, body), expected, "a backend's own error is its answer");
        assert_eq!(host.asked.iter().filter(|asked| asked.starts_with("GET ")).count(), 1, "{status}");
        assert!(!all(&answer.headers, "cache-control").concat().contains("max-age"), "{answer:?}");
    }
    let event = failed(behind(enter(&edge, get("/x", &[])), &[]));
    let answer = answered(run(&edge, event, &mut Host::down()).outcome);
    assert_eq!((answer.status.as_str(), answer.body.as_deref()), ("503", Some("sorry")));
}

#[test]
fn a_body_that_is_too_long_for_a_function_comes_through_cloudfront() {
    let edge = edge(TWO);
    let event = failed(behind(enter(&edge, get("/x?q=1", &[])), &[]));
    let mut host = answering(200, Err(ReadBodyError::TooLarge));
    let finished = run(&edge, event, &mut host);
    let sent = forwarded(finished.outcome);
    let origin = custom(&sent);
    assert_eq!(
        (origin.domain_name.as_str(), sent.uri.as_str(), sent.querystring.as_str()),
        ("b.example", "/x", "q=1")
    );
    assert_eq!(all(&sent.headers, "x-token"), ["t"], "it is sent as b is sent requests");
    assert!(origin.custom_headers.is_empty(), "the header of the second origin is not b's");
}

#[test]
fn an_origin_that_cloudfront_takes_not_is_answered_by_the_fallback() {
    let policy = TWO.replace("https://a.example", "https://192.0.2.1");
    let edge = edge(&policy);
    let finished = run(&edge, behind(enter(&edge, get("/x", &[])), &[]), &mut Host::down());
    assert_eq!(
        finished.violations.iter().map(|found| found.rule).collect::<Vec<_>>(),
        [rules::Rule::OriginValue]
    );
    assert_eq!(answered(finished.outcome).body.as_deref(), Some("sorry"));
}
