//! From the core's response to Spin's.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use selvedge_core::body::Body;
use selvedge_core::effect::CachePut;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::wasip3::spawn;

use crate::body::{Bodies, Gathered, HostBody, Reader, Writer, no_trailers};
use crate::component::Component;
use crate::fields;

/// A response with its fields at the host, to be sent any number of times.
pub(crate) struct Ready {
    status: StatusCode,
    fields: Fields,
    content: Option<Bytes>,
}

impl Ready {
    /// Prepares a response whose body is in memory.
    pub(crate) fn of(response: http::Response<Body>, is_head: bool) -> Self {
        let (mut parts, body) = response.into_parts();
        announce(&mut parts.headers, parts.status, &body, is_head);
        let content = match body {
            Body::Bytes(bytes) if has_content(parts.status, is_head) => Some(bytes),
            Body::Bytes(_) | Body::Empty | Body::Host(_) => None,
        };
        Self { status: parts.status, fields: fields::to_host(&parts.headers), content }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the bytes of its content.
    pub(crate) fn len(&self) -> usize {
        self.content.as_ref().map_or(0, Bytes::len)
    }

    pub(crate) fn send(&self) -> Response {
        let fields = self.fields.clone();
        let response = match self.content.clone() {
            None => Response::new(fields, None, no_trailers()).0,
            Some(content) => whole(fields, content),
        };
        set_status(&response, self.status);
        response
    }
}

/// Makes the response that is sent; its body goes on streaming when this has returned.
pub(crate) fn send(
    response: http::Response<Body>,
    bodies: &Bodies,
    component: &Rc<Component>,
    is_head: bool,
) -> Response {
    let (mut parts, body) = response.into_parts();
    announce(&mut parts.headers, parts.status, &body, is_head);
    let body = if has_content(parts.status, is_head) { body } else { Body::Empty };
    let headers = &parts.headers;
    let response = match body {
        Body::Empty => empty(headers),
        Body::Bytes(bytes) => whole(fields::to_host(headers), bytes),
        Body::Host(handle) => match bodies.take(handle) {
            Some(HostBody::Stored(stored)) => {
                let (writer, response) = streaming(headers);
                let (reader, put) = *stored;
                spawn(store(Rc::clone(component), reader, writer, put));
                response
            }
            Some(body) => pass(headers, body.read()),
            None => lost(headers),
        },
    };
    set_status(&response, parts.status);
    response
}

/// What is answered when there is no policy to answer by.
pub(crate) fn broken() -> Response {
    const BODY: &str = "Internal server error\n";
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_LENGTH, HeaderValue::from(BODY.len())),
    ]);
    let response = whole(fields::to_host(&headers), Bytes::from_static(BODY.as_bytes()));
    set_status(&response, StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Says how long a body in memory is, as servers do that know it.
fn announce(headers: &mut HeaderMap, status: StatusCode, body: &Body, is_head: bool) {
    let Some(length) = body.len() else { return };
    // The length of a response to HEAD is that of the response to GET, which an empty body says nothing about.
    let is_known = length > 0 || !is_head;
    if is_known && may_have_length(status) && !headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// [RFC 9110 section 8.6](https://www.rfc-editor.org/rfc/rfc9110#section-8.6).
fn may_have_length(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// [RFC 9110 section 6.4.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.4.1).
fn has_content(status: StatusCode, is_head: bool) -> bool {
    !is_head && may_have_length(status)
}

fn empty(headers: &HeaderMap) -> Response {
    Response::new(fields::to_host(headers), None, no_trailers()).0
}

fn whole(fields: Fields, content: Bytes) -> Response {
    let (mut writer, contents, end) = Writer::new();
    spawn(async move {
        if writer.write_bytes(content).await.is_ok() {
            writer.end(Ok(None)).await;
        }
    });
    Response::new(fields, Some(contents), end).0
}

fn streaming(headers: &HeaderMap) -> (Writer, Response) {
    let (writer, contents, end) = Writer::new();
    (writer, Response::new(fields::to_host(headers), Some(contents), end).0)
}

/// Streams a body that is not stored. What was not read at all is handed over as it is.
fn pass(headers: &HeaderMap, reader: Reader) -> Response {
    match reader.untouched() {
        Ok((contents, end)) => Response::new(fields::to_host(headers), Some(contents), end).0,
        Err(mut reader) => {
            let (mut writer, response) = streaming(headers);
            spawn(async move {
                while let Some(chunk) = reader.chunk().await {
                    if writer.write(chunk).await.is_err() {
                        return;
                    }
                }
                writer.end(reader.end().await).await;
            });
            response
        }
    }
}

/// The core answered with a body that was used before; the response breaks off.
fn lost(headers: &HeaderMap) -> Response {
    selvedge_log::write_log("ERROR", "the response's body was used before");
    let (writer, response) = streaming(headers);
    spawn(writer.end(Err(ErrorCode::InternalError(None))));
    response
}

/// Streams a body to the client, and stores it once the client has all of it. One that breaks off, or that nobody reads to
/// its end, is never stored.
async fn store(component: Rc<Component>, mut reader: Reader, mut writer: Writer, put: CachePut) {
    let mut gathered = Gathered::new(&component);
    while let Some(chunk) = reader.chunk().await {
        gathered.add(&chunk);
        if writer.write(chunk).await.is_err() {
            return;
        }
    }
    let end = reader.end().await;
    let is_whole = end.is_ok();
    writer.end(end).await;
    if is_whole {
        gathered.store(put).await;
    }
}

fn set_status(response: &Response, status: StatusCode) {
    // A response is made with 200.
    if status != StatusCode::OK && response.set_status_code(status.as_u16()).is_err() {
        selvedge_log::write_log("ERROR", &format!("Spin does not take the status {status}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_memory_has_its_length_and_what_has_no_content_has_none() {
        struct Row {
            status: u16,
            body: &'static str,
            is_head: bool,
            length: Option<&'static str>,
        }
        let rows = [
            Row { status: 200, body: "four", is_head: false, length: Some("4") },
            Row { status: 200, body: "four", is_head: true, length: Some("4") },
            Row { status: 200, body: "", is_head: false, length: Some("0") },
            Row { status: 200, body: "", is_head: true, length: None },
            Row { status: 204, body: "", is_head: false, length: None },
            Row { status: 304, body: "", is_head: false, length: None },
        ];
        for Row { status, body, is_head, length } in rows {
            let mut headers = HeaderMap::new();
            let status = StatusCode::from_u16(status).expect("a status");
            announce(&mut headers, status, &Body::from(body_of(body)), is_head);
            let found = headers.get(header::CONTENT_LENGTH).map(|value| value.to_str().expect("digits"));
            assert_eq!(found, length, "{status} {body:?} {is_head}");
            assert_eq!(has_content(status, is_head), status == StatusCode::OK && !is_head);
        }
    }

    fn body_of(text: &'static str) -> bytes::Bytes {
        bytes::Bytes::from_static(text.as_bytes())
    }
}
