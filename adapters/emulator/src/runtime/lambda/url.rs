//! A [function URL](https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html): requests become events, results responses.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use selvedge_native::body::read;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::api::{Failure, Invocations, MAX_PAYLOAD_BYTES, Outcome};

/// The domain of the function URL.
const DOMAIN: &str = "local.lambda-url.us-east-1.on.aws";

/// What separates the head of a response that streams from its body.
const SEPARATOR: [u8; 8] = [0; 8];

/// Most bytes of such a head.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

type Body = UnsyncBoxBody<Bytes, Failure>;

/// Serves clients.
pub(super) async fn serve(listener: TcpListener, invocations: Arc<Invocations>) {
    loop {
        let Ok((stream, client)) = listener.accept().await else { continue };
        tokio::spawn(connection(stream, client, Arc::clone(&invocations)));
    }
}

async fn connection(stream: TcpStream, client: SocketAddr, invocations: Arc<Invocations>) {
    let _: Result<_, _> = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let invocations = Arc::clone(&invocations);
        async move { Ok::<_, Infallible>(answer(&invocations, client, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .max_buf_size(128 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the function URL broke");
    }
}

async fn answer(invocations: &Invocations, client: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = read(body, MAX_PAYLOAD_BYTES).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let event = event(&parts, &body, client).to_string();
    if event.len() > MAX_PAYLOAD_BYTES {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    }
    let response = match invocations.invoke(event.into()).await {
        Ok(Outcome::Result(result)) => buffered(&result),
        Ok(Outcome::Stream(parts)) => streamed(parts).await,
        Err(failure) => Err(failure),
    };
    response.unwrap_or_else(|failure| {
        tracing::error!(%failure, "the function gave no response");
        refuse(StatusCode::BAD_GATEWAY, "Internal Server Error")
    })
}

/// The event of [payload version 2](https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads).
fn event(parts: &Parts, body: &Bytes, client: SocketAddr) -> Value {
    let text =
        |value: &HeaderValue| value.as_bytes().iter().map(|&byte| char::from(byte)).collect::<String>();
    let text = |value: &HeaderValue| {
        std::str::from_utf8(value.as_bytes()).map_or_else(|_| text(value), str::to_owned)
    };
    let joined = |name: &HeaderName| {
        let values: Vec<_> = parts.headers.get_all(name).iter().map(text).collect();
        values.join(",")
    };
    let mut headers: Map<_, _> = parts
        .headers
        .keys()
        .filter(|name| *name != header::COOKIE)
        .map(|name| (name.to_string(), Value::from(joined(name))))
        .collect();
    if let Some(authority) = parts.uri.authority() {
        headers.insert("host".to_owned(), authority.as_str().into());
    }
    let cookies = parts.headers.get_all(header::COOKIE).iter().map(text);
    let cookies: Vec<_> = cookies
        .flat_map(|line| line.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    let (body, is_base64) = encoded(&parts.headers, body);
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.uri.path(),
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "domainName": DOMAIN,
            "http": {
                "method": parts.method.as_str(),
                "path": parts.uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": client.ip().to_string(),
            },
            "routeKey": "$default",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": is_base64,
    });
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    event
}

/// Only what the type says is text goes as it is.
fn encoded(headers: &HeaderMap, body: &Bytes) -> (Value, bool) {
    if body.is_empty() {
        return (Value::Null, false);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_text = ["text/", "application/json", "application/javascript", "application/xml"]
        .iter()
        .any(|prefix| kind.starts_with(prefix));
    match std::str::from_utf8(body) {
        Ok(text) if is_text => (text.into(), false),
        Ok(_) | Err(_) => (BASE64_STANDARD.encode(body).into(), true),
    }
}

fn buffered(result: &[u8]) -> Result<Response<Body>, Failure> {
    let result: Value = serde_json::from_slice(result).map_err(|_| Failure::new("the result is not JSON"))?;
    let text = result["body"].as_str().unwrap_or_default();
    let body = if result["isBase64Encoded"] == true {
        BASE64_STANDARD.decode(text).map_err(|_| Failure::new("the body is not base64"))?.into()
    } else {
        Bytes::copy_from_slice(text.as_bytes())
    };
    let response = head(&result)?;
    Ok(response.map(|()| Full::new(body).map_err(|never| match never {}).boxed_unsync()))
}

async fn streamed(mut parts: mpsc::Receiver<Result<Bytes, Failure>>) -> Result<Response<Body>, Failure> {
    let mut bytes = BytesMut::new();
    let at = loop {
        if let Some(at) = bytes.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
            break at;
        }
        let part =
            parts.recv().await.unwrap_or_else(|| Err(Failure::new("the response ends within its head")))?;
        bytes.extend_from_slice(&part);
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(Failure::new("the head of the response is too long"));
        }
    };
    let result = serde_json::from_slice(&bytes[..at]).map_err(|_| Failure::new("the head is not JSON"))?;
    let first = bytes.freeze().slice(at + SEPARATOR.len()..);
    let response = head(&result)?;
    let first = (!first.is_empty()).then_some(Ok(first));
    let stream =
        futures_util::stream::iter(first).chain(futures_util::stream::poll_fn(move |cx| parts.poll_recv(cx)));
    let body = StreamBody::new(stream.map(|part| part.map(Frame::data)));
    Ok(response.map(|()| body.boxed_unsync()))
}

fn head(result: &Value) -> Result<Response<()>, Failure> {
    let status = result["statusCode"].as_u64().and_then(|code| u16::try_from(code).ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok()).filter(|code| code.as_u16() >= 200);
    let mut response = Response::new(());
    *response.status_mut() = status.ok_or_else(|| Failure::new("the result has no status"))?;
    let headers = response.headers_mut();
    for (name, value) in result["headers"].as_object().into_iter().flatten() {
        append(headers, name, value)?;
    }
    for cookie in result["cookies"].as_array().into_iter().flatten() {
        append(headers, "set-cookie", cookie)?;
    }
    Ok(response)
}

fn append(headers: &mut HeaderMap, name: &str, value: &Value) -> Result<(), Failure> {
    let pair = value.as_str().and_then(|value| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    });
    let (name, value) = pair.ok_or_else(|| Failure::new(format!("the header `{name}` is none of HTTP")))?;
    headers.append(name, value);
    Ok(())
}

fn refuse(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
