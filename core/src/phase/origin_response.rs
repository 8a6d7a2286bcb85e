//! The third phase: what came from a backend.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::viewer_request::plain;
use super::{Failure, OriginResponseOutcome};
use crate::backend::BackendId;
use crate::body::Body;
use crate::cache::deception::is_deceptive;
use crate::cache::poisoning;
use crate::cache::rule::SetCookieRule;
use crate::cache::store::{NoStoreReason, Storability, storability};
use crate::cache::stored::{Arrival, StoredResponse};
use crate::cache::vary::Vary;
use crate::effect::FetchError;
use crate::engine::Engine;
use crate::fallback::StaleAnswers;
use crate::headers::hop_by_hop;
use crate::headers::imitation::is_imitation;
use crate::reason::{Reason, Rule};
use crate::route::Route;
use crate::template::Encoding;
use crate::time::Timestamp;
use crate::transaction::Transaction;
use crate::values::RequestValues;

/// Whether a response goes to the store.
#[derive(Clone, Debug)]
pub enum Storing {
    /// It does, and is kept this long at most.
    Store(Arc<StoredResponse>, Duration),
    /// It does not.
    Refuse(NoStoreReason),
    /// The request does not use the cache.
    Bypass,
}

impl Engine {
    /// Decides what becomes of an attempt's result.
    ///
    /// `sent` is when the request left. Statuses 500, 502, 503 and 504 are failures
    /// ([RFC 5861 section 4](https://www.rfc-editor.org/rfc/rfc5861#section-4)); the next attempt is made after
    /// the latter three and after network failures, when the request can be repeated: its body is in
    /// memory and its method is idempotent ([RFC 9110 section 9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2)),
    /// or no connection was made.
    pub fn on_origin_response(
        &self,
        tx: &mut Transaction,
        result: Result<Response<Body>, FetchError>,
        sent: Timestamp,
        now: Timestamp,
    ) -> OriginResponseOutcome {
        let rule = tx.attempts.current().map_or(Rule::BuiltIn, |(backend, _)| Rule::Backend(backend));
        let waited = now.saturating_since(tx.attempts.asked);
        tx.attempts.waited = Some(tx.attempts.waited.map_or(waited, |earlier| earlier + waited));
        match result {
            Err(error @ FetchError::BodyTooLarge) => refuse(tx, error, 413, "Content too large", rule),
            Err(error @ FetchError::ClientBody) => refuse(tx, error, 400, "Bad request", rule),
            Err(error @ FetchError::ClientTimeout) => refuse(tx, error, 408, "Request timeout", rule),
            Err(error) => {
                tx.decide(Reason::BackendFailed(error), rule);
                retry_or(tx, error == FetchError::Connect, Failure::Error(error))
            }
            Ok(response) if is_failure(response.status()) => {
                tx.decide(Reason::BackendErrorStatus, rule);
                let response = Box::new(self.received(response));
                let storing = self.storing(tx, &response, sent, now);
                let failure = Failure::Response { response, storing };
                if is_unavailable(&failure) {
                    retry_or(tx, false, failure)
                } else {
                    OriginResponseOutcome::Fail(failure)
                }
            }
            Ok(response) => {
                tx.decide(Reason::BackendResponded, rule);
                let response = self.received(response);
                let storing = self.storing(tx, &response, sent, now);
                OriginResponseOutcome::Deliver(response, storing)
            }
        }
    }

    /// Returns what answers when every attempt failed and no stored response may.
    ///
    /// The policy's page answers for a network failure, a failed handler, and for 502,
    /// 503 and 504; a backend's own 500 page stays.
    #[must_use]
    pub fn on_failure(&self, tx: &mut Transaction, failure: Failure) -> Response<Body> {
        let page = self.policy().fallback.page.as_ref().filter(|_| is_unavailable(&failure));
        match (page, failure) {
            (Some(page), failure) => {
                tx.decide(Reason::FallbackPage, Rule::BuiltIn);
                with_retry_after(page.response(), &failure)
            }
            (None, Failure::Response { response, .. }) => *response,
            (None, Failure::Error(FetchError::Timeout)) => plain(504, "Gateway timeout"),
            (None, Failure::Error(_)) => plain(502, "Bad gateway"),
            (None, Failure::Handler) => plain(500, "Internal server error"),
            (None, failure @ Failure::Refused(_)) => {
                with_retry_after(plain(503, "Service unavailable"), &failure)
            }
        }
    }

