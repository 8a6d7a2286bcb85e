//! Requests to backends.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use selvedge_core::body::Body;
use selvedge_core::effect::{Fetch, FetchError, Watch};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{self, ErrorCode, Scheme};
use spin_sdk::wasip3::spawn;
use spin_sdk::wasip3::wit_bindgen::{FutureReader, StreamReader};

use crate::body::{Bodies, End, HostBody, Reader, Watched, Writer, no_trailers};
use crate::fields;
use crate::request::length;

/// How the upload of a request goes, where it goes through the component.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Why it ended early, when it did.
    failure: Cell<Option<FetchError>>,
    /// What is kept of the time that is spent on waiting for its client; nothing unless the policy watches the backend.
    waits: Option<Waits>,
}

/// How long a client is waited for, in nanoseconds of the monotonic clock.
#[derive(Debug, Default)]
struct Waits {
    over: Cell<u64>,
    /// Since when, while it is waited for.
    since: Cell<Option<u64>>,
    /// Whether there is nothing more to wait for.
    is_done: Cell<bool>,
}

/// A request's body on its way to a backend.
struct Upload {
    contents: Option<StreamReader<u8>>,
    end: FutureReader<End>,
}

/// Sends a request; its body goes on streaming when the head of the response is there.
pub(crate) async fn fetch(fetch: Fetch, bodies: &Bodies) -> Result<Response<Body>, FetchError> {
    let Fetch { backend, request, timeout, connect_timeout, watch, max_body_bytes } = fetch;
    // Each word to the host takes its time.
    let is_bounded = watch.as_ref().is_some_and(|watch| watch.total.is_some());
    let started = if is_bounded { monotonic_clock::now() } else { 0 };
    let (mut parts, body) = request.into_parts();
    announce(&mut parts.headers, &parts.method, &body);
    let progress = Rc::new(Progress { waits: watch.is_some().then(Waits::default), ..Progress::default() });
    let upload = upload(body, &parts.headers, max_body_bytes, bodies, &progress)?;
    let is_head = parts.method == Method::HEAD;
    let (options, is_bounded_by_host) = options(timeout, connect_timeout);
    let sent = client::send(outgoing(Request::from_parts(parts, upload), options)?);
    // A clock of our own would be one more thing that the host waits for.
    let answered = if is_bounded_by_host { Some(sent.await) } else { within(timeout, sent).await };
    let response = match answered {
        Some(Ok(response)) => response,
        Some(Err(error)) => {
            let error = progress.failure.get().unwrap_or_else(|| refusal(&backend, &error));
            return Err(progress.blamed(error, timeout));
        }
        None => return Err(progress.blamed(FetchError::Timeout, timeout)),
    };
    incoming(response, is_head, watch.map(|watch| (watch, started, progress)), bodies)
}

impl Progress {
    /// Whether the upload ended early.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Says whose fault it is that a request's time is over: its client's, if the upload is not whole and waited for it through at least
    /// half of the time.
    fn blamed(&self, error: FetchError, timeout: Duration) -> FetchError {
        match &self.waits {
            Some(waits)
                if error == FetchError::Timeout
                    && !waits.is_done.get()
                    && waits.so_far().saturating_mul(2) >= timeout =>
            {
                FetchError::ClientTimeout
            }
            Some(_) | None => error,
        }
    }

    /// Waits for the client.
    async fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let Some(Waits { over, since, .. }) = &self.waits else { return future.await };
        let asked = monotonic_clock::now();
        since.set(Some(asked));
        let output = future.await;
        since.set(None);
        over.set(over.get().saturating_add(monotonic_clock::now().saturating_sub(asked)));
        output
    }

    fn on_end(&self) {
        self.waits.iter().for_each(|waits| waits.is_done.set(true));
    }
}

impl Waits {
    /// How long the client of an upload has been waited for.
    fn so_far(&self) -> Duration {
        let waiting = self.since.get().map_or(0, |since| monotonic_clock::now().saturating_sub(since));
        Duration::from_nanos(self.over.get().saturating_add(waiting))
    }
}

