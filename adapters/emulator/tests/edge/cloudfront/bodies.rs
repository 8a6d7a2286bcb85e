//! Bodies that functions see, replace, or never see.

use http::{Request, Response};
use selvedge_cloudfront::event::{BodyAction, Trigger};
use selvedge_cloudfront::policy::distribution::{Attached, Distribution};

use super::support::{Front, body, distribution, node};
use crate::support::full;

const KB: usize = 1024;

fn including() -> Distribution {
    let triggers = Trigger::ALL.map(|trigger| Attached { trigger, include_body: trigger.is_request() });
    Distribution { triggers: triggers.to_vec(), ..distribution() }
}

/// Tells how long the body is and how it begins.
fn measure(request: &Request<bytes::Bytes>, _: usize) -> Response<crate::support::AnyBody> {
    let body = request.body();
    let beginning = String::from_utf8_lossy(&body[..body.len().min(5)]).into_owned();
    Response::new(full(format!("{} bytes: {beginning}", body.len())))
}

#[tokio::test]
async fn a_body_is_cut_off_for_functions_and_whole_for_the_origin() {
    let Some(node) = node() else { return };
    struct Row {
        bytes: usize,
        at_viewer: (usize, bool),
        at_origin: (usize, bool),
    }
    let rows = [
        Row { bytes: 0, at_viewer: (0, false), at_origin: (0, false) },
        Row { bytes: 40 * KB, at_viewer: (40 * KB, false), at_origin: (40 * KB, false) },
        Row { bytes: 40 * KB + 1, at_viewer: (40 * KB, true), at_origin: (40 * KB + 1, false) },
        Row { bytes: KB * KB, at_viewer: (40 * KB, true), at_origin: (KB * KB, false) },
        Row { bytes: KB * KB + 1, at_viewer: (40 * KB, true), at_origin: (KB * KB, true) },
    ];
    let front = Front::start(&node, "", including(), measure).await;
    for (at, row) in rows.iter().enumerate() {
        let sent: Vec<u8> = b"abcde".iter().copied().cycle().take(row.bytes).collect();
        let response = front.send(Request::post("/").body(full(sent.clone())).unwrap()).await;
        let beginning = String::from_utf8_lossy(&sent[..sent.len().min(5)]).into_owned();
        assert_eq!(body(&response), format!("{} bytes: {beginning}", row.bytes));
        for (trigger, expected) in
            [(Trigger::ViewerRequest, row.at_viewer), (Trigger::OriginRequest, row.at_origin)]
        {
            let included = front.events(trigger)[at].request.body.clone().unwrap();
            let bytes = included.decode().unwrap();
            let case = format!("{} bytes at {trigger}", row.bytes);
            assert_eq!((bytes.len(), included.input_truncated), expected, "{case}");
            assert!(sent.starts_with(&bytes), "{case}");
            assert_eq!(included.action, BodyAction::ReadOnly, "{case}");
        }
    }
}

#[tokio::test]
async fn a_function_replaces_a_body_only_when_it_says_so() {
    let Some(node) = node() else { return };
    let function = r#""viewer-request": ({ request }) => {
        request.body.data = "new";
        request.body.encoding = "text";
        request.body.action = request.uri === "/replace" ? "replace" : "read-only";
        return request;
    }"#;
    let front = Front::start(&node, function, including(), measure).await;
    let post = |path: &str| Request::post(path).body(full("the old body")).unwrap();
    assert_eq!(body(&front.send(post("/read")).await), "12 bytes: the o");
    assert_eq!(body(&front.send(post("/replace")).await), "3 bytes: new");
    let seen = front.events(Trigger::OriginRequest).remove(1).request.body.unwrap();
    assert_eq!(seen.decode().unwrap(), b"new", "origin-request sees the new body");
}

#[tokio::test]
async fn origin_response_replaces_a_body_that_it_does_not_see() {
    let Some(node) = node() else { return };
    let function = r#""origin-response": ({ response }) => ({
        ...response, status: "200", body: "a page", bodyEncoding: "text",
    })"#;
    let answer = |_: &_, _| Response::builder().status(500).body(full("a trace of the stack")).unwrap();
    let front = Front::start(&node, function, distribution(), answer).await;
    let response = front.get("/").await;
    assert_eq!((response.status().as_u16(), body(&response)), (200, "a page"));
    assert_eq!(front.events(Trigger::OriginResponse)[0].response.clone().unwrap().body, None);
}