    /// Answers a request that wants a stored response or none
    /// ([RFC 9111 section 5.2.1.7](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.7)).
    pub(crate) fn on_only_if_cached(&self, tx: &mut Transaction) -> Response<Body> {
        tx.decide(Reason::OnlyIfCached, Rule::BuiltIn);
        plain(504, "Not in the cache")
    }

    /// Plans an attempt at the fallback backend; `None` when there is none, it was asked, or the request cannot be repeated. One that
    /// never left can.
    pub(crate) fn plan_fallback(&self, tx: &mut Transaction, failure: &Failure) -> Option<BackendId> {
        let backend = self.policy().fallback.backend?;
        let was_asked = tx.attempts.plan.iter().any(|(asked, _)| *asked == backend);
        let may_leave = match failure {
            Failure::Refused(_) => true,
            Failure::Error(error) => is_repeatable(tx, *error == FetchError::Connect),
            Failure::Handler | Failure::Response { .. } => is_repeatable(tx, false),
        };
        if was_asked || !is_unavailable(failure) || !may_leave {
            return None;
        }
        tx.decide(Reason::FallbackBackend, Rule::Backend(backend));
        tx.attempts.plan.extend((0..self.backend(backend).urls.len()).map(|url| (backend, url)));
        Some(backend)
    }

    /// Returns whether stale stored responses may answer at all.
    pub(crate) fn stale_answers(&self) -> StaleAnswers {
        self.policy().fallback.stale
    }

    fn received(&self, mut response: Response<Body>) -> Response<Body> {
        hop_by_hop::strip_response(response.headers_mut());
        response
    }

    fn storing(
        &self,
        tx: &Transaction,
        response: &Response<Body>,
        sent: Timestamp,
        now: Timestamp,
    ) -> Storing {
        self.storing_of(tx, response.status(), response.headers(), sent, now)
    }

    /// Decides whether a response with this head goes to the store.
    pub(crate) fn storing_of(
        &self,
        tx: &Transaction,
        status: StatusCode,
        headers: &HeaderMap,
        sent: Timestamp,
        now: Timestamp,
    ) -> Storing {
        let Some(route) = self.route_of(tx).filter(|_| self.uses_cache(tx)) else { return Storing::Bypass };
        let (method, request, rule) = (tx.request.method(), tx.request.headers(), &route.cache);
        let lifetimes = match storability(method, request, status, headers, rule, now) {
            Storability::Refuse(reason) => return Storing::Refuse(reason),
            Storability::Store(lifetimes) => lifetimes,
        };
        if tx.target.as_ref().is_some_and(|target| is_deceptive(target.path(), headers, lifetimes.source)) {
            return Storing::Refuse(NoStoreReason::Deception);
        }
        let selecting = self.selecting_headers(tx);
        if self.is_poisoned(tx, route, &selecting, headers) {
            return Storing::Refuse(NoStoreReason::UnkeyedHeader);
        }
        let stored = StoredResponse::new(Arrival {
            status,
            headers: headers.clone(),
            request: &selecting,
            lifetimes,
            tags: self.tags(tx, route),
            keeps_cookies: rule.set_cookie == SetCookieRule::Keep,
            request_time: sent,
            response_time: now,
        });
        match stored.keep() {
            Duration::ZERO => Storing::Refuse(NoStoreReason::ZeroLifetime),
            keep => Storing::Store(Arc::new(stored), keep),
        }
    }

