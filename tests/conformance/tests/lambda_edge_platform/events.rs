//! Events as CloudFront makes them.

use selvedge_cloudfront::event::{
    BodyAction, Cf, Config, CustomOrigin, Headers, Origin, Outcome, Request, RequestBody, Response, Trigger,
};
use selvedge_cloudfront::policy::distribution::FAILOVER_HEADER;

/// Of a browser: more than one cookie header has.
pub(super) fn get(target: &str, headers: &[(&str, &str)]) -> Request {
    request("GET", target, headers)
}

pub(super) fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request {
    let (uri, querystring) = target.split_once('?').unwrap_or((target, ""));
    let browser = [
        ("Host", "shop.example.com"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("Accept", "*/*"),
        ("Accept-Language", "en"),
    ];
    let mut fields: Headers = browser.into_iter().collect();
    fields.extend(headers.iter().copied());
    Request {
        client_ip: "203.0.113.7".to_owned(),
        method: method.to_owned(),
        uri: uri.to_owned(),
        querystring: querystring.to_owned(),
        headers: fields,
        ..Request::default()
    }
}

/// A body as CloudFront shows one.
pub(super) fn body(bytes: &[u8]) -> Option<RequestBody> {
    Some(RequestBody { action: BodyAction::ReadOnly, ..RequestBody::replace(bytes) })
}

pub(super) fn at(trigger: Trigger, request: Request, response: Option<Response>) -> Cf {
    let config = Config {
        distribution_domain_name: "d111111abcdef8.cloudfront.net".to_owned(),
        distribution_id: "EDFDVBD6EXAMPLE".to_owned(),
        event_type: Some(trigger),
        ..Config::default()
    };
    Cf { config, request, response, ..Cf::default() }
}

/// A request at origin-request, about to go to the first origin of the group or to the second one.
pub(super) fn behind(mut request: Request, is_second: bool) -> Cf {
    request.headers.append("CloudFront-Viewer-Country", "DE");
    let mut origin = CustomOrigin {
        domain_name: "localhost".to_owned(),
        port: Some(8080),
        protocol: "http".to_owned(),
        read_timeout: Some(30),
        keepalive_timeout: Some(5),
        ..CustomOrigin::default()
    };
    if is_second {
        origin.custom_headers.insert(FAILOVER_HEADER.0, FAILOVER_HEADER.1);
    }
    request.origin = Some(Origin::Custom(origin));
    at(Trigger::OriginRequest, request, None)
}

pub(super) fn forwarded(outcome: Outcome) -> Request {
    match outcome {
        Outcome::Request(request) => *request,
        Outcome::Response(response) => panic!("it is answered: {response:?}"),
    }
}

pub(super) fn answered(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Response(response) => response,
        Outcome::Request(request) => panic!("it goes on: {request:?}"),
    }
}

/// Status and body of an answer.
pub(super) fn shown(outcome: Outcome) -> (String, String) {
    let response = answered(outcome);
    (response.status, response.body.unwrap_or_default())
}
