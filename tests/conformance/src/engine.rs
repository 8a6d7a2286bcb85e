//! The engine that a case runs on.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use http::{Request, Response, StatusCode};
use selvedge_core::body::Body;
use selvedge_core::engine::Engine;
use selvedge_core::handler::{HandlerContext, HandlerError, HandlerResult};
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::read;

use crate::case::Case;

/// The policy that a case names as `storefront`, its backends at `http://NAME.test`.
pub const STOREFRONT: &str = include_str!("../../../examples/storefront/edge.toml");

/// The value of every environment variable whose name begins with `CONFORMANCE_`.
pub const SECRET: &str = "5ecret";

/// Compiles a case's policy with the handlers that cases may name; `place` gives each backend URL
/// of the policy (`http://us.test`) the one that it has on the platform.
///
/// # Errors
/// When the policy is refused; the message holds every error.
pub fn compile(case: &Case, place: impl Fn(&str) -> String) -> anyhow::Result<Arc<Engine>> {
    let mut policy = policy(case)?;
    for backend in &mut policy.backends {
        for url in &mut backend.urls {
            *url = place(url);
        }
    }
    let engine = Engine::builder(policy)
        .environment(|name| name.starts_with("CONFORMANCE_").then(|| SECRET.to_owned()))
        .handler("echo", echo)
        .handler("fetch", fetch)
        .handler("count", count)
        .handler("fail", |_| async { Err(HandlerError::new("it fails as it should")) })
        .handler("panic", |_| async { panic!("it panics as it should") })
        .compile();
    engine.map(Arc::new).map_err(|error| anyhow!("{error}"))
}

/// Reads a case's policy.
///
/// # Errors
/// When the policy is refused; the message holds every error.
pub fn policy(case: &Case) -> anyhow::Result<Policy> {
    let mut policy = read(&case.policy).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("the policy is refused:\n{}", lines.join("\n"))
    })?;
    if case.policy == STOREFRONT {
        for backend in &mut policy.backends {
            backend.urls = vec![format!("http://{}.test", backend.name)];
        }
    }
    Ok(policy)
}

/// The label of a backend's URL: `us` for `http://us.test/prefix`.
///
/// # Errors
/// When the URL is not of that form.
pub fn label(url: &str) -> anyhow::Result<&str> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} is not http"))?;
    rest.split_once(".test").map(|(label, _)| label).with_context(|| format!("{url} is not at LABEL.test"))
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

fn respond(status: StatusCode, text: String) -> HandlerResult {
    let mut response = Response::new(Body::from(bytes::Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}
