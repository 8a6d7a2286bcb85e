//! Requests as CloudFront hands them to functions and to origins.
//!
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/RequestAndResponseBehaviorCustomOrigin.html>

use std::time::Duration;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use selvedge_cloudfront::event::{CustomOrigin, Headers, Origin, Request};
use selvedge_cloudfront::policy::behaviours::Origins;
use selvedge_cloudfront::policy::distribution::{Distribution, FAILOVER_HEADER};
use selvedge_core::body::Body;
use selvedge_core::effect::Fetch;
use selvedge_core::facts::Facts;
use selvedge_core::headers::hop_by_hop::{self, Upgrade};

use super::EDGE;
use super::facts;
use super::failure::Failure;

/// Most bytes of a URL and of a request without its body:
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-general>
const MAX_URL_BYTES: usize = 8192;
const MAX_REQUEST_BYTES: usize = 32_768;

/// The origins' domain, until a function names another one.
///
/// DIFFERENCE: CloudFront resolves it before it calls the function at origin-request, and answers 502 when it cannot; here it is never asked.
const ORIGIN_DOMAIN: &str = "origin.selvedge.invalid";
/// Seconds that CloudFront waits for an origin unless it is told otherwise.
const READ_TIMEOUT: u32 = 30;
/// Seconds that CloudFront keeps an idle connection unless it is told otherwise.
const KEEPALIVE_TIMEOUT: u32 = 5;

/// Beginnings of names that CloudFront takes from nobody.
const OWN_PREFIXES: [&str; 2] = ["x-edge-", "x-amz-cf-"];
/// Names that CloudFront removes beside those of single connections.
const REMOVED: [&str; 4] = ["expect", "proxy-authenticate", "x-forwarded-proto", "x-real-ip"];

/// A request on its way through CloudFront.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    /// The head, as events have it.
    pub(super) head: Request,
    pub(super) body: Body,
}

/// What is known of a request before any function, and holds whatever functions make of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub(super) version: Version,
    pub(super) is_web_socket: bool,
    /// Where it goes, by its path as it came.
    pub(super) origins: Origins,
}

/// Takes a client's request.
pub(super) fn take(
    request: http::Request<Body>,
    distribution: &Distribution,
    facts: &Facts,
) -> Result<(Carried, Wire), Failure> {
    let (mut parts, body) = request.into_parts();
    let origins = distribution.origins_of(parts.uri.path());
    refuse(&parts, &body, origins)?;
    if let Some(authority) = parts.uri.authority().map(Authority::as_str) {
        let host = HeaderValue::from_str(authority);
        parts
            .headers
            .insert(header::HOST, host.expect("an authority has no byte that a header must not have"));
    }
    let upgrade = hop_by_hop::upgrade_requested(&parts.headers);
    hop_by_hop::strip_request(&mut parts.headers);
    join_cookies(&mut parts.headers);
    let mut headers: Headers = Headers::from_http(&parts.headers).iter().map(spell).collect();
    headers
        .retain(|name, _| !REMOVED.contains(&name) && !OWN_PREFIXES.iter().any(|own| name.starts_with(own)));
    let head = Request {
        client_ip: facts.client_ip.map(|address| address.to_string()).unwrap_or_default(),
        method: parts.method.as_str().to_owned(),
        uri: parts.uri.path().to_owned(),
        querystring: parts.uri.query().unwrap_or_default().to_owned(),
        headers,
        ..Request::default()
    };
    let is_web_socket = upgrade == Some(Upgrade::WebSocket);
    let wire = Wire { version: parts.version, is_web_socket, origins };
    Ok((Carried { head, body }, wire))
}

