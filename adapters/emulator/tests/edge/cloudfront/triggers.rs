//! Which functions are called, and what they are told.

use http::{Method, Request};
use selvedge_cloudfront::event::{Origin, Trigger};
use selvedge_cloudfront::policy::distribution::{Attached, Distribution};

use super::support::{Front, body, counted, distribution, header, node};
use crate::support::{empty, full};

#[tokio::test]
async fn a_request_meets_all_four_triggers() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, "", distribution(), counted("x-origin", "yes")).await;
    let request = Request::get("/a%20b?x=1&y").header("x-many", "one").header("x-many", "two");
    let response = front.send(request.body(empty()).unwrap()).await;
    assert_eq!((response.status().as_u16(), body(&response)), (200, "answer 1"));
    assert_eq!(header(&response, "x-cache"), "Miss from cloudfront");
    for trigger in Trigger::ALL {
        let events = front.events(trigger);
        assert_eq!(events.len(), 1, "{trigger}");
        let cf = &events[0];
        assert_eq!(
            (cf.request.uri.as_str(), cf.request.querystring.as_str()),
            ("/a%20b", "x=1&y"),
            "{trigger}"
        );
        assert_eq!(cf.request.method, "GET", "{trigger}");
        assert_eq!(cf.request.headers.get_all("x-many").collect::<Vec<_>>(), ["one", "two"], "{trigger}");
        assert_eq!(cf.request.client_ip, "127.0.0.1", "{trigger}");
        assert_eq!(cf.request.body, None, "{trigger}: the body is not included");
        assert_eq!(cf.config.distribution_domain_name, "dlocalselvedge.cloudfront.net", "{trigger}");
        assert_eq!(header(&response, "x-amz-cf-id"), cf.config.request_id, "{trigger}");
        assert_eq!(cf.response.is_some(), !trigger.is_request(), "{trigger}");
        assert_eq!(cf.request.origin.is_some(), !trigger.is_viewer(), "{trigger}");
        let response = cf.response.clone().unwrap_or_default();
        let expected = if trigger.is_request() { "" } else { "200" };
        assert_eq!((response.status.as_str(), response.body), (expected, None), "{trigger}");
    }
    let asked = &front.events(Trigger::OriginRequest)[0].request;
    let Some(Origin::Custom(origin)) = &asked.origin else { panic!("no origin: {asked:?}") };
    assert_eq!((origin.protocol.as_str(), origin.port, origin.read_timeout), ("https", Some(443), Some(30)));
}

#[tokio::test]
async fn only_attached_triggers_are_called() {
    let Some(node) = node() else { return };
    let attached = Attached { trigger: Trigger::OriginRequest, include_body: false };
    let distribution = Distribution { triggers: vec![attached], ..distribution() };
    let front = Front::start(&node, "", distribution, counted("x-origin", "yes")).await;
    assert_eq!(body(&front.get("/").await), "answer 1");
    let called = Trigger::ALL.map(|trigger| front.events(trigger).len());
    assert_eq!(called, [0, 1, 0, 0]);
}

#[tokio::test]
async fn a_response_that_viewer_request_makes_is_the_answer_and_is_not_kept() {
    let Some(node) = node() else { return };
    let function = r#""viewer-request": () => ({
        status: "200", statusDescription: "OK", body: "bWFkZQ==", bodyEncoding: "base64",
        headers: { "cache-control": [{ value: "max-age=60" }], "set-cookie": [{ value: "a=1" }, { value: "b=2" }] },
    })"#;
    let front = Front::start(&node, function, distribution(), counted("x-origin", "yes")).await;
    for _ in 0..2 {
        let response = front.get("/").await;
        assert_eq!((response.status().as_u16(), body(&response)), (200, "made"));
        assert_eq!(header(&response, "x-cache"), "LambdaGeneratedResponse from cloudfront");
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
    }
    assert_eq!(Trigger::ALL.map(|trigger| front.events(trigger).len()), [2, 0, 0, 0]);
    assert_eq!(front.origin.requests().len(), 0);
}

#[tokio::test]
async fn a_response_that_origin_request_makes_is_kept_and_meets_viewer_response_only() {
    let Some(node) = node() else { return };
    let function = r#""origin-request": () => ({
        status: "200", headers: { "cache-control": [{ value: "max-age=60" }] }, body: "made",
    })"#;
    let front = Front::start(&node, function, distribution(), counted("x-origin", "yes")).await;
    let responses = [front.get("/").await, front.get("/").await];
    assert_eq!(responses.each_ref().map(body), ["made", "made"]);
    let x_cache = responses.each_ref().map(|response| header(response, "x-cache"));
    assert_eq!(x_cache, ["LambdaGeneratedResponse from cloudfront", "Hit from cloudfront"]);
    assert_eq!(Trigger::ALL.map(|trigger| front.events(trigger).len()), [2, 1, 0, 2]);
}

#[tokio::test]
async fn viewer_response_is_not_called_for_errors() {
    let Some(node) = node() else { return };
    let answer = |_: &_, _| http::Response::builder().status(404).body(full("nothing")).unwrap();
    let front = Front::start(&node, "", distribution(), answer).await;
    let response = front.get("/").await;
    assert_eq!((response.status().as_u16(), body(&response)), (404, "nothing"));
    assert_eq!(header(&response, "x-cache"), "Error from cloudfront");
    assert_eq!(Trigger::ALL.map(|trigger| front.events(trigger).len()), [1, 1, 1, 0]);
}

#[tokio::test]
async fn what_cloudfront_does_not_take_reaches_no_function() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, "", distribution(), counted("x-origin", "yes")).await;
    let trace = Request::builder().method(Method::TRACE).uri("/").body(empty()).unwrap();
    assert_eq!(front.send(trace).await.status(), 403, "a method that CloudFront does not have");
    let get = Request::get("/").body(full("a body")).unwrap();
    assert_eq!(front.send(get).await.status(), 403, "a GET with a body");
    let long = format!("/{}", "a".repeat(8192));
    assert_eq!(front.get(&long).await.status(), 413, "a URL of 8193 bytes");
    assert_eq!(front.events(Trigger::ViewerRequest).len(), 0);
    assert_eq!(front.get(&long[..8192]).await.status(), 200, "the longest URL");
}

#[tokio::test]
async fn viewers_are_sent_to_https_before_any_function() {
    let Some(node) = node() else { return };
    let distribution = Distribution { https_only: true, ..distribution() };
    let front = Front::start(&node, "", distribution, counted("x-origin", "yes")).await;
    let response = front.get("/a?b=c").await;
    assert_eq!(response.status(), 301);
    assert_eq!(header(&response, "location"), "https://shop.example/a?b=c");
    assert_eq!(front.send(Request::post("/a").body(full("x")).unwrap()).await.status(), 307);
    assert_eq!(front.events(Trigger::ViewerRequest).len(), 0);
}
