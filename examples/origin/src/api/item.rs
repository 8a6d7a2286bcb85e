//! `/api/users/{id}` and `/api/products/{id}`: one record.

use std::future::Future;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;

use super::key;
use crate::Origin;
use crate::conditional::{Precondition, SURROGATE_KEY, if_match, is_unchanged};
use crate::idempotency::Attempt;
use crate::problem::Problem;
use crate::resource::{Key, Kind, Representation, Resource};
use crate::shop::{Deletion, Replacement};
use crate::trace;

/// Answers with the record, or that the client has it.
pub(crate) async fn show<T: Resource>(
    State(origin): State<Origin>,
    id: Result<Path<i64>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = read_id(id)?;
    let found = origin.shop().cache.find::<T>(id).await.map_err(|error| Problem::from(&*error))?;
    let found = found.ok_or_else(|| absent(T::KIND))?;
    Ok(show_found(T::KIND, id, &found, &headers))
}

/// Answers with a record that is there, or that the client has it.
pub(super) fn show_found(kind: Kind, id: i64, found: &Representation, request: &HeaderMap) -> Response {
    let etag = found.etag.to_str().unwrap_or_default();
    if is_unchanged(etag, Some(found.modified()), request) {
        let mut response = answer(kind, id, found, StatusCode::NOT_MODIFIED);
        response.headers_mut().remove(header::CONTENT_TYPE);
        *response.body_mut() = axum::body::Body::empty();
        return response;
    }
    answer(kind, id, found, StatusCode::OK)
}

/// Replaces the record that the client has seen.
pub(crate) async fn replace<T: Resource>(
    State(origin): State<Origin>,
    id: Result<Path<i64>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let id = read_id(id)?;
    let (item, body) = read::<T>(&headers, body)?;
    let keyed = key::read(&headers, &action("PUT", T::KIND, id), &body)?;
    let entered = key::enter(&origin, keyed.as_ref())?;
    // What a key has done holds, whatever version there is by then.
    match origin.shop().earlier(keyed.as_ref()).await? {
        Attempt::First => {}
        Attempt::Answered { sent, .. } => return Ok(answer(T::KIND, id, &sent, StatusCode::OK)),
        Attempt::Other => return Err(key::reused()),
    }
    let version = seen_version::<T>(&origin, id, &headers).await?;
    let cause = trace::cause(&headers);
    let replaced = run_to_end(async move {
        let _entered = entered;
        origin.shop().replace(id, version, item, keyed, cause).await
    });
    match replaced.await? {
        Replacement::Replaced(sent) => Ok(answer(T::KIND, id, &sent, StatusCode::OK)),
        Replacement::Outpaced => Err(outpaced()),
        Replacement::KeyReused => Err(key::reused()),
    }
}

/// Deletes the record that the client has seen.
pub(crate) async fn delete<T: Resource>(
    State(origin): State<Origin>,
    id: Result<Path<i64>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = read_id(id)?;
    let keyed = key::read(&headers, &action("DELETE", T::KIND, id), &[])?;
    let entered = key::enter(&origin, keyed.as_ref())?;
    match origin.shop().earlier(keyed.as_ref()).await? {
        Attempt::First => {}
        Attempt::Answered { .. } => return Ok(StatusCode::NO_CONTENT.into_response()),
        Attempt::Other => return Err(key::reused()),
    }
    let version = seen_version::<T>(&origin, id, &headers).await?;
    let cause = trace::cause(&headers);
    let deleted = run_to_end(async move {
        let _entered = entered;
        origin.shop().delete::<T>(id, version, keyed, cause).await
    });
    match deleted.await? {
        Deletion::Deleted => Ok(StatusCode::NO_CONTENT.into_response()),
        Deletion::Outpaced => Err(outpaced()),
        Deletion::KeyReused => Err(key::reused()),
    }
}

/// What a key is for: a change of one record.
fn action(method: &str, kind: Kind, id: i64) -> String {
    format!("{method} {}/{id}", kind.all())
}

/// Carries a change out even when the client leaves: whoever begins one must also see to the caches.
pub(super) async fn run_to_end<T: Send + 'static>(
    change: impl Future<Output = sqlx::Result<T>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(change.in_current_span()).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the change ended early")),
    }
}

/// Returns the version that `If-Match` names, which must be the one there is.
async fn seen_version<T: Resource>(origin: &Origin, id: i64, headers: &HeaderMap) -> Result<i64, Problem> {
    if !headers.contains_key(header::IF_MATCH) {
        let detail = "name the version that is meant with `If-Match`";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, detail));
    }
    let current = origin.shop().database.find::<T>(id).await?.ok_or_else(|| absent(T::KIND))?.represent();
    match if_match(current.etag.as_bytes(), headers) {
        Precondition::Holds => Ok(current.version),
        Precondition::Fails => Err(outpaced()),
    }
}

/// Reads a record from a request's body.
pub(super) fn read<T: Resource>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(T, Bytes), Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
    }
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let item: T = serde_json::from_slice(&body).map_err(|error| match error.is_data() {
        true => Problem::unprocessable(error.to_string()),
        false => Problem::bad_request(format!("the body is no JSON: {error}")),
    })?;
    match item.fault() {
        Some(fault) => Err(Problem::unprocessable(fault)),
        None => Ok((item, body)),
    }
}

/// Answers with a record and what is said of it.
pub(super) fn answer(kind: Kind, id: i64, sent: &Representation, status: StatusCode) -> Response {
    let tag = Key { kind, id }.tag();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static(kind.cache_control())),
        (header::ETAG, sent.etag.clone()),
        (header::LAST_MODIFIED, sent.last_modified.clone()),
        (SURROGATE_KEY, HeaderValue::from_str(&tag).expect("a word and digits are visible ASCII")),
    ];
    (status, headers, sent.body.clone()).into_response()
}

fn read_id(id: Result<Path<i64>, PathRejection>) -> Result<i64, Problem> {
    id.map(|Path(id)| id).map_err(|_| Problem::bad_request("an id is a whole number"))
}

fn absent(kind: Kind) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no such {}", kind.one()))
}

fn outpaced() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "the record is not of the version that `If-Match` names")
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::run_to_end;

    #[tokio::test]
    async fn a_change_goes_on_when_its_client_leaves() {
        let (begin, begun) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let client = tokio::spawn(run_to_end(async move { Ok(begun.await.is_ok() && end.send(()).is_ok()) }));
        tokio::task::yield_now().await;
        client.abort();
        assert!(client.await.is_err_and(|error| error.is_cancelled()), "the client has left");
        begin.send(()).expect("the change waits");
        ended.await.expect("the change goes on");
    }
}