    /// Whether a header that the client sent, and that the backend was sent too, may have changed the response for this client alone.
    fn is_poisoned(&self, tx: &Transaction, route: &Route, sent: &HeaderMap, response: &HeaderMap) -> bool {
        let varied = Vary::parse(response);
        let is_unkeyed =
            |name: &HeaderName| poisoning::is_unkeyed(name, &route.cache, &route.key.headers, varied.names());
        let mut names = tx.request.headers().keys().filter(|name| sent.contains_key(*name));
        names.any(|name| is_unkeyed(name) && !self.is_own(tx, route, name))
    }

    /// Whether a header of a request to a backend is the edge's own, whatever the client sent by its name.
    fn is_own(&self, tx: &Transaction, route: &Route, name: &HeaderName) -> bool {
        let by_variation = || {
            tx.assigned.iter().any(|assigned| {
                let experiment = self.policy().experiment(assigned.experiment);
                let headers = &experiment.variations[assigned.variation].request_headers;
                headers.iter().any(|(set, _)| set.as_header_name() == name)
            })
        };
        // The door lets no client imitate a platform's headers.
        is_imitation(name.as_str())
            || self.policy().headers.request.sets(name)
            || route.headers.request.sets(name)
            || self.policy().bots.tag_header.as_header_name() == name
            || by_variation()
            || self.is_backends_own(name)
    }

    fn tags(&self, tx: &Transaction, route: &Route) -> Vec<String> {
        let values = RequestValues { engine: self, tx };
        let tags = route.tags.iter().map(|tag| tag.render(&values, Encoding::Text));
        tags.filter(|tag| !tag.is_empty()).collect()
    }
}

/// Lets a 503 that stands for `failure` say when it is worth while to try again.
fn with_retry_after(mut response: Response<Body>, failure: &Failure) -> Response<Body> {
    let after = retry_after(failure).filter(|_| response.status() == StatusCode::SERVICE_UNAVAILABLE);
    after.and_then(|after| response.headers_mut().insert(header::RETRY_AFTER, after));
    response
}

/// When it is worth while to try again, for a 503
/// ([RFC 9110 section 15.6.4](https://www.rfc-editor.org/rfc/rfc9110#section-15.6.4)): as the backend said, or as its health has it.
fn retry_after(failure: &Failure) -> Option<HeaderValue> {
    match failure {
        Failure::Refused(refused) => {
            Some(HeaderValue::from(u64::try_from(refused.left.as_millis().div_ceil(1000).max(1)).ok()?))
        }
        Failure::Response { response, .. } => response.headers().get(header::RETRY_AFTER).cloned(),
        Failure::Error(_) | Failure::Handler => None,
    }
}

/// The client's own part of the request failed.
fn refuse(
    tx: &mut Transaction,
    error: FetchError,
    status: u16,
    body: &'static str,
    rule: Rule,
) -> OriginResponseOutcome {
    tx.decide(Reason::BackendFailed(error), rule);
    OriginResponseOutcome::Deliver(plain(status, body), Storing::Bypass)
}

fn retry_or(tx: &Transaction, is_unsent: bool, failure: Failure) -> OriginResponseOutcome {
    if is_repeatable(tx, is_unsent) {
        OriginResponseOutcome::Retry(failure)
    } else {
        OriginResponseOutcome::Fail(failure)
    }
}

fn is_repeatable(tx: &Transaction, is_unsent: bool) -> bool {
    let request = &tx.request;
    let is_idempotent = request.method().is_idempotent() && *request.method() != Method::CONNECT;
    request.body().len().is_some() && (is_unsent || is_idempotent)
}

pub(crate) fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// The backend is not there, in contrast to one that has an error of its own.
fn is_unavailable(failure: &Failure) -> bool {
    match failure {
        Failure::Error(_) | Failure::Handler | Failure::Refused(_) => true,
        Failure::Response { response, .. } => response.status() != StatusCode::INTERNAL_SERVER_ERROR,
    }
}
