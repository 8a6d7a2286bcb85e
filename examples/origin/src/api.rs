//! The API.

pub(crate) mod collection;
pub(crate) mod item;
mod key;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::Origin;
use crate::conditional::SURROGATE_KEY;
use crate::problem::Problem;
use crate::resource::{Kind, User};

/// How much of a body `/api/echo` repeats, in bytes.
const MAX_ECHO_BYTES: usize = 64 * 1024;

/// Regions that have a text of their own.
const HEADLINES: [(&str, &str); 2] =
    [("us", "Free shipping coast to coast"), ("eu", "Free shipping across the Union")];

/// How long the database may take to say that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Whether requests should be sent here: the database answers, and nobody has told the origin to stop. A cache that is
/// away only makes answers slower.
pub(crate) async fn ready(State(origin): State<Origin>) -> Response {
    if origin.is_draining() {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the origin is ending").into_response();
    }
    match tokio::time::timeout(READY_TIMEOUT, origin.shop().database.ping()).await {
        Ok(Ok(())) => {
            ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "status": "ready" }))).into_response()
        }
        Ok(Err(error)) => Problem::from(error).into_response(),
        Err(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer").into_response()
        }
    }
}

pub(crate) async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "there is nothing here")
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods")
}

/// A user by id; personal, so no shared cache may keep it.
pub(crate) async fn user(
    State(origin): State<Origin>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let Some(id) = query.get("id").and_then(|id| id.parse().ok()) else {
        return error(StatusCode::BAD_REQUEST, "`id` must be a whole number");
    };
    match origin.shop().cache.find::<User>(id).await {
        Ok(Some(user)) => {
            let mut response = item::show_found(Kind::User, id, &user, &headers);
            let cache_control = HeaderValue::from_static("private, max-age=60");
            response.headers_mut().insert(header::CACHE_CONTROL, cache_control);
            response
        }
        Ok(None) => error(StatusCode::NOT_FOUND, "there is no such user"),
        Err(failure) => Problem::from(&*failure).into_response(),
    }
}

/// A text for the region that the edge names.
pub(crate) async fn content(headers: HeaderMap) -> Response {
    let asked = headers.get("x-region").and_then(|region| region.to_str().ok()).unwrap_or_default();
    let own = HEADLINES.iter().find(|(region, _)| *region == asked);
    let (region, headline) = own.unwrap_or(&("global", "Free shipping worldwide"));
    let caching = [
        (header::CACHE_CONTROL, "public, max-age=60"),
        (header::VARY, "X-Region"),
        (SURROGATE_KEY, "content"),
    ];
    (caching, Json(json!({ "region": region, "headline": headline }))).into_response()
}

/// What reached the origin, repeated headers in their order.
pub(crate) async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let pairs =
        headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let echoed = json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": pairs.collect::<Vec<_>>(),
        "body_bytes": body.len(),
        "body": String::from_utf8_lossy(&body[..body.len().min(MAX_ECHO_BYTES)]),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(echoed)).into_response()
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}
