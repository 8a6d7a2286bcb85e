//! `/api/users` and `/api/products`: lists by pages, and new records.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::item::{answer, read, run_to_end};
use super::key;
use crate::Origin;
use crate::conditional::{SURROGATE_KEY, is_unchanged};
use crate::cursor;
use crate::problem::Problem;
use crate::resource::{Kind, Resource, Sent};
use crate::shop::Creation;
use crate::trace;

/// Records of a page unless the client names another number.
const DEFAULT_LIMIT: i64 = 20;

/// Most records of a page.
const MAX_LIMIT: i64 = 100;

/// Which page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    limit: Option<i64>,
    after: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize)]
struct Listed<'a, T> {
    items: Vec<Sent<'a, T>>,
    next: Option<&'a str>,
}

/// Answers with the records after a cursor, and with the cursor of the next page if there is one.
pub(crate) async fn list<T: Resource>(
    State(origin): State<Origin>,
    page: Result<Query<Page>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(page) = page.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::bad_request(format!("`limit` must be from 1 to {MAX_LIMIT}")));
    }
    let after = match &page.after {
        None => i64::MIN,
        Some(cursor) => cursor::decode(T::KIND, cursor)
            .ok_or_else(|| Problem::bad_request("`after` must be a cursor of this list"))?,
    };
    // One more than asked for tells whether there is a next page.
    let mut records = origin.shop().database.list::<T>(after, limit + 1).await?;
    let has_next = records.len() as i64 > limit;
    records.truncate(usize::try_from(limit).unwrap_or_default());
    let last = records.last().filter(|_| has_next);
    let next = last.map(|last| cursor::encode(T::KIND, last.id));
    let listed = Listed { items: records.iter().map(Sent::from).collect(), next: next.as_deref() };
    let body = serde_json::to_vec(&listed).expect("plain fields are always JSON");
    Ok(answer_list(T::KIND, limit, next.as_deref(), body.into(), &headers))
}

fn answer_list(kind: Kind, limit: i64, next: Option<&str>, body: Bytes, request: &HeaderMap) -> Response {
    let mut headers = HeaderMap::new();
    let visible =
        |text: &str| HeaderValue::from_str(text).expect("words, digits and cursors are visible ASCII");
    let etag = weak_tag(&body);
    headers.insert(header::ETAG, visible(&etag));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kind.cache_control()));
    headers.insert(SURROGATE_KEY, HeaderValue::from_static(kind.all()));
    if let Some(next) = next {
        let link = format!("</api/{}?limit={limit}&after={next}>; rel=\"next\"", kind.all());
        headers.insert(header::LINK, visible(&link));
    }
    if is_unchanged(&etag, None, request) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (headers, body).into_response()
}

/// Weak, since the same records may be written otherwise by another build.
fn weak_tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

/// Adds a record and says where it is.
pub(crate) async fn create<T: Resource>(
    State(origin): State<Origin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (item, body) = read::<T>(&headers, body)?;
    let keyed = key::read(&headers, T::KIND.all(), &body)?;
    let entered = key::enter(&origin, keyed.as_ref())?;
    let cause = trace::cause(&headers);
    let created = run_to_end(async move {
        let _entered = entered;
        origin.shop().create(item, keyed, cause).await
    });
    match created.await? {
        Creation::Created { id, sent } => {
            let mut response = answer(T::KIND, id, &sent, StatusCode::CREATED);
            let location = format!("/api/{}/{id}", T::KIND.all());
            let location = HeaderValue::from_str(&location).expect("words and digits are visible ASCII");
            response.headers_mut().insert(header::LOCATION, location);
            Ok(response)
        }
        Creation::KeyReused => Err(key::reused()),
    }
}
