//! Requests to an origin in this process.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use selvedge_origin::Origin;
use serde_json::Value;
use tower::ServiceExt as _;

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Returns a header's value, or nothing at all.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?} is JSON"))
    }
}

/// Sends a request; `line` is its method and its target.
pub(crate) async fn send(origin: &Origin, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(target);
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let (parts, body) = origin.router().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

pub(crate) async fn get(origin: &Origin, target: &str) -> Answer {
    send(origin, &format!("GET {target}"), &[], "").await
}

/// Adds a record and returns where it is.
pub(crate) async fn create(origin: &Origin, target: &str, body: &str) -> String {
    let answer = send(origin, &format!("POST {target}"), &[], body).await;
    assert_eq!(answer.status, StatusCode::CREATED.as_u16(), "{answer:?}");
    answer.header("location").to_owned()
}