/// Waits for a future, or until its time is over.
pub(crate) async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    match select(pin!(future), pin!(monotonic_clock::wait_for(nanos))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Says how long a body in memory is, and that there is none where a backend would expect one.
fn announce(headers: &mut HeaderMap, method: &Method, body: &Body) {
    let Some(length) = body.len() else { return };
    if length > 0 || !matches!(*method, Method::GET | Method::HEAD) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    } else {
        headers.remove(header::CONTENT_LENGTH);
    }
}

fn upload(
    body: Body,
    headers: &HeaderMap,
    most: u64,
    bodies: &Bodies,
    progress: &Rc<Progress>,
) -> Result<Upload, FetchError> {
    let (contents, end) = match body {
        Body::Empty => (None, no_trailers()),
        Body::Bytes(bytes) if bytes.len() as u64 > most => return Err(FetchError::BodyTooLarge),
        Body::Bytes(bytes) => {
            let (mut writer, contents, end) = Writer::new();
            spawn(async move {
                if writer.write_bytes(bytes).await.is_ok() {
                    writer.end(Ok(None)).await;
                }
            });
            (Some(contents), end)
        }
        Body::Host(handle) => {
            let body = bodies.take(handle).ok_or(FetchError::ClientBody)?;
            let (contents, end) = stream(body, length(headers), most, progress)?;
            (Some(contents), end)
        }
    };
    Ok(Upload { contents, end })
}

/// Streams a body. Where its length is announced, Spin sees to it that it is no longer; else its bytes are counted here.
///
/// DIFFERENCE: a client that breaks off or is late with a body of which Spin sees to the length is told from a backend that does so only
/// where the policy watches the backend: what Spin passes on by itself never comes in here, and to copy it costs every upload.
fn stream(
    body: HostBody,
    announced: Option<u64>,
    most: u64,
    progress: &Rc<Progress>,
) -> Result<(StreamReader<u8>, FutureReader<End>), FetchError> {
    let reader = match announced {
        Some(length) if length > most => return Err(FetchError::BodyTooLarge),
        Some(_) if progress.waits.is_some() => body.read(),
        Some(_) => match body.read().untouched() {
            Ok(untouched) => return Ok(untouched),
            Err(reader) => reader,
        },
        None => body.read(),
    };
    let (writer, contents, end) = Writer::new();
    spawn(count(reader, writer, most, Rc::clone(progress)));
    Ok((contents, end))
}

/// Writes a body that may not be longer than allowed.
async fn count(mut reader: Reader, mut writer: Writer, most: u64, progress: Rc<Progress>) {
    let mut left = most;
    while let Some(chunk) = progress.wait(reader.chunk()).await {
        let Some(rest) = left.checked_sub(chunk.len() as u64) else {
            progress.failure.set(Some(FetchError::BodyTooLarge));
            return writer.end(Err(ErrorCode::HttpRequestBodySize(None))).await;
        };
        left = rest;
        if writer.write(chunk).await.is_err() {
            return;
        }
    }
    let end = progress.wait(reader.end()).await;
    progress.on_end();
    if end.is_err() {
        progress.failure.set(Some(FetchError::ClientBody));
    }
    writer.end(end).await;
}

