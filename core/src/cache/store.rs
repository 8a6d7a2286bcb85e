//! May this response be stored?

use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::control::{CacheControl, FieldScope};
use super::lifetime::{Lifetimes, OriginDirectives};
use super::rule::{AuthorizationRule, CacheRule, SetCookieRule, Storing};
use super::vary::Vary;
use super::{range, validation};
use crate::time::Timestamp;

/// Whether a response may be stored, and for how long or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storability {
    /// It may, with these lifetimes.
    Store(Lifetimes),
    /// It may not.
    Refuse(NoStoreReason),
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NoStoreReason {
    /// The policy says so.
    Rule,
    /// Only responses to `GET` are stored, and those to `POST` that say that they are what a `GET` would bring.
    Method,
    /// The request has `no-store`.
    RequestNoStore,
    /// The response is a part of a representation, and does not say clearly which.
    PartialContent,
    /// The status is not final, or answers one client's precondition.
    Status,
    /// `must-understand` with a status that this cache does not know.
    MustUnderstand,
    /// The response has `no-store`.
    NoStore,
    /// The response has `private`.
    Private,
    /// The response has `no-cache`, and nothing by which it could be validated.
    NoCache,
    /// The request has `Authorization` and the response does not allow storing it.
    Authorization,
    /// The response sets a cookie.
    SetCookie,
    /// The response varies by more than the request's headers.
    VaryStar,
    /// The response varies by more headers than the cache follows.
    VaryTooLong,
    /// Neither origin nor policy gives a lifetime.
    NoLifetime,
    /// The lifetime is zero or was over at the arrival, no stale use is allowed, and nothing is there by which it could be validated.
    ZeroLifetime,
    /// The path is that of a file of one kind and the response is a page: see [`deception`](super::deception).
    Deception,
    /// The request has a header that could have changed the response and is not of its key: see [`poisoning`](super::poisoning).
    UnkeyedHeader,
}

/// Decides whether the response to a request may be stored,
/// [RFC 9111 section 3](https://www.rfc-editor.org/rfc/rfc9111#section-3).
///
/// Statuses: every final one of which the origin gives a lifetime, but for 304 (part of a response), 412 and 416
/// (answers to one client's precondition), and 206 without one valid `Content-Range`. The policy's lifetimes concern
/// fewer, see [`CacheRule::edge`] and [`CacheRule::negative`].
///
/// What has no useful lifetime is stored where it has a validator, `no-cache` included; it answers nothing before the origin
/// has confirmed it. Where `no-cache` or `private` names fields, the response is stored without them
/// ([section 5.2.2.4](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.4) and
/// [5.2.2.7](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.7)). A request with
/// `no-store` is obeyed. `now` is when the response arrived; only `Expires` and heuristics without `Date` need it.
///
/// # Examples
/// ```
/// use http::{HeaderMap, Method, StatusCode};
/// use selvedge_core::cache::{rule::CacheRule, store::{NoStoreReason, Storability, storability}};
/// use selvedge_core::time::Timestamp;
///
/// let mut response = HeaderMap::new();
/// response.insert("cache-control", "private, max-age=60".parse().unwrap());
/// let decision = storability(&Method::GET, &HeaderMap::new(), StatusCode::OK, &response,
///     &CacheRule::default(), Timestamp::default());
/// assert_eq!(decision, Storability::Refuse(NoStoreReason::Private));
/// ```
#[must_use]
pub fn storability(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    rule: &CacheRule,
    now: Timestamp,
) -> Storability {
    let origin = OriginDirectives::read(response);
    let refusal = refuse_request(method, request, rule)
        .or_else(|| refuse_status(status, response, &origin.control))
        .or_else(|| refuse_directives(status, response, &origin.control))
        .or_else(|| refuse_fields(request, response, rule, &origin.control));
    if let Some(reason) = refusal {
        return Storability::Refuse(reason);
    }
    match origin.lifetimes(status, response, rule, now) {
        None => Storability::Refuse(NoStoreReason::NoLifetime),
        Some(lifetimes) if lifetimes.useful().is_zero() && !validation::has_validator(response) => {
            Storability::Refuse(NoStoreReason::ZeroLifetime)
        }
        Some(lifetimes) => Storability::Store(lifetimes),
    }
}

