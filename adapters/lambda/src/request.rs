//! From an event to the core's request.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};

use crate::event::{HttpEvent, Query};

/// An event that no front makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadRequest(pub(crate) &'static str);

/// Makes the request that the client sent, as far as the event tells.
///
/// The path and the query are the client's own from function URLs and load balancers. A REST API decodes the query, and an HTTP
/// API the path, which it also cuts at a decoded question mark (<https://github.com/hotsock/voker/pull/8>): what was decoded is
/// encoded again.
pub(crate) fn accept(event: &mut HttpEvent) -> Result<Request<Bytes>, BadRequest> {
    let mut request = Request::new(body(event)?);
    *request.method_mut() =
        Method::from_bytes(event.method.as_bytes()).map_err(|_| BadRequest("the method is none of HTTP"))?;
    *request.uri_mut() = uri(event)?;
    *request.headers_mut() = headers(event);
    Ok(request)
}

/// A body in base64 takes a third less memory than its text, which is given up at once.
fn body(event: &mut HttpEvent) -> Result<Bytes, BadRequest> {
    let Some(text) = event.body.take() else { return Ok(Bytes::new()) };
    if !event.is_base64 {
        return Ok(text.into());
    }
    BASE64_STANDARD.decode(text).map(Bytes::from).map_err(|_| BadRequest("the body is not base64"))
}

fn uri(event: &HttpEvent) -> Result<Uri, BadRequest> {
    let mut target = String::with_capacity(event.path.len() + 1);
    if !event.path.starts_with('/') {
        target.push('/');
    }
    let is_of_path = |byte| !matches!(byte, b'?' | b'`') && is_of_query(byte);
    push_encoded(&mut target, &event.path, |byte| {
        is_of_path(byte) && (byte != b'%' || !event.is_path_decoded)
    });
    let start = target.len();
    match &event.query {
        Query::Raw(query) => {
            if !query.is_empty() {
                target.push('?');
                push_encoded(&mut target, query, is_of_query);
            }
        }
        Query::Encoded(fields) => push_fields(&mut target, fields.iter(), start, is_of_encoded_parameter),
        Query::Decoded(fields) => push_fields(&mut target, fields.iter(), start, is_unreserved),
    }
    Uri::try_from(target).map_err(|_| BadRequest("the path and the query are too long for a URL"))
}

fn push_fields<'a>(
    target: &mut String,
    fields: impl Iterator<Item = (&'a str, &'a str)>,
    start: usize,
    is_plain: fn(u8) -> bool,
) {
    for (name, value) in fields {
        target.push(if target.len() == start { '?' } else { '&' });
        push_encoded(target, name, is_plain);
        target.push('=');
        push_encoded(target, value, is_plain);
    }
}

/// Encodes what is not plain.
fn push_encoded(target: &mut String, text: &str, is_plain: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if is_plain(byte) {
            target.push(char::from(byte));
        } else {
            target.push('%');
            target.push(char::from(HEX[usize::from(byte >> 4)]));
            target.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// What a query may hold, [RFC 3986 section 3.4](https://www.rfc-editor.org/rfc/rfc3986#section-3.4), and what clients send all the same.
fn is_of_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>')
}

fn is_of_encoded_parameter(byte: u8) -> bool {
    is_of_query(byte) && byte != b'&'
}

/// [RFC 3986 section 2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Fields that HTTP does not know are left out: no front lets one through.
fn headers(event: &HttpEvent) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in event.headers.iter() {
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        else {
            continue;
        };
        headers.append(name, value);
    }
    if !event.cookies.is_empty()
        && let Ok(cookies) = HeaderValue::try_from(event.cookies.join("; "))
    {
        headers.insert(header::COOKIE, cookies);
    }
    if !headers.contains_key(header::HOST)
        && let Some(Ok(host)) = event.domain_name.as_deref().map(HeaderValue::from_str)
    {
        headers.insert(header::HOST, host);
    }
    // No front hands a connection over.
    headers.remove(header::UPGRADE);
    headers
}

#[cfg(test)]
mod tests;