/// Says how long Spin may wait, and whether it goes by that. Its wait for the first byte begins before the connection is made.
fn options(timeout: Duration, connect_timeout: Duration) -> (types::RequestOptions, bool) {
    let options = types::RequestOptions::new();
    let nanos = |time: Duration| Some(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    // The wait for the head covers a longer one for the connection, and a host without such a wait has one of its own.
    if connect_timeout < timeout {
        let _ = options.set_connect_timeout(nanos(connect_timeout));
    }
    let is_bounded_by_host = options.set_first_byte_timeout(nanos(timeout)).is_ok();
    (options, is_bounded_by_host)
}

/// DIFFERENCE: the `Host` that a backend sees is always that of its URL: `wasi:http` has no other, and Spin takes it away.
fn outgoing(request: Request<Upload>, options: types::RequestOptions) -> Result<types::Request, FetchError> {
    let (parts, Upload { contents, end }) = request.into_parts();
    let headers = fields::to_host(&parts.headers);
    let (request, _) = types::Request::new(headers, contents, end, Some(options));
    let scheme = match parts.uri.scheme_str() {
        Some("https") => Scheme::Https,
        Some("http") => Scheme::Http,
        Some(_) | None => return Err(FetchError::Connect),
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    // A request is made with GET, and each word to the host takes its time.
    let method =
        if parts.method == Method::GET { Ok(()) } else { request.set_method(&(&parts.method).into()) };
    let set = method
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(authority))
        .and_then(|()| request.set_path_with_query(Some(path)));
    set.map(|()| request).map_err(|()| FetchError::Protocol)
}

fn incoming(
    response: types::Response,
    is_head: bool,
    watch: Option<(Watch, u64, Rc<Progress>)>,
    bodies: &Bodies,
) -> Result<Response<Body>, FetchError> {
    let status = StatusCode::from_u16(response.get_status_code()).map_err(|_| FetchError::Protocol)?;
    // Nobody here could speak another protocol, and no other interim response comes this far.
    if status.is_informational() {
        return Err(FetchError::Protocol);
    }
    let headers = fields::from_list(&response.get_headers().copy_all());
    let length = length(&headers);
    let is_empty =
        is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || length == Some(0);
    let body = HostBody::Response(response);
    let body = match watch {
        _ if is_empty => Body::Empty,
        None => bodies.keep(body),
        Some((watch, started, progress)) => {
            let watched = Watched::new(watch, status, length, started, progress);
            bodies.keep(HostBody::Begun(body.read().watched(watched)))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// What a failure is to the core. One that an operator can do something about is told in the log.
fn refusal(backend: &str, error: &ErrorCode) -> FetchError {
    if matches!(error, ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited) {
        let message =
            format!("Spin does not let requests to backend `{backend}`: see `allowed_outbound_hosts`");
        selvedge_log::write_log("ERROR", &message);
    }
    fetch_error(error)
}

/// Where no connection was made, nothing was sent, and another backend can be asked whatever the method.
fn fetch_error(error: &ErrorCode) -> FetchError {
    match error {
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_)
        | ErrorCode::HttpRequestDenied
        | ErrorCode::ConfigurationError
        | ErrorCode::LoopDetected => FetchError::Connect,
        ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => FetchError::Timeout,
        ErrorCode::HttpRequestBodySize(_) => FetchError::ClientBody,
        ErrorCode::ConnectionTerminated
        | ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_)
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_)
        | ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::HttpProtocolError
        | ErrorCode::InternalError(_) => FetchError::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_no_connection_was_made_for_is_told_apart_from_what_broke() {
        let rows = [
            (ErrorCode::ConnectionRefused, FetchError::Connect),
            (ErrorCode::TlsCertificateError, FetchError::Connect),
            (ErrorCode::HttpRequestDenied, FetchError::Connect),
            (ErrorCode::ConnectionTimeout, FetchError::Connect),
            (ErrorCode::HttpResponseTimeout, FetchError::Timeout),
            (ErrorCode::ConnectionTerminated, FetchError::Protocol),
            (ErrorCode::HttpResponseIncomplete, FetchError::Protocol),
            (ErrorCode::InternalError(Some("a".to_owned())), FetchError::Protocol),
            (ErrorCode::HttpRequestBodySize(Some(3)), FetchError::ClientBody),
        ];
        for (code, expected) in rows {
            assert_eq!(fetch_error(&code), expected, "{code:?}");
        }
    }

    #[test]
    fn a_request_says_its_length_where_it_is_known() {
        let rows = [
            (Method::GET, Body::Empty, Some("7"), None),
            (Method::POST, Body::Empty, None, Some("0")),
            (Method::POST, Body::Bytes(Bytes::from_static(b"four")), Some("7"), Some("4")),
            (Method::POST, Body::Host(selvedge_core::body::BodyHandle(0)), Some("7"), Some("7")),
        ];
        for (method, body, before, after) in rows {
            let before = before.map(|value| (header::CONTENT_LENGTH, HeaderValue::from_static(value)));
            let mut headers = HeaderMap::from_iter(before);
            announce(&mut headers, &method, &body);
            let found = headers.get(header::CONTENT_LENGTH).map(|value| value.to_str().expect("digits"));
            assert_eq!(found, after, "{method} {body:?}");
        }
    }
}
