//! CloudFront's cache: what it keeps, for how long, and what of it it sends.
//!
//! The cache policy has a minimum and default TTL of 0, so that only what says so is kept:
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Expiration.html>

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use moka::sync::Cache;
use selvedge_cloudfront::event::Request;
use selvedge_cloudfront::policy::distribution::Distribution;
use selvedge_core::body::Body;
use selvedge_core::cache::control::{CacheControl, FieldScope};
use selvedge_core::cache::vary::Vary;
use selvedge_core::facts::Facts;
use selvedge_core::time::Timestamp;

use super::{facts, request};

/// The cache policy's maximum TTL.
const MAX_TTL: Duration = Duration::from_secs(31_536_000);
/// What an entry takes beside its key and its content.
const ENTRY_BYTES: usize = 512;

/// Responses by key, bounded by their bytes.
///
/// DIFFERENCE: a response is kept until there is no room for it, as CloudFront may serve it after its time when the
/// origin fails; when CloudFront drops one is not documented.
#[derive(Clone, Debug)]
pub(super) struct Responses {
    cache: Cache<String, Arc<Stored>>,
    /// Keys of what is being fetched behind an answer.
    revalidating: Arc<Mutex<BTreeSet<String>>>,
}

/// What is fetched behind an answer, until it is dropped.
#[derive(Debug)]
pub(super) struct Revalidating {
    key: String,
    among: Arc<Mutex<BTreeSet<String>>>,
}

/// A response that CloudFront keeps.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) head: Head,
    pub(super) body: Bytes,
}

/// The head of a response that CloudFront keeps.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    arrived: Timestamp,
    /// How old it was then.
    age: Duration,
    /// How long it is fresh from then.
    fresh: Duration,
    stale_while_revalidate: Duration,
    /// `None` when the response does not say.
    stale_if_error: Option<Duration>,
}

/// What a kept response is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It answers.
    Fresh,
    /// It answers, and is fetched anew behind the answer.
    StaleWhileRevalidate,
    /// It answers when the origin fails.
    StaleIfError,
    /// It can be revalidated.
    Stale,
}