fn refuse(parts: &Parts, body: &Body, origins: Origins) -> Result<(), Failure> {
    if !origins.methods().contains(&parts.method.as_str()) {
        let text = "This distribution is not configured to allow the HTTP request method.\n";
        return Err(Failure::refused(StatusCode::FORBIDDEN, text));
    }
    if parts.method == Method::GET && !body.is_empty() {
        return Err(Failure::refused(StatusCode::FORBIDDEN, "A GET request must not have a body.\n"));
    }
    let url = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let headers: usize =
        parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if url > MAX_URL_BYTES || url + headers > MAX_REQUEST_BYTES {
        let text = format!(
            "The URL has {url} bytes of {MAX_URL_BYTES}, the whole request {} of {MAX_REQUEST_BYTES}.\n",
            url + headers
        );
        return Err(Failure::refused(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(())
}

/// HTTP/2 splits cookies, [RFC 9113 section 8.2.3](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3), and others do not.
fn join_cookies(headers: &mut HeaderMap) {
    let values: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if values.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&values.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// The name as clients commonly write it: the server library gives it in lower case.
fn spell((name, field): (&str, &selvedge_cloudfront::event::Field)) -> (String, String) {
    (facts::key(name), field.value.clone())
}

impl Carried {
    /// Adds what CloudFront adds to a request before it shows it to a function at origin-request.
    pub(super) fn approach_origin(&mut self, distribution: &Distribution, facts: &Facts, wire: Wire) {
        let headers = &mut self.head.headers;
        let made = distribution.cache_key_headers.iter().chain(&distribution.origin_request_headers);
        for name in made.filter(|name| facts::is_made(name)) {
            match facts::value(name, facts) {
                Some(value) => drop(headers.insert(facts::key(name), value)),
                None => drop(headers.remove(name)),
            }
        }
        append_to_list(headers, "X-Forwarded-For", &self.head.client_ip);
        append_to_list(
            headers,
            "Via",
            &format!("{} {EDGE}.cloudfront.net (CloudFront)", number(wire.version)),
        );
        match accept_encoding(headers) {
            Some(value) => drop(headers.insert("Accept-Encoding", value)),
            None => drop(headers.remove("accept-encoding")),
        }
    }

    /// Makes the request to the origin that the head names.
    pub(super) fn into_fetch(self, wire: Wire, request_id: &str) -> Result<Fetch, String> {
        let Self { mut head, body } = self;
        let Some(Origin::Custom(origin)) = head.origin.take() else {
            return Err(
                "the request names no origin, or one in S3, which the local edge does not have".to_owned()
            );
        };
        for name in origin.custom_headers.names() {
            head.headers.set(name, origin.custom_headers.fields(name).to_vec());
        }
        let url = url(&origin, &head)?;
        let mut headers = head.headers.to_http();
        headers.entry(header::HOST).or_insert(host(&origin)?);
        headers.insert("x-amz-cf-id", request_id.parse().expect("an ID has letters and digits"));
        if wire.is_web_socket {
            hop_by_hop::request_web_socket(&mut headers);
        }
        let mut request = http::Request::new(body);
        *request.method_mut() = head.method.parse().map_err(|_| format!("{:?} is no method", head.method))?;
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        let timeout = Duration::from_secs(origin.read_timeout.unwrap_or(READ_TIMEOUT).into());
        Ok(Fetch {
            backend: "origin".into(),
            request,
            timeout,
            connect_timeout: timeout,
            watch: None,
            max_body_bytes: u64::MAX,
        })
    }
}

/// The origin of the distribution, the first one where there is a group.
pub(super) fn primary() -> CustomOrigin {
    CustomOrigin {
        domain_name: ORIGIN_DOMAIN.to_owned(),
        keepalive_timeout: Some(KEEPALIVE_TIMEOUT),
        port: Some(443),
        protocol: "https".to_owned(),
        read_timeout: Some(READ_TIMEOUT),
        ssl_protocols: vec!["TLSv1.2".to_owned()],
        ..CustomOrigin::default()
    }
}

/// The second origin of the group.
pub(super) fn secondary() -> CustomOrigin {
    CustomOrigin { custom_headers: Headers::from_iter([FAILOVER_HEADER]), ..primary() }
}

/// What `Accept-Encoding` becomes with both of the cache policy's `EnableAcceptEncoding...` on; it is part of the cache key then:
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/controlling-the-cache-key.html#cache-policy-compressed-objects>
pub(super) fn accept_encoding(headers: &Headers) -> Option<&'static str> {
    let has = |coding: &str| {
        let mut members = headers.get_all("accept-encoding").flat_map(|value| value.split(','));
        members.any(|member| {
            member.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(coding))
        })
    };
    match (has("br"), has("gzip")) {
        (true, true) => Some("br,gzip"),
        (true, false) => Some("br"),
        (false, true) => Some("gzip"),
        (false, false) => None,
    }
}

/// The version's number, as `Via` has it.
pub(super) fn number(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2.0",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

fn append_to_list(headers: &mut Headers, key: &str, member: &str) {
    let mut members: Vec<_> = headers.get_all(key).collect();
    members.push(member);
    let list = members.join(", ");
    headers.insert(key, list);
}

fn url(origin: &CustomOrigin, head: &Request) -> Result<Uri, String> {
    let CustomOrigin { protocol, domain_name, path, .. } = origin;
    let port = origin.port.unwrap_or(if protocol == "https" { 443 } else { 80 });
    let query = if head.querystring.is_empty() { String::new() } else { format!("?{}", head.querystring) };
    let url = format!("{protocol}://{domain_name}:{port}{path}{}{query}", head.uri);
    url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))
}

fn host(origin: &CustomOrigin) -> Result<HeaderValue, String> {
    origin.domain_name.parse().map_err(|_| format!("{:?} is no domain name", origin.domain_name))
}
