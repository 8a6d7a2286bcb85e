//! The API.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::Origin;

/// How much of a body `/api/echo` repeats, in bytes.
const MAX_ECHO_BYTES: usize = 64 * 1024;

/// Regions that have a text of their own.
const HEADLINES: [(&str, &str); 2] =
    [("us", "Free shipping coast to coast"), ("eu", "Free shipping across the Union")];

pub(crate) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(crate) async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "there is nothing here")
}

/// A user by id; personal, so no shared cache may keep it.
pub(crate) async fn user(
    State(origin): State<Origin>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(id) = query.get("id").and_then(|id| id.parse().ok()) else {
        return problem(StatusCode::BAD_REQUEST, "`id` must be a whole number");
    };
    match origin.database().user(id).await {
        Ok(Some(user)) => ([(header::CACHE_CONTROL, "private, max-age=60")], Json(user)).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, "there is no such user"),
        Err(error) => {
            tracing::error!(%error, "the database failed");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "the database failed")
        }
    }
}

/// A text for the region that the edge names.
pub(crate) async fn content(headers: HeaderMap) -> Response {
    let asked = headers.get("x-region").and_then(|region| region.to_str().ok()).unwrap_or_default();
    let own = HEADLINES.iter().find(|(region, _)| *region == asked);
    let (region, headline) = own.unwrap_or(&("global", "Free shipping worldwide"));
    let caching = [(header::CACHE_CONTROL, "public, max-age=60"), (header::VARY, "X-Region")];
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

fn problem(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}