impl NoStoreReason {
    /// Returns the stable name that `Cache-Status` and logs show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Method => "method",
            Self::RequestNoStore => "request-no-store",
            Self::PartialContent => "partial-content",
            Self::Status => "status",
            Self::MustUnderstand => "must-understand",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::NoCache => "no-cache",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryStar => "vary-star",
            Self::VaryTooLong => "vary-too-long",
            Self::NoLifetime => "no-lifetime",
            Self::ZeroLifetime => "zero-lifetime",
            Self::Deception => "deception",
            Self::UnkeyedHeader => "unkeyed-header",
        }
    }
}

/// Returns whether directives of a response name fields that are left out of what is stored of it.
#[must_use]
pub(crate) fn names_fields(response: &HeaderMap) -> bool {
    let control = OriginDirectives::read(response).control;
    !control.private.fields().is_empty() || !control.no_cache.fields().is_empty()
}

fn refuse_request(method: &Method, request: &HeaderMap, rule: &CacheRule) -> Option<NoStoreReason> {
    if rule.store == Storing::Never {
        Some(NoStoreReason::Rule)
    } else if method != Method::GET {
        Some(NoStoreReason::Method)
    } else if CacheControl::parse(request).no_store {
        Some(NoStoreReason::RequestNoStore)
    } else {
        None
    }
}

fn refuse_status(status: StatusCode, response: &HeaderMap, control: &CacheControl) -> Option<NoStoreReason> {
    match status.as_u16() {
        206 if range::content_range(response).is_none() => Some(NoStoreReason::PartialContent),
        304 | 412 | 416 => Some(NoStoreReason::Status),
        200..=599 if control.must_understand && !is_understood(status) => Some(NoStoreReason::MustUnderstand),
        200..=599 => None,
        _ => Some(NoStoreReason::Status),
    }
}

fn refuse_directives(
    status: StatusCode,
    response: &HeaderMap,
    control: &CacheControl,
) -> Option<NoStoreReason> {
    // RFC 9111 section 5.2.2.3: must-understand takes no-store back for caches that know the status.
    let is_no_store = control.no_store && !(control.must_understand && is_understood(status));
    if is_no_store {
        Some(NoStoreReason::NoStore)
    } else if control.private == FieldScope::Whole {
        Some(NoStoreReason::Private)
    } else if control.no_cache == FieldScope::Whole && !validation::has_validator(response) {
        Some(NoStoreReason::NoCache)
    } else {
        None
    }
}

fn refuse_fields(
    request: &HeaderMap,
    response: &HeaderMap,
    rule: &CacheRule,
    control: &CacheControl,
) -> Option<NoStoreReason> {
    let is_authorized = request.contains_key(header::AUTHORIZATION);
    let is_allowed = control.public || control.must_revalidate || control.s_maxage.is_some();
    if is_authorized && !is_allowed && rule.authorization == AuthorizationRule::Refuse {
        return Some(NoStoreReason::Authorization);
    }
    // Where a directive names the field, the origin itself says to store the rest.
    let names_cookie = |scope: &FieldScope| scope.fields().contains(&header::SET_COOKIE);
    let is_left_out = names_cookie(&control.private) || names_cookie(&control.no_cache);
    let is_refused = rule.set_cookie == SetCookieRule::Refuse && !is_left_out;
    if response.contains_key(header::SET_COOKIE) && is_refused {
        return Some(NoStoreReason::SetCookie);
    }
    match Vary::parse(response) {
        Vary::Any => Some(NoStoreReason::VaryStar),
        Vary::TooLong => Some(NoStoreReason::VaryTooLong),
        Vary::Names(_) => None,
    }
}

/// Returns whether this cache knows what the status asks of caches: those of
/// [RFC 9110 section 15](https://www.rfc-editor.org/rfc/rfc9110#section-15) that ask for nothing special.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203
            | 204
            | 206
            | 300
            | 301
            | 302
            | 303
            | 307
            | 308
            | 400
            | 403
            | 404
            | 405
            | 410
            | 414
            | 451
            | 500..=504
    )
}

#[cfg(test)]
mod tests;
