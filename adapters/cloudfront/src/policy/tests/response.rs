//! What the response triggers make of a response.

use super::*;

/// The way of a request up to the response in CloudFront's cache.
fn stored(edge: &Arc<Edge>, request: Request, response: Response) -> (Request, Response) {
    let entered = enter(edge, request);
    let sent = depart(edge, entered.clone(), "DE");
    let arrived = arrive(edge, sent, response);
    (entered, arrived)
}

/// The same request of somebody else.
fn enter_as(edge: &Arc<Edge>, request: Request, seed: Seed) -> Request {
    match edge.begin(cf(Trigger::ViewerRequest, request, None), seed, None, NOW) {
        Begun::Done(finished) => forwarded(finished.outcome),
        Begun::Runs(_) => panic!("viewer-request is done at once"),
    }
}

#[test]
fn cloudfront_is_told_the_edges_lifetime_and_the_viewer_its_own() {
    let edge = edge(SHOP);
    let request = get("/items/1", &[("Cookie", "hero=one")]);
    let fields = [("Content-Type", "text/html"), ("X-MiXeD", "1"), ("X-MiXeD", "2"), ("Surrogate-Key", "a")];
    let (entered, arrived) = stored(&edge, request, respond(200, &fields));
    let control = all(&arrived.headers, "cache-control").concat();
    assert!(control.starts_with("max-age=60"), "{control}");
    assert_eq!(arrived.body, None, "it stays with CloudFront");
    let left = leave(&edge, entered, arrived);
    assert_eq!(all(&left.headers, "cache-control"), ["public, max-age=10"]);
    assert_eq!(all(&left.headers, "x-served-by"), ["selvedge"]);
    assert!(all(&left.headers, "cache-status").concat().contains("fwd=uri-miss"), "{left:?}");
    let mixed: Vec<_> = left.headers.fields("x-mixed").iter().map(|field| field.key.as_deref()).collect();
    assert_eq!(mixed, [Some("X-MiXeD"); 2]);
    for internal in ["selvedge-state", "selvedge-key", "surrogate-key"] {
        assert!(!left.headers.contains(internal), "{internal} ends here");
    }
}

#[test]
fn only_the_first_visitor_gets_a_responses_cookies() {
    let edge = edge(SHOP);
    let cookies = [("Set-Cookie", "basket=1"), ("Set-Cookie", "seen=2")];
    let (entered, arrived) =
        stored(&edge, get("/items/1", &[("Cookie", "hero=one")]), respond(200, &cookies));
    assert!(!arrived.headers.contains("set-cookie"), "no cache keeps them: {arrived:?}");
    let first = leave(&edge, entered, arrived.clone());
    assert_eq!(all(&first.headers, "set-cookie"), ["basket=1", "seen=2"]);
    let other = enter_as(&edge, get("/items/1", &[("Cookie", "hero=one")]), [9; 16]);
    let second = leave(&edge, other, arrived);
    assert_eq!(all(&second.headers, "set-cookie"), [""; 0]);
    assert!(all(&second.headers, "cache-status").concat().contains("hit"), "{second:?}");
}

#[test]
fn a_new_visitor_is_remembered_whoever_brought_the_response() {
    let edge = edge(SHOP);
    let (entered, arrived) = stored(&edge, get("/items/1", &[]), respond(200, &[]));
    assert!(!arrived.headers.contains("set-cookie"), "{arrived:?}");
    let other = enter_as(&edge, get("/items/1", &[]), [9; 16]);
    for entered in [entered, other] {
        let left = leave(&edge, entered, arrived.clone());
        let cookies = all(&left.headers, "set-cookie").join("\n");
        assert!(cookies.contains("hero="), "{cookies}");
        assert!(
            all(&left.headers, "cache-control").concat().contains("private"),
            "the cookie is one visitor's"
        );
    }
}

#[test]
fn an_error_is_final_at_origin_response() {
    let edge = edge(SHOP);
    for (target, may_store) in [("/items/1", true), ("/api", false)] {
        let fields = [("Content-Type", "text/plain"), ("Server", "x"), ("Cache-Control", "max-age=5")];
        let (_, arrived) = stored(&edge, get(target, &[("Cookie", "hero=one")]), respond(404, &fields));
        assert_eq!((arrived.status.as_str(), &arrived.body), ("404", &None), "the backend's page stays");
        assert_eq!(all(&arrived.headers, "x-served-by"), ["selvedge"], "no trigger follows");
        assert!(!arrived.headers.contains("selvedge-state"), "nobody would take it away");
        let control = all(&arrived.headers, "cache-control").join(", ");
        assert_eq!(control.contains("s-maxage=5"), may_store, "{target}: {control}");
    }
}

