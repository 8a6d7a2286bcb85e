//! Requests and responses, from CloudFront's form to the core's and back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::headers::imitation;

use crate::event::{self, CustomOrigin, Encoding, Headers, Origin, Request, Trigger};
use crate::rules;

use super::distribution::STATE_HEADER;

/// A body that stays with CloudFront.
pub(super) const CLOUDFRONTS_BODY: BodyHandle = BodyHandle(0);

/// Seconds that CloudFront waits for an origin, by the quota that every account has
/// (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html>).
const MAX_READ_TIMEOUT: u64 = 60;

/// CloudFront's default.
const KEEPALIVE_TIMEOUT: u32 = 5;

/// The request as the core sees it; what stays with CloudFront or is beyond the event's body is a handle.
pub(super) fn request(request: &Request) -> http::Request<Body> {
    let headers = request.headers.to_http();
    let body = body(request, &headers);
    let mut built = http::Request::new(body);
    *built.method_mut() = Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::GET);
    *built.uri_mut() = target(&request.uri, &request.querystring);
    *built.headers_mut() = headers;
    built
}

fn body(request: &Request, headers: &HeaderMap) -> Body {
    let Some(body) = &request.body else { return announced_body(headers) };
    let whole = if body.input_truncated { None } else { body.decode().ok() };
    whole.map_or(Body::Host(CLOUDFRONTS_BODY), |bytes| Body::from(bytes::Bytes::from(bytes)))
}

/// A body that a request's head announces and that stays with CloudFront.
pub(super) fn announced_body(headers: &HeaderMap) -> Body {
    let length = headers.get(header::CONTENT_LENGTH);
    let has_length = length.is_some_and(|length| length.as_bytes().trim_ascii() != b"0");
    let has_body = has_length || headers.contains_key(header::TRANSFER_ENCODING);
    if has_body { Body::Host(CLOUDFRONTS_BODY) } else { Body::Empty }
}

/// A path and query that is none becomes what the core refuses: an authority alone.
fn target(uri: &str, querystring: &str) -> Uri {
    let text = if querystring.is_empty() { uri.to_owned() } else { format!("{uri}?{querystring}") };
    path(text)
}

/// The same for a path and query in one text.
pub(super) fn path(text: String) -> Uri {
    let is_path = text.starts_with('/');
    text.parse().ok().filter(|_| is_path).unwrap_or(Uri::from_static("not-a-path.invalid:443"))
}

/// What the client's own request is let through with: nothing that imitates CloudFront, or this edge.
pub(super) fn clean(headers: &mut Headers) {
    headers.retain(|name, _| !imitation::is_imitation(name));
}

/// Turns the viewer's request into the one that a backend is sent; headers of CloudFront's go along where `tells` says so.
///
/// DIFFERENCE: CloudFront lets no function change `Via`, `Accept-Encoding` and the fields of conditions, nor set `X-Forwarded-Proto`. A
/// backend is told the scheme by `CloudFront-Forwarded-Proto`.
pub(super) fn send(
    request: &mut Request,
    sent: &http::Request<Body>,
    timeout: std::time::Duration,
    tells: impl Fn(&str) -> bool,
) {
    let uri = sent.uri();
    uri.path().clone_into(&mut request.uri);
    request.querystring = uri.query().unwrap_or_default().to_owned();
    let before = std::mem::take(&mut request.headers);
    request.headers = with_keys(&before, sent.headers());
    request.headers.remove("x-forwarded-proto");
    let is_kept = |name: &&str| rules::read_only(Trigger::OriginRequest).contains(name) || tells(name);
    let kept: Vec<_> =
        before.names().filter(is_kept).map(|name| (name, before.fields(name).to_vec())).collect();
    for name in rules::read_only(Trigger::OriginRequest) {
        request.headers.remove(name);
    }
    for (name, fields) in kept {
        request.headers.set(name, fields);
    }
    request.origin = Some(Origin::Custom(origin(uri, timeout)));
}

