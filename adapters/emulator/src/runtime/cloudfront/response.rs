//! Responses as CloudFront hands them to functions and to clients.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use selvedge_cloudfront::event::{self, Headers};
use selvedge_core::body::Body;

use super::{EDGE, facts};

/// The distribution's point of presence.
const POP: HeaderValue = HeaderValue::from_static("LOCAL50-C1");

/// A response's head as an event has it.
pub(super) fn to_event(response: &Response<Body>) -> event::Response {
    let status = response.status();
    event::Response {
        status: status.as_str().to_owned(),
        status_description: status.canonical_reason().map(str::to_owned),
        headers: Headers::from_http(response.headers())
            .iter()
            .map(|(name, field)| (facts::key(name), field.value.clone()))
            .collect(),
        ..event::Response::default()
    }
}

/// A function's response; `body` is what it has unless the function gives another one.
///
/// # Errors
/// When it is none; the message says why.
pub(super) fn from_event(given: &event::Response, body: Body) -> Result<Response<Body>, String> {
    let bad = || format!("the status {:?} is none of 200 to 599", given.status);
    let status =
        given.status.parse::<u16>().ok().filter(|status| (200..600).contains(status)).ok_or_else(bad)?;
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| bad())?;
    *response.headers_mut() = given.headers.to_http();
    if let Some(body) = given.decode() {
        let body = body.map_err(|error| error.to_string())?;
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(Bytes::from(body));
    }
    Ok(response)
}

/// Adds what CloudFront says with every response.
pub(super) fn sign(headers: &mut HeaderMap, x_cache: &'static str, request_id: &str) {
    let via = format!("1.1 {EDGE}.cloudfront.net (CloudFront)");
    let via = match headers.get(header::VIA).and_then(|via| via.to_str().ok()) {
        Some(before) => format!("{before}, {via}"),
        None => via,
    };
    let mut set = |name: HeaderName, value: HeaderValue| drop(headers.insert(name, value));
    let text = |text: &str| HeaderValue::from_str(text).expect("made of what a header may have");
    set(header::VIA, text(&via));
    set(HeaderName::from_static("x-cache"), HeaderValue::from_static(x_cache));
    set(HeaderName::from_static("x-amz-cf-pop"), POP);
    set(HeaderName::from_static("x-amz-cf-id"), text(request_id));
}
