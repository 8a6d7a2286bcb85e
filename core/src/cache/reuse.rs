//! May a stored response answer this request, and with which head?

use std::io::Write as _;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::control::{CacheControl, FieldScope, MAX_DELTA_SECONDS};
use super::directive::members;
use super::lifetime::date_value;
use super::stored::StoredResponse;
use super::validation::{http_date, opaque};
use super::vary::{Selection, matches};
use crate::time::Timestamp;

/// Letters of the greatest number.
const MAX_DIGITS: usize = 20;

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
    /// It is stale and answers because the client asked for a stale one.
    StaleWanted {
        /// How long it has been stale.
        stale_for: Duration,
    },
    /// It is stale and may not answer.
    Stale,
    /// The client wants one from the origin, or a fresher one.
    Unwanted,
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
/// What the client's own directives add is [`asked`]'s.
#[must_use]
pub fn reuse(stored: &StoredResponse, request: &HeaderMap, now: Timestamp) -> Reuse {
    match matches(stored.vary(), request) {
        Selection::Matches => by_age(stored, now),
        Selection::Differs => Reuse::VaryMismatch,
    }
}

/// Applies a client's `no-cache`, `max-age`, `min-fresh` and `max-stale`, and `Pragma` where there is no `Cache-Control`, to what was decided
/// without them, [RFC 9111 section 5.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1) and
/// [5.4](https://www.rfc-editor.org/rfc/rfc9111#section-5.4).
///
/// [`Reuse::Unwanted`] takes the place of an answer that the client does not want, and [`Reuse::StaleWanted`] that of a refusal that it
/// takes back.
#[must_use]
pub fn asked(stored: &StoredResponse, request: &HeaderMap, now: Timestamp) -> Reuse {
    let decided = by_age(stored, now);
    if !request.contains_key(header::CACHE_CONTROL) {
        return if has_pragma_no_cache(request) { Reuse::Unwanted } else { decided };
    }
    let control = CacheControl::parse(request);
    let is_too_old = control.max_age.is_some_and(|most| stored.age(now) > most);
    if control.no_cache != FieldScope::Absent || (is_too_old && control.max_stale.is_none()) {
        return Reuse::Unwanted;
    }
    match decided {
        Reuse::Fresh { ttl } if control.min_fresh.is_some_and(|least| ttl < least) => Reuse::Unwanted,
        // Sections 5.2.1.1 and 5.2.1.3: who names an age or a freshness wishes nothing stale, unless it says so.
        Reuse::StaleWhileRevalidate { .. }
            if control.max_stale.is_none() && (control.max_age.is_some() || control.min_fresh.is_some()) =>
        {
            Reuse::Unwanted
        }
        Reuse::StaleIfErrorOnly { .. } | Reuse::Stale => {
            let stale_for = stored.age(now).saturating_sub(stored.lifetimes().fresh);
            let is_wanted = control.max_stale.is_some_and(|most| stale_for <= most);
            if is_wanted && stored.may_be_stale() { Reuse::StaleWanted { stale_for } } else { decided }
        }
        Reuse::Fresh { .. }
        | Reuse::StaleWhileRevalidate { .. }
        | Reuse::StaleWanted { .. }
        | Reuse::Unwanted
        | Reuse::VaryMismatch => decided,
    }
}

fn has_pragma_no_cache(request: &HeaderMap) -> bool {
    let mut lines = request.get_all(header::PRAGMA).iter();
    lines.any(|line| members(line.as_bytes()).any(|member| member.eq_ignore_ascii_case(b"no-cache")))
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
    let (mut response, headers) = (Response::new(()), stored.headers());
    if is_not_modified(stored.status(), &headers, stored.date(), request) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = not_modified_headers(&headers);
    } else {
        *response.status_mut() = stored.status();
        *response.headers_mut() = headers;
    }
    let age = stored.age(now).as_secs().min(MAX_DELTA_SECONDS);
    response.headers_mut().insert(header::AGE, digits(age));
    response
}

/// A number as a field value, in one piece of memory where `HeaderValue::from` takes two.
fn digits(number: u64) -> HeaderValue {
    let mut buffer = [0; MAX_DIGITS];
    let mut rest = &mut buffer[..];
    write!(rest, "{number}").expect("no number is longer");
    let length = MAX_DIGITS - rest.len();
    HeaderValue::from_bytes(&buffer[..length]).expect("digits make a field value")
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

/// Makes a 304 of a response that came from the origin when the client's precondition says that it has the same one.
pub fn make_conditional<B>(response: &mut Response<B>, request: &HeaderMap, now: Timestamp) -> bool {
    let date = date_value(response.headers()).unwrap_or(now);
    let is_same = is_not_modified(response.status(), response.headers(), date, request);
    if is_same {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = not_modified_headers(response.headers());
    }
    is_same
}

/// Evaluates the client's precondition,
/// [RFC 9111 section 4.3.2](https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2).
fn is_not_modified(status: StatusCode, response: &HeaderMap, date: Timestamp, request: &HeaderMap) -> bool {
    // RFC 9110 section 13.2.1: preconditions count only where the answer would be a success.
    if !status.is_success() {
        return false;
    }
    if request.contains_key(header::IF_NONE_MATCH) {
        lists_etag(request, response.get(header::ETAG))
    } else {
        is_unmodified(response, date, request)
    }
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

/// Compares `If-Modified-Since` with `Last-Modified`, else with `Date`. More than one line is ignored,
/// and so is what is no date.
fn is_unmodified(response: &HeaderMap, date: Timestamp, request: &HeaderMap) -> bool {
    let mut lines = request.get_all(header::IF_MODIFIED_SINCE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Some(since) = http_date(line) else { return false };
    let modified = response.get(header::LAST_MODIFIED).and_then(http_date);
    modified.unwrap_or(date) <= since
}

static NOT_MODIFIED_FIELDS: [HeaderName; 7] = [
    // RFC 9111 section 4.2.3: without it the client would take a response that a cache on the way kept for a new one.
    header::AGE,
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