fn origin(uri: &Uri, timeout: std::time::Duration) -> CustomOrigin {
    let protocol = uri.scheme_str().unwrap_or("https");
    let usual = if protocol == "http" { 80 } else { 443 };
    let seconds = timeout.as_millis().div_ceil(1000).clamp(1, u128::from(MAX_READ_TIMEOUT));
    CustomOrigin {
        domain_name: uri.host().unwrap_or_default().to_owned(),
        port: Some(uri.port_u16().unwrap_or(usual)),
        protocol: protocol.to_owned(),
        ssl_protocols: vec!["TLSv1.2".to_owned()],
        read_timeout: u32::try_from(seconds).ok(),
        keepalive_timeout: Some(KEEPALIVE_TIMEOUT),
        ..CustomOrigin::default()
    }
}

/// The request as a backend was sent it, with the URI that it was sent to.
pub(super) fn sent(request: &Request) -> http::Request<Body> {
    let mut sent = self::request(request);
    sent.headers_mut().remove(STATE_HEADER);
    if let Some(uri) = absolute(request, sent.uri()) {
        *sent.uri_mut() = uri;
    }
    sent
}

fn absolute(request: &Request, target: &Uri) -> Option<Uri> {
    let Some(Origin::Custom(origin)) = &request.origin else { return None };
    let usual = if origin.protocol == "http" { 80 } else { 443 };
    let port = origin.port.filter(|port| *port != usual).map_or_else(String::new, |port| format!(":{port}"));
    let path = target.path_and_query()?;
    format!("{}://{}{port}{}{path}", origin.protocol, origin.domain_name, origin.path).parse().ok()
}

/// The response of an event as the core sees it.
pub(super) fn response(response: &event::Response) -> Response<Body> {
    let mut built = Response::new(Body::Host(CLOUDFRONTS_BODY));
    *built.status_mut() =
        StatusCode::from_bytes(response.status.as_bytes()).unwrap_or(StatusCode::BAD_GATEWAY);
    *built.headers_mut() = response.headers.to_http();
    built
}

/// A response of the function's own.
pub(super) fn generated(response: Response<Body>) -> event::Response {
    let (parts, body) = response.into_parts();
    let mut made = event::Response::new(parts.status.as_u16());
    made.status_description = parts.status.canonical_reason().map(str::to_owned);
    made.headers = with_keys(&Headers::new(), &without_length(parts.headers));
    set_body(&mut made, &body);
    made
}

/// What becomes of CloudFront's response at a trigger; the body stays with CloudFront unless there is another one, and so do the headers
/// that no function may change there.
pub(super) fn changed(
    trigger: Trigger,
    before: event::Response,
    response: Response<Body>,
) -> event::Response {
    let (parts, body) = response.into_parts();
    let mut made = before;
    if made.status != parts.status.as_str() {
        parts.status.as_str().clone_into(&mut made.status);
        made.status_description = parts.status.canonical_reason().map(str::to_owned);
    }
    let own = std::mem::take(&mut made.headers);
    made.headers = with_keys(&own, &parts.headers);
    for name in rules::read_only(trigger) {
        made.headers.set(name, own.fields(name).to_vec());
    }
    match body {
        Body::Host(_) => {}
        Body::Empty => {
            made.body = Some(String::new());
            made.body_encoding = Some(Encoding::Text);
        }
        body @ Body::Bytes(_) => set_body(&mut made, &body),
    }
    made
}

fn set_body(response: &mut event::Response, body: &Body) {
    let Body::Bytes(bytes) = body else { return };
    let (text, encoding) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), Encoding::Text),
        Err(_) => (STANDARD.encode(bytes), Encoding::Base64),
    };
    response.body = Some(text);
    response.body_encoding = Some(encoding);
}

/// CloudFront measures by itself what a function gives it.
fn without_length(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    headers
}

/// Headers of the core with the names written as they were, where there were any.
fn with_keys(before: &Headers, headers: &HeaderMap) -> Headers {
    let mut made = Headers::from_http(headers);
    made.retain(|name, fields| {
        let key = before.fields(name).first().and_then(|field| field.key.clone());
        for field in fields.iter_mut() {
            field.key = Some(key.clone().unwrap_or_else(|| name.to_owned()));
        }
        true
    });
    made
}