impl Responses {
    /// An empty cache of at most `max_bytes`.
    pub(super) fn new(max_bytes: u64) -> Self {
        let weigh = |key: &String, stored: &Arc<Stored>| {
            let headers: usize =
                stored.head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            u32::try_from(ENTRY_BYTES + key.len() + headers + stored.body.len()).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(max_bytes).weigher(weigh).build();
        Self { cache, revalidating: Arc::default() }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        let other = || self.cache.get(key.get.as_deref()?);
        self.cache.get(&key.own).or_else(other)
    }

    pub(super) fn put(&self, key: &Key, head: Head, body: Bytes) {
        self.cache.insert(key.own.clone(), Arc::new(Stored { head, body }));
    }
}

impl Responses {
    /// Lets one request at a time fetch a response behind an answer; `None` while another one does.
    pub(super) fn revalidate(&self, key: &Key) -> Option<Revalidating> {
        let is_first = lock(&self.revalidating).insert(key.own.clone());
        is_first.then(|| Revalidating { key: key.own.clone(), among: Arc::clone(&self.revalidating) })
    }
}

impl Drop for Revalidating {
    fn drop(&mut self) {
        lock(&self.among).remove(&self.key);
    }
}

/// A set of keys is whole whatever panicked beside it.
fn lock(keys: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What responses are kept under.
#[derive(Clone, Debug)]
pub(super) struct Key {
    own: String,
    /// The key of the `GET` whose response also answers a `HEAD`.
    get: Option<String>,
}

impl Key {
    /// The key of a request as viewer-request left it; `None` when its method has no cache.
    ///
    /// The distribution's host is the same for all of them. Headers that CloudFront makes come from what it knows and
    /// never from the client.
    pub(super) fn of(head: &Request, distribution: &Distribution, facts: &Facts) -> Option<Self> {
        let is_head = head.method == Method::HEAD.as_str();
        if !is_head && head.method != Method::GET.as_str() {
            return None;
        }
        let values: Vec<_> = distribution
            .cache_key_headers
            .iter()
            .map(|name| match facts::is_made(name) {
                true => facts::value(name, facts).into_iter().collect(),
                false => head.headers.get_all(name).map(str::to_owned).collect::<Vec<_>>(),
            })
            .collect();
        let encoding = request::accept_encoding(&head.headers);
        let key = |method: &str| serde_json::json!([method, head.uri, encoding, values]).to_string();
        let get = is_head.then(|| key("GET"));
        Some(Self { own: key(&head.method), get })
    }
}

impl Head {
    /// The head of a response that may be kept; `None` when it may not.
    pub(super) fn of(response: &Response<Body>, now: Timestamp) -> Option<Self> {
        let headers = response.headers();
        let control = CacheControl::parse(headers);
        let forbidden = control.no_store
            || control.private != FieldScope::Absent
            || control.no_cache != FieldScope::Absent;
        if !is_kept(response.status()) || forbidden || Vary::parse(headers) == Vary::Any {
            return None;
        }
        let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok());
        let age = Duration::from_secs(age.unwrap_or(0));
        let lifetime = match control.shared_lifetime() {
            Some(lifetime) => lifetime.saturating_sub(age),
            None => expires(headers)?.saturating_since(now),
        };
        let fresh = lifetime.min(MAX_TTL);
        let may_be_stale = !control.must_revalidate && !control.proxy_revalidate;
        let limited =
            |stale: Option<Duration>| stale.filter(|_| may_be_stale).map(|stale| stale.min(MAX_TTL));
        let stale_while_revalidate = limited(control.stale_while_revalidate).unwrap_or_default();
        let stale_if_error =
            if may_be_stale { limited(control.stale_if_error) } else { Some(Duration::ZERO) };
        if fresh.max(stale_while_revalidate).max(stale_if_error.unwrap_or_default()).is_zero() {
            return None;
        }
        let (status, mut headers) = (response.status(), headers.clone());
        headers.remove(header::AGE);
        Some(Self { status, headers, arrived: now, age, fresh, stale_while_revalidate, stale_if_error })
    }

    pub(super) fn state(&self, now: Timestamp) -> State {
        let elapsed = now.saturating_since(self.arrived);
        let Some(stale_for) = elapsed.checked_sub(self.fresh) else { return State::Fresh };
        if stale_for < self.stale_while_revalidate {
            State::StaleWhileRevalidate
        } else if self.stale_if_error.is_none_or(|time| stale_for < time) {
            // Without the directive CloudFront serves the expired response for as long as it has it:
            // https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html
            State::StaleIfError
        } else {
            State::Stale
        }
    }

    /// The headers that ask the origin whether this is still the response.
    pub(super) fn validators(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let pairs = [("If-None-Match", header::ETAG), ("If-Modified-Since", header::LAST_MODIFIED)];
        pairs.into_iter().filter_map(|(key, name)| Some((key, self.headers.get(name)?.to_str().ok()?)))
    }

    /// This head after a 304, [RFC 9111 section 4.3.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4).
    pub(super) fn refreshed(&self, not_modified: &HeaderMap) -> HeaderMap {
        let mut headers = self.headers.clone();
        let changed = |name: &&HeaderName| {
            !name.as_str().starts_with("content-") && **name != header::TRANSFER_ENCODING
        };
        for name in not_modified.keys().filter(changed) {
            headers.remove(name);
            for value in not_modified.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        headers
    }
}

impl Stored {
    /// The response to a request, `Age` included.
    pub(super) fn answer(&self, request: &Request, now: Timestamp) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = self.head.status;
        response.headers_mut().clone_from(&self.head.headers);
        let age = self.head.age + now.saturating_since(self.head.arrived);
        response.headers_mut().insert(header::AGE, HeaderValue::from(age.as_secs()));
        if self.head.status == StatusCode::OK && self.is_known_to_client(request) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(header::CONTENT_LENGTH);
            return response;
        }
        if self.head.status == StatusCode::OK
            && request.method == Method::GET.as_str()
            && let Some(range) = self.range(request)
        {
            self.cut(&mut response, range);
            return response;
        }
        *response.body_mut() = Body::from(self.body.clone());
        response
    }

