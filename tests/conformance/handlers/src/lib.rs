//! The handlers that cases of the conformance suite may name, for every platform.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use selvedge_core::body::Body;
use selvedge_core::engine::EngineBuilder;
use selvedge_core::handler::{HandlerContext, HandlerError, HandlerResult};
use selvedge_core::job::MAX_MESSAGE_BYTES;

/// Adds the handlers `echo`, `fetch`, `count`, `send`, `send-long`, `fail`, `panic`, `late-panic`, `impatient` and `stuck`.
#[must_use]
pub fn handlers(builder: EngineBuilder) -> EngineBuilder {
    builder
        .handler("echo", echo)
        .handler("fetch", fetch)
        .handler("count", count)
        .handler("send", send)
        .handler("send-long", send_long)
        .handler("fail", |_| async { Err(HandlerError::new("it fails as it should")) })
        .handler("panic", |_| async { panic!("it panics as it should") })
        .handler("late-panic", late_panic)
        .handler("impatient", impatient)
        .handler("stuck", |_| std::future::pending())
}

/// Answers with what it got: the capture `name`, the request id's length, and the body.
async fn echo(context: HandlerContext) -> HandlerResult {
    let body = match context.read_body(16).await {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        Err(error) => format!("{error:?}"),
    };
    let name = context.capture("name").unwrap_or("nobody");
    let text = format!("{} {name}: {body}", context.request().method());
    respond(StatusCode::OK, text)
}

/// Answers with what the backend `a` says to `/from-handler`.
async fn fetch(context: HandlerContext) -> HandlerResult {
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = http::Uri::from_static("/from-handler?x=1");
    match context.fetch("a", request).await {
        Ok(response) => Ok(response),
        Err(error) => respond(StatusCode::BAD_GATEWAY, error.as_str().to_owned()),
    }
}

/// Counts its calls in the key-value store.
async fn count(context: HandlerContext) -> HandlerResult {
    let before = context.kv_get("count").await.map_err(|_| HandlerError::new("no store"))?;
    let mut text = before.map_or_else(String::new, |bytes| String::from_utf8_lossy(&bytes).into_owned());
    text.push('|');
    context.kv_put("count", text.clone().into()).await.map_err(|_| HandlerError::new("no store"))?;
    context.record("counted", 1.0);
    respond(StatusCode::OK, text)
}

/// Puts the body into the queue that the capture `queue` names.
async fn send(context: HandlerContext) -> HandlerResult {
    let body = context.read_body(1 << 20).await.map_err(|_| HandlerError::new("no body"))?;
    let queue = context.capture("queue").unwrap_or_default().to_owned();
    match context.enqueue(&queue, body).await {
        Ok(()) => respond(StatusCode::ACCEPTED, "queued".to_owned()),
        Err(error) => respond(StatusCode::BAD_GATEWAY, error.to_string()),
    }
}

/// Sends the longest message and one that is longer to the queue `long`.
async fn send_long(context: HandlerContext) -> HandlerResult {
    let mut outcomes = Vec::new();
    for length in [MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1] {
        let outcome = match context.enqueue("long", vec![b'x'; length].into()).await {
            Ok(()) => "taken".to_owned(),
            Err(error) => error.to_string(),
        };
        outcomes.push(format!("{length} {outcome}"));
    }
    respond(StatusCode::OK, outcomes.join("; "))
}

/// Answers once the backend `a` has, and then waits no longer for what the capture `what` names: the `body`, or else a value.
async fn impatient(context: HandlerContext) -> HandlerResult {
    let is_body = context.capture("what") == Some("body");
    let mut slow = pin!(async {
        if is_body { context.read_body(16).await.is_ok() } else { context.kv_get("key").await.is_ok() }
    });
    let mut fetch = pin!(context.fetch("a", Request::new(Body::Empty)));
    let answer = poll_fn(|cx| match slow.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => fetch.as_mut().poll(cx).map(Some),
    });
    match answer.await {
        Some(Ok(response)) => Ok(response),
        Some(Err(error)) => respond(StatusCode::BAD_GATEWAY, error.as_str().to_owned()),
        None => respond(StatusCode::BAD_GATEWAY, "what should hang came".to_owned()),
    }
}

fn respond(status: StatusCode, text: String) -> HandlerResult {
    let mut response = Response::new(Body::from(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}

/// Panics once the backend `a` has answered.
async fn late_panic(context: HandlerContext) -> HandlerResult {
    let answer = fetch(context).await;
    panic!("it panics after {:?}", answer.map(|response| response.status()))
}
