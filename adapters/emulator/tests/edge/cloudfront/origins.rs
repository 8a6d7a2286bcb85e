//! Origins that fail, and the other one of the group.

use http::{Request, Response};
use selvedge_cloudfront::event::{Origin, Trigger};
use selvedge_cloudfront::policy::behaviours::{Behaviour, Origins};
use selvedge_cloudfront::policy::distribution::{Distribution, FAILOVER_HEADER};

use super::support::{Front, body, distribution, header, node};
use crate::support::full;

/// Sends the primary's requests to the recorder with `/primary` before the path, and the secondary's with `/secondary`.
const GROUP: &str = r#""origin-request": ({ request }) => {
    const isSecond = "selvedge-origin" in request.origin.custom.customHeaders;
    request.origin.custom.path = isSecond ? "/secondary" : "/primary";
    return to(request, ORIGIN_PORT);
}"#;

/// A distribution whose group has every path but those below `/post`.
fn group() -> Distribution {
    let behaviour = |pattern: &str, origins: Origins| Behaviour { pattern: pattern.to_owned(), origins };
    let behaviours = vec![behaviour("/post/*", Origins::Primary), behaviour("/*", Origins::Group)];
    Distribution { behaviours, ..distribution() }
}

/// What the path's first segment asks for at the primary; the secondary is well.
fn fail_at_primary(request: &Request<bytes::Bytes>, _: usize) -> Response<crate::support::AnyBody> {
    let path = request.uri().path();
    let at_primary = path.strip_prefix("/primary/").map(|path| path.trim_start_matches("post/"));
    let status = at_primary.map_or(200, |status| status.parse().unwrap());
    Response::builder().status(status).body(full(path.to_owned())).unwrap()
}

#[tokio::test]
async fn the_other_origin_is_asked_when_the_first_fails() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, GROUP, group(), fail_at_primary).await;
    for status in [502, 503, 504] {
        let response = front.get(&format!("/{status}")).await;
        assert_eq!((response.status().as_u16(), body(&response)), (200, &*format!("/secondary/{status}")));
    }
    let asked = front.events(Trigger::OriginRequest).into_iter().filter_map(|cf| cf.request.origin);
    let (name, value) = FAILOVER_HEADER;
    let asked: Vec<_> = asked.map(|origin| origin.custom_headers().first(name) == Some(value)).collect();
    assert_eq!(asked, [false, true].repeat(3), "each time the first one, then the second one");
    let shown = front.events(Trigger::OriginResponse);
    assert_eq!(shown.len(), 3, "the response that was given up is not shown");
    for cf in shown {
        let Some(Origin::Custom(origin)) = cf.request.origin else { panic!("no origin") };
        assert_eq!(origin.path, "/secondary", "the request that was answered");
    }
}

#[tokio::test]
async fn other_answers_do_not_fail_over() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, GROUP, group(), fail_at_primary).await;
    for status in [404, 500, 501] {
        assert_eq!(front.get(&format!("/{status}")).await.status(), status);
    }
    let head = Request::head("/503").body(crate::support::empty()).unwrap();
    assert_eq!(front.send(head).await.status(), 200);
    let options = Request::options("/503").body(crate::support::empty()).unwrap();
    assert_eq!(front.send(options).await.status(), 200);
}

#[tokio::test]
async fn the_first_behaviour_of_the_path_as_it_came_decides() {
    let Some(node) = node() else { return };
    // What viewer-request makes of the path comes too late.
    let moves = r#""viewer-request": ({ request }) => {
        const moved = { "/503": "/post/503", "/post/504": "/504" };
        request.uri = moved[request.uri] ?? request.uri;
        return request;
    },"#;
    let front = Front::start(&node, &format!("{moves}{GROUP}"), group(), fail_at_primary).await;
    for (target, status) in [
        ("/502", 200),
        ("/post/502", 502),
        ("/503", 200),
        ("/post/504", 504),
        ("/post//502", 502),
        ("//502", 200),
    ] {
        assert_eq!(front.get(target).await.status(), status, "{target}");
    }
}

#[tokio::test]
async fn a_path_of_the_group_takes_no_other_method() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, GROUP, group(), fail_at_primary).await;
    let send = async |method: &str, target: &str| {
        front.send(Request::builder().method(method).uri(target).body(full("x")).unwrap()).await
    };
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let refused = send(method, "/200").await;
        assert_eq!((refused.status().as_u16(), header(&refused, "server")), (403, "CloudFront"), "{method}");
        assert_eq!(send(method, "/post/503").await.status(), 503, "{method} is taken and does not fail over");
    }
    assert_eq!(front.events(Trigger::ViewerRequest).len(), 4, "no function sees what is refused");
    assert_eq!(front.origin.requests().len(), 4);
}

#[tokio::test]
async fn without_a_group_the_origins_answer_is_the_answer() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, GROUP, distribution(), fail_at_primary).await;
    assert_eq!(front.get("/503").await.status(), 503);
    assert_eq!(front.events(Trigger::OriginRequest).len(), 1);
}

/// Port 1 of this machine refuses connections.
const REFUSED: &str = r#""origin-request": ({ request }) => {
    const isSecond = "selvedge-origin" in request.origin.custom.customHeaders;
    return to(request, isSecond ? ORIGIN_PORT : CLOSED_PORT);
}"#;

#[tokio::test]
async fn an_origin_that_cannot_be_reached_is_an_error_without_origin_response() {
    let Some(node) = node() else { return };
    let functions = REFUSED.replace("CLOSED_PORT", &closed_port().to_string());
    let front = Front::start(&node, &functions, distribution(), fail_at_primary).await;
    let response = front.get("/").await;
    assert_eq!((response.status().as_u16(), header(&response, "x-cache")), (502, "Error from cloudfront"));
    assert!(body(&response).contains("http://localhost:"), "{}", body(&response));
    assert_eq!(Trigger::ALL.map(|trigger| front.events(trigger).len()), [1, 1, 0, 0]);
}

#[tokio::test]
async fn a_group_survives_an_origin_that_cannot_be_reached() {
    let Some(node) = node() else { return };
    let functions = REFUSED.replace("CLOSED_PORT", &closed_port().to_string());
    let front = Front::start(&node, &functions, group(), fail_at_primary).await;
    let response = front.get("/").await;
    assert_eq!((response.status().as_u16(), body(&response)), (200, "/"));
}

#[tokio::test]
async fn an_origin_that_does_not_answer_in_time_is_given_up() {
    let Some(node) = node() else { return };
    let silent = crate::support::Origin::start().await;
    let functions = format!(
        r#""origin-request": ({{ request }}) => {{
            request.origin.custom.readTimeout = 1;
            return to(request, {});
        }}"#,
        silent.address.port()
    );
    let front = Front::start(&node, &functions, distribution(), fail_at_primary).await;
    let response = front.get("/never").await;
    assert_eq!((response.status().as_u16(), header(&response, "x-cache")), (504, "Error from cloudfront"));
    assert_eq!(Trigger::ALL.map(|trigger| front.events(trigger).len()), [1, 1, 0, 0]);
}

/// A port of this machine on which nobody listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