#[test]
fn what_fails_where_nobody_fails_over_is_answered_by_the_page_at_once() {
    let edge = edge(SHOP);
    // The path decides: it takes every method.
    for (method, status) in [("POST", 502), ("POST", 503), ("POST", 504), ("GET", 503), ("OPTIONS", 504)] {
        let (_, arrived) =
            stored(&edge, request(method, "/api", &[]), respond(status, &[("X-Backend", "1")]));
        let told = (arrived.status.as_str(), arrived.body.as_deref());
        assert_eq!(told, ("503", Some("sorry")), "{method} {status}");
        assert!(!arrived.headers.contains("x-backend"), "{method} {status}");
    }
}

#[test]
fn what_fails_where_cloudfront_fails_over_is_left_to_the_second_origin() {
    let edge = edge(SHOP);
    for (method, target) in [("GET", "/news/1"), ("HEAD", "/news/1?q=2"), ("OPTIONS", "/%6eews/1")] {
        let failure = respond(503, &[("X-Backend", "1")]);
        let (_, arrived) = stored(&edge, request(method, target, &[]), failure.clone());
        assert_eq!(arrived, failure, "{method} {target}: CloudFront looks at the status");
    }
}

#[test]
fn a_backend_that_says_it_is_the_edge_is_not_believed() {
    let edge = edge(SHOP);
    let (entered, honest) = stored(&edge, get("/items/1", &[("Cookie", "hero=one")]), respond(200, &[]));
    let seal = all(&honest.headers, "selvedge-state").concat();
    // A backend could know a mark from a response that went through it.
    for state in ["x", seal.as_str()] {
        let fields = [("selvedge-state", state), ("selvedge-state", "y")];
        let (_, arrived) = stored(&edge, get("/items/1", &[("Cookie", "hero=one")]), respond(200, &fields));
        let [own] = all(&arrived.headers, "selvedge-state")[..] else {
            panic!("the edge's own: {arrived:?}")
        };
        assert!(own != "x" && own != "y");
        let failure = respond(404, &fields);
        let (_, arrived) = stored(&edge, get("/items/1", &[("Cookie", "hero=one")]), failure);
        assert!(!arrived.headers.contains("selvedge-state"), "{arrived:?}");
        let failure = respond(503, &fields);
        let (_, arrived) = stored(&edge, get("/items/1", &[("Cookie", "hero=one")]), failure);
        assert!(!arrived.headers.contains("selvedge-state"), "{arrived:?}");
    }
    assert!(!leave(&edge, entered, honest).headers.contains("selvedge-state"));
}

#[test]
fn a_generated_response_is_finished_at_viewer_response() {
    let edge = edge(SHOP);
    let entered = enter(&edge, get("/here", &[]));
    let answer = answered(outcome(&edge, behind(entered.clone(), &[("CloudFront-Viewer-Country", "DE")])));
    let left = leave(&edge, entered, Response { body: None, body_encoding: None, ..answer });
    assert_eq!((all(&left.headers, "x-served-by"), &left.body), (vec!["selvedge"], &None));
    assert_eq!(all(&left.headers, "cache-status"), ["Selvedge;detail=route.responded"]);
    assert!(!left.headers.contains("selvedge-state"));
}

#[test]
fn what_is_not_modified_stays_so() {
    let edge = edge(SHOP);
    let request = get("/items/1", &[("Cookie", "hero=one"), ("If-None-Match", "\"a\"")]);
    let (entered, arrived) = stored(&edge, request, respond(304, &[("ETag", "\"a\"")]));
    assert_eq!((arrived.status.as_str(), &arrived.body), ("304", &None));
    assert!(all(&arrived.headers, "cache-control").concat().starts_with("max-age=60"), "{arrived:?}");
    assert_eq!(leave(&edge, entered, arrived).status, "304");
}

#[test]
fn an_event_without_a_response_is_answered_all_the_same() {
    let edge = edge(SHOP);
    for trigger in [Trigger::OriginResponse, Trigger::ViewerResponse] {
        let event = cf(trigger, get("/items/1", &[]), None);
        let finished = run(&edge, event.clone(), &mut Host::down());
        assert_eq!(rules::check(&event, trigger, &finished.outcome), [], "{trigger}");
        assert_eq!(answered(finished.outcome).status, "503", "{trigger}");
    }
}
