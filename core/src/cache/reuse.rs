//! May a stored response answer this request, and with which head?

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::control::{CacheControl, MAX_DELTA_SECONDS};
use super::stored::StoredResponse;
use super::vary::{Selection, matches};
use crate::time::Timestamp;

/// What a stored response is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It is fresh and answers.
    Fresh {
        /// How long it stays fresh; never zero.
        ttl: Duration,
    },
    /// It is stale and answers while it is fetched anew.
    StaleWhileRevalidate {
        /// How long it has been stale.
        stale_for: Duration,
    },
    /// It is stale and answers only when the backend fails.
    StaleIfErrorOnly {
        /// How long it has been stale.
        stale_for: Duration,
    },
    /// It is stale and may not answer.
    Stale,
    /// It was selected by other request headers.
    VaryMismatch,
}

/// What to do for a request that no stored response answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMiss {
    /// Ask the origin.
    Forward,
    /// Answer 504: the request has `only-if-cached`,
    /// [RFC 9111 section 5.2.1.7](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.7).
    GatewayTimeout,
}

/// Decides whether a stored response may answer a request of its key,
/// [RFC 9111 section 4](https://www.rfc-editor.org/rfc/rfc9111#section-4).
///
/// For `GET` and `HEAD`. Where a directive forbids stale use
/// ([section 4.2.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4)) the stored lifetimes
/// leave no time for it.
///
/// DIFFERENCE: `no-cache`, `max-age`, `min-fresh` and `max-stale` of the request and `Pragma` do not count.
/// [Section 5.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1) makes them advice, and an edge that
/// took it would let any client send all its requests to the origin.
#[must_use]
pub fn reuse(stored: &StoredResponse, request: &HeaderMap, now: Timestamp) -> Reuse {
    match matches(stored.vary(), request) {
        Selection::Matches => by_age(stored, now),
        Selection::Differs => Reuse::VaryMismatch,
    }
}

/// Decides what a request without a usable stored response gets.
#[must_use]
pub fn on_miss(request: &HeaderMap) -> OnMiss {
    if request.contains_key(header::CACHE_CONTROL) && CacheControl::parse(request).only_if_cached {
        OnMiss::GatewayTimeout
    } else {
        OnMiss::Forward
    }
}

/// Makes the head that answers a request from a stored response.
///
/// It has `Age` ([RFC 9111 section 5.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.1)). When the
/// client's precondition says that it has the same response, the status is 304 and only the fields of
/// [RFC 9110 section 15.4.5](https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5) are there;
/// such an answer has no body.
#[must_use]
pub fn serve(stored: &StoredResponse, request: &HeaderMap, now: Timestamp) -> Response<()> {
    let mut response = Response::new(());
    match precondition(stored, request) {
        Precondition::Send => {
            *response.status_mut() = stored.status();
            response.headers_mut().clone_from(stored.headers());
        }
        Precondition::NotModified => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = not_modified_headers(stored.headers());
        }
    }
    let age = stored.age(now).as_secs().min(MAX_DELTA_SECONDS);
    response.headers_mut().insert(header::AGE, HeaderValue::from(age));
    response
}

/// Decides by age alone, for a stored response that is known to be selected.
#[must_use]
pub fn by_age(stored: &StoredResponse, now: Timestamp) -> Reuse {
    let (age, lifetimes) = (stored.age(now), stored.lifetimes());
    if age < lifetimes.fresh {
        return Reuse::Fresh { ttl: lifetimes.fresh - age };
    }
    let stale_for = age - lifetimes.fresh;
    if stale_for < lifetimes.stale_while_revalidate {
        Reuse::StaleWhileRevalidate { stale_for }
    } else if stale_for < lifetimes.stale_if_error {
        Reuse::StaleIfErrorOnly { stale_for }
    } else {
        Reuse::Stale
    }
}

enum Precondition {
    Send,
    NotModified,
}

/// Evaluates the client's precondition,
/// [RFC 9111 section 4.3.2](https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2).
fn precondition(stored: &StoredResponse, request: &HeaderMap) -> Precondition {
    // RFC 9110 section 13.2.1: preconditions count only where the answer would be a success.
    if !stored.status().is_success() {
        return Precondition::Send;
    }
    let is_same = if request.contains_key(header::IF_NONE_MATCH) {
        lists_etag(request, stored.headers().get(header::ETAG))
    } else {
        is_unmodified(stored, request)
    };
    if is_same { Precondition::NotModified } else { Precondition::Send }
}

/// Returns whether `If-None-Match` lists the entity tag by weak comparison, or is `*`,
/// [RFC 9110 section 13.1.2](https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2).
fn lists_etag(request: &HeaderMap, etag: Option<&HeaderValue>) -> bool {
    let etag = etag.map(|value| opaque(value.as_bytes()));
    let mut lines = request.get_all(header::IF_NONE_MATCH).iter().map(|line| line.as_bytes().trim_ascii());
    lines.any(|line| line == b"*" || etag.is_some_and(|etag| entity_tags(line).any(|listed| listed == etag)))
}

/// Walks the opaque tags of a list, quotes included; a comma may be part of a tag.
fn entity_tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let open = rest.iter().position(|&b| b == b'"')?;
        let close = open + 1 + rest[open + 1..].iter().position(|&b| b == b'"')?;
        let tag = &rest[open..=close];
        rest = &rest[close + 1..];
        Some(tag)
    })
}

fn opaque(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

/// Compares `If-Modified-Since` with `Last-Modified`, else with `Date`. More than one line is ignored,
/// and so is what is no date.
fn is_unmodified(stored: &StoredResponse, request: &HeaderMap) -> bool {
    let mut lines = request.get_all(header::IF_MODIFIED_SINCE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Some(since) = http_date(line) else { return false };
    let modified = stored.headers().get(header::LAST_MODIFIED).and_then(http_date);
    modified.unwrap_or(stored.date()) <= since
}

fn http_date(value: &HeaderValue) -> Option<Timestamp> {
    value.to_str().ok().and_then(Timestamp::from_http_date)
}

static NOT_MODIFIED_FIELDS: [HeaderName; 6] = [
    header::CONTENT_LOCATION,
    header::DATE,
    header::ETAG,
    header::VARY,
    header::CACHE_CONTROL,
    header::EXPIRES,
];

/// Keeps what guides the client's cache. `Last-Modified` does so only where there is no entity tag.
fn not_modified_headers(stored: &HeaderMap) -> HeaderMap {
    let is_kept = |name: &HeaderName| {
        NOT_MODIFIED_FIELDS.contains(name)
            || (*name == header::LAST_MODIFIED && !stored.contains_key(header::ETAG))
    };
    let kept = stored.iter().filter(|(name, _)| is_kept(name));
    let mut headers = HeaderMap::new();
    for (name, value) in kept {
        headers.append(name.clone(), value.clone());
    }
    headers
}

#[cfg(test)]
mod tests;
