mod headers;
mod laws;
mod limits;
mod values;

use super::*;
use crate::event::{CustomOrigin, Origin, Request, Response};

/// An event of a trigger, with headers in the message that the function returns.
fn event(trigger: Trigger, headers: Headers) -> Cf {
    let request = Request {
        client_ip: "203.0.113.178".into(),
        method: "GET".into(),
        uri: "/a".into(),
        querystring: "b=c".into(),
        origin: (!trigger.is_viewer()).then(|| Origin::Custom(origin())),
        ..Request::default()
    };
    if trigger.is_request() {
        return Cf { request: Request { headers, ..request }, ..Cf::default() };
    }
    let response = Response { status_description: Some("OK".into()), headers, ..Response::new(200) };
    Cf { request, response: Some(response), ..Cf::default() }
}

fn origin() -> CustomOrigin {
    CustomOrigin {
        custom_headers: Headers::from_iter([("X-Env", "staging")]),
        domain_name: "example.org".into(),
        keepalive_timeout: Some(5),
        port: Some(443),
        protocol: "https".into(),
        read_timeout: Some(30),
        ssl_protocols: vec!["TLSv1.2".into()],
        ..CustomOrigin::default()
    }
}

/// What a function returns that changes nothing.
fn unchanged(cf: &Cf) -> Outcome {
    match &cf.response {
        Some(response) => Outcome::Response(response.clone()),
        None => Outcome::Request(Box::new(cf.request.clone())),
    }
}

/// The same with other headers.
fn with_headers(cf: &Cf, headers: Headers) -> Outcome {
    let mut outcome = unchanged(cf);
    match &mut outcome {
        Outcome::Request(request) => request.headers = headers,
        Outcome::Response(response) => response.headers = headers,
    }
    outcome
}

/// The result of a function that changes the request.
fn request_with(cf: &Cf, change: impl FnOnce(&mut Request)) -> Outcome {
    let mut request = cf.request.clone();
    change(&mut request);
    Outcome::Request(Box::new(request))
}

/// The rules that a result breaks.
fn broken(cf: &Cf, trigger: Trigger, outcome: &Outcome) -> Vec<Rule> {
    check(cf, trigger, outcome).into_iter().map(|violation| violation.rule).collect()
}