    /// [RFC 9110 section 13.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2)
    fn is_known_to_client(&self, request: &Request) -> bool {
        let own = |name: HeaderName| self.head.headers.get(name)?.to_str().ok();
        if request.headers.contains("if-none-match") {
            let Some(tag) = own(header::ETAG) else { return false };
            let mut tags = request.headers.get_all("if-none-match").flat_map(|value| value.split(','));
            return tags.any(|other| other.trim() == "*" || weak(other.trim()) == weak(tag));
        }
        let since = request.headers.first("if-modified-since").and_then(Timestamp::from_http_date);
        let modified = own(header::LAST_MODIFIED).and_then(Timestamp::from_http_date);
        since.zip(modified).is_some_and(|(since, modified)| modified <= since)
    }

    /// The one range of bytes that the client asks for, as far as it is there; `Err` when none of it is.
    ///
    /// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/RangeGETs.html>
    fn range(&self, request: &Request) -> Option<Result<(usize, usize), ()>> {
        if let Some(condition) = request.headers.first("if-range") {
            let names = [header::ETAG, header::LAST_MODIFIED];
            let is_same = |name| self.head.headers.get(name).is_some_and(|own| own == condition);
            if condition.starts_with("W/") || !names.into_iter().any(is_same) {
                return None;
            }
        }
        let (first, last) = request.headers.first("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last, length) = (number(first)?, number(last)?, self.body.len());
        let (first, end) = match (first, last) {
            (Some(first), Some(last)) if last < first => return None,
            (Some(first), last) => (first, last.map_or(length, |last| last.saturating_add(1).min(length))),
            (None, Some(count)) => (length.saturating_sub(count), length),
            (None, None) => return None,
        };
        Some(if first < end { Ok((first, end)) } else { Err(()) })
    }

    fn cut(&self, response: &mut Response<Body>, range: Result<(usize, usize), ()>) {
        let length = self.body.len();
        let (status, content_range, body) = match range {
            Ok((first, end)) => {
                let range = format!("bytes {first}-{}/{length}", end - 1);
                (StatusCode::PARTIAL_CONTENT, range, Body::from(self.body.slice(first..end)))
            }
            Err(()) => (StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{length}"), Body::Empty),
        };
        *response.status_mut() = status;
        let value = HeaderValue::try_from(content_range).expect("digits make a header's value");
        response.headers_mut().insert(header::CONTENT_RANGE, value);
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len().unwrap_or(0)));
        *response.body_mut() = body;
    }
}

/// Statuses that are kept by the response's own headers; of errors
/// [those that AWS lists](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html#HTTPStatusCodes-cached-errors).
///
/// DIFFERENCE: CloudFront also keeps parts of a response, which the local edge fetches each time.
fn is_kept(status: StatusCode) -> bool {
    match status.as_u16() {
        206 | 304 => false,
        200..400 => true,
        status => matches!(status, 400 | 403..=405 | 410 | 412 | 414 | 415 | 500..=504),
    }
}

fn expires(headers: &HeaderMap) -> Option<Timestamp> {
    headers.get(header::EXPIRES)?.to_str().ok().and_then(Timestamp::from_http_date)
}

fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The number before or after the dash of a range, which may be absent; `None` when it is something else.
#[expect(clippy::option_option, reason = "absent is something else than wrong")]
fn number(text: &str) -> Option<Option<usize>> {
    if text.trim().is_empty() { Some(None) } else { text.trim().parse().ok().map(Some) }
}
