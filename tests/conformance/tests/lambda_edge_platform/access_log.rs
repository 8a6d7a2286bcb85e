//! The access log on Lambda@Edge: one line for each request, in the event that is the function's last of it.

use selvedge_cloudfront::event::{Cf, Response, Trigger};
use serde_json::{Value, json};

use super::events::{answered, at, behind, forwarded, get};
use super::functions::Functions;

/// What a client says and nobody else may know.
const CLIENTS: [(&str, &str); 2] =
    [("Authorization", "Bearer topsecret"), ("Cookie", "session=topsecret; hero=odd")];

fn logging(share: f64) -> Functions {
    Functions::start_with(|settings| settings["accessLog"] = share.into())
}

fn named(mut cf: Cf, id: &str) -> Cf {
    cf.config.request_id = id.to_owned();
    cf
}

/// Sends a page's request through all triggers.
fn page(functions: &Functions) {
    let entered = forwarded(functions.call(at(
        Trigger::ViewerRequest,
        get("/items/1?token=topsecret", &CLIENTS),
        None,
    )));
    let sent = forwarded(functions.call(behind(entered.clone(), false)));
    let arrived = answered(functions.call(at(Trigger::OriginResponse, sent, Some(Response::new(200)))));
    functions.call(named(at(Trigger::ViewerResponse, entered, Some(arrived)), "page=="));
}

/// The lines about requests.
fn lines(functions: &Functions) -> Vec<Value> {
    let log = functions.log();
    assert!(!log.contains("topsecret") && !log.contains("203.0.113.7"), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["selvedge"] == "access").collect()
}

#[test]
fn each_request_has_one_line_wherever_it_ends() {
    let functions = logging(1.0);
    for id in ["first", "second"] {
        functions.call(named(at(Trigger::ViewerRequest, get("/hello", &CLIENTS), None), id));
    }
    page(&functions);
    let entered = forwarded(functions.call(at(Trigger::ViewerRequest, get("/panic", &CLIENTS), None)));
    functions.call(named(behind(entered, false), "panic"));
    let entered = forwarded(functions.call(at(Trigger::ViewerRequest, get("/items/2", &CLIENTS), None)));
    let sent = forwarded(functions.call(behind(entered, false)));
    functions.call(named(at(Trigger::OriginResponse, sent, Some(Response::new(404))), "missing"));
    let lines = lines(&functions);
    let found: Vec<_> = lines
        .iter()
        .map(|line| ["request_id", "trigger", "status", "outcome", "route"].map(|name| line[name].clone()))
        .collect();
    let expected = [
        [json!("first"), json!("viewer-request"), json!(200), json!("route.responded"), json!("/hello")],
        [json!("second"), json!("viewer-request"), json!(200), json!("route.responded"), json!("/hello")],
        [
            json!("page=="),
            json!("viewer-response"),
            json!(200),
            json!("backend.responded"),
            json!("/items/{id}"),
        ],
        [json!("panic"), json!("origin-request"), json!(503), json!("fallback.page"), json!("/panic")],
        [
            json!("missing"),
            json!("origin-response"),
            json!(404),
            json!("backend.responded"),
            json!("/items/{id}"),
        ],
    ];
    assert_eq!(found, expected, "{lines:#?}");
    let page = &lines[2];
    assert_eq!(
        (&page["path"], page.get("query"), &page["method"]),
        (&json!("/items/1"), None, &json!("GET"))
    );
    assert_eq!(
        (&page["host"], &page["variations"]),
        (&json!("shop.example.com"), &json!({ "hero": "odd" })),
        "{page}"
    );
    assert!(page["user_agent"].as_str().unwrap().contains("Firefox"), "{page}");
    assert!(page["time"].as_str().unwrap().ends_with('Z') && page["head_ms"].is_number(), "{page}");
}

#[test]
fn a_sample_has_every_failure_and_without_a_share_there_is_no_line() {
    let functions = logging(0.0);
    page(&functions);
    let entered = forwarded(functions.call(at(Trigger::ViewerRequest, get("/fail", &CLIENTS), None)));
    functions.call(behind(entered, false));
    let failures = lines(&functions);
    assert_eq!((failures.len(), &failures[0]["status"]), (1, &json!(503)), "{failures:#?}");
    let silent = Functions::start();
    page(&silent);
    assert_eq!(lines(&silent), Vec::<Value>::new());
}
