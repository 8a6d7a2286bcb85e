//! The third stage: a response on its way into the platform's cache.

use std::time::Duration;

use http::header::{self, ACCEPT_ENCODING, HeaderMap, HeaderValue, SET_COOKIE};
use http::{Method, Response, StatusCode};

use super::mark::Handling;
use super::{Learnt, Mark};
use crate::body::Body;
use crate::cache::client;
use crate::cache::control::{CacheControl, FieldScope};
use crate::cache::rule::SetCookieRule;
use crate::cache::store::names_fields;
use crate::cache::stored::StoredResponse;
use crate::effect::Record;
use crate::engine::Engine;
use crate::facts::Facts;
use crate::fallback::StaleAnswers;
use crate::headers::hop_by_hop;
use crate::phase::{CachePlan, OriginRequestOutcome, OriginResponseOutcome, Storing};
use crate::pipeline;
use crate::reason::Summary;
use crate::route::Action;
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// Fields for caches that the platform's own does not read as this edge does; they end here.
const TARGETED: [&str; 5] =
    ["selvedge-cdn-cache-control", "cdn-cache-control", "surrogate-control", "surrogate-key", "cache-tag"];

/// What the third stage comes to.
#[derive(Debug)]
pub enum Arrived {
    /// The response goes on.
    Deliver(Box<HandedOver>),
    /// It stays as it is: the platform goes on to another backend by itself, or another policy than this one sent the request.
    Keep,
}

/// A response for the platform's cache.
#[derive(Debug)]
pub struct HandedOver {
    /// The response, its caching fields meant for the platform's cache.
    pub response: Response<Body>,
    /// What the last stage needs; `None` when the response is final, since there is no last stage for it.
    pub mark: Option<Mark>,
    /// What came of the request, for metrics and logs.
    pub summary: Summary,
    /// What to hand to whatever collects records; empty unless the response is final.
    pub records: Vec<Record>,
}

impl Engine {
    /// Decides what becomes of a backend's response.
    ///
    /// `tx` comes from [`Passage::resume`](super::Passage::resume) or [`retrace`](Self::retrace). `response` has the body that the platform keeps, or none.
    /// `fails_over` says whether the platform, after a failure, asks for another departure of this very request by itself.
    #[must_use]
    pub fn arrive(
        &self,
        mut tx: Transaction,
        response: Response<Body>,
        fails_over: bool,
        now: Timestamp,
    ) -> Arrived {
        tx.is_admitted = true;
        let _ = self.on_viewer_request(&mut tx, now);
        if matches!(self.on_origin_request(&mut tx, now), OriginRequestOutcome::Respond(_)) {
            return Arrived::Keep;
        }
        // A backend's own error, 500, is an answer.
        let is_unavailable = matches!(response.status().as_u16(), 502..=504);
        let is_safe = matches!(*tx.request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if response.status() == StatusCode::NOT_MODIFIED {
            return Arrived::Deliver(Box::new(self.revalidated(&mut tx, response, now)));
        }
        // Only the platform can ask another backend from here on, and only for these methods.
        tx.attempts.next = tx.attempts.plan.len();
        let failure = match self.on_origin_response(&mut tx, Ok(response), now, now) {
            OriginResponseOutcome::Deliver(response, storing) => {
                return Arrived::Deliver(Box::new(self.hand_over(&mut tx, response, storing, now)));
            }
            OriginResponseOutcome::Retry(failure) | OriginResponseOutcome::Fail(failure) => failure,
        };
        if fails_over && is_safe && is_unavailable {
            return Arrived::Keep;
        }
        let response = self.on_failure(&mut tx, failure);
        Arrived::Deliver(Box::new(self.hand_over(&mut tx, response, Storing::Bypass, now)))
    }

    /// Hands a response over to the platform's cache.
    ///
    /// One of status 400 and above is final: platforms run no last stage for it. There the fields that the client sees are those that
    /// the platform's cache sees, so that a lifetime of the edge's own shows as `s-maxage`, and what may not be stored is `private`.
    #[must_use]
    pub fn hand_over(
        &self,
        tx: &mut Transaction,
        mut response: Response<Body>,
        storing: Storing,
        now: Timestamp,
    ) -> HandedOver {
        let is_final = response.status().as_u16() >= 400;
        // What is final goes into the cache as it is, with a visitor's cookies.
        let may_store = !is_final || self.cookies_to_set(tx).is_empty();
        let stored = match &storing {
            Storing::Store(stored, _)
                if may_store
                    && self.is_told_apart(tx, stored)
                    && is_for_platforms(stored, response.headers()) =>
            {
                Some(stored.as_ref())
            }
            Storing::Store(..) | Storing::Refuse(_) | Storing::Bypass => None,
        };
        let is_proxied = self.route_of(tx).is_some_and(|route| matches!(route.action, Action::Proxy { .. }));
        let handling = match self.cache_plan(tx) {
            _ if !is_proxied => Handling::Local,
            CachePlan::Bypass => Handling::Bypass,
            CachePlan::Lookup(_) => Handling::Miss { is_stored: stored.is_some() },
        };
        if is_final {
            self.finish(tx, response, handling, stored, now)
        } else {
            let mark = self.mark(tx, response.headers_mut(), handling, stored, now);
            HandedOver { response, mark: Some(mark), summary: tx.summary(), records: Vec::new() }
        }
    }

    /// A 304 lets the platform's cache keep what it has; only the lifetime is another one.
    fn revalidated(&self, tx: &mut Transaction, response: Response<Body>, now: Timestamp) -> HandedOver {
        let (mut parts, body) = response.into_parts();
        parts.status = StatusCode::OK;
        let outcome = self.on_origin_response(tx, Ok(Response::from_parts(parts, body)), now, now);
        let OriginResponseOutcome::Deliver(response, storing) = outcome else {
            unreachable!("a response of status 200 is delivered")
        };
        let mut handed = self.hand_over(tx, response, storing, now);
        *handed.response.status_mut() = StatusCode::NOT_MODIFIED;
        handed
    }

    fn finish(
        &self,
        tx: &mut Transaction,
        mut response: Response<Body>,
        handling: Handling,
        stored: Option<&StoredResponse>,
        now: Timestamp,
    ) -> HandedOver {
        tx.cache_status = handling.status();
        let records = pipeline::exposures(self, tx).collect();
        self.on_viewer_response(tx, &mut response, now);
        match stored {
            Some(stored) => {
                let lifetime = format!("s-maxage={}", left(stored, now).as_secs());
                let lifetime = HeaderValue::try_from(lifetime).expect("digits make a field value");
                response.headers_mut().append(header::CACHE_CONTROL, lifetime);
            }
            None if may_be_stored(response.headers()) => client::make_private(response.headers_mut()),
            None => {}
        }
        HandedOver { response, mark: None, summary: tx.summary(), records }
    }

    fn mark(
        &self,
        tx: &mut Transaction,
        headers: &mut HeaderMap,
        handling: Handling,
        stored: Option<&StoredResponse>,
        now: Timestamp,
    ) -> Mark {
        hop_by_hop::strip_response(headers);
        TARGETED.iter().for_each(|name| drop(headers.remove(*name)));
        let strips = self.route_of(tx).is_some_and(|route| route.cache.set_cookie == SetCookieRule::Strip);
        let mut cookies = Vec::new();
        if stored.is_some() && strips {
            cookies.extend(headers.get_all(SET_COOKIE).iter().map(|cookie| cookie.as_bytes().to_vec()));
            headers.remove(SET_COOKIE);
        }
        let fields = Mark::take_fields(headers);
        if stored.is_some() {
            // The lifetime that is left says it, whether or not the platform's cache counts it.
            headers.remove(header::AGE);
        }
        headers.insert(header::CACHE_CONTROL, self.edge_control(stored, now));
        Mark {
            seed: tx.seed(),
            reason: tx.reason(),
            handling,
            place: place(&tx.facts),
            arrived: now,
            age: stored.map_or(Duration::ZERO, |stored| stored.age(now)),
            fresh: stored.map_or(Duration::ZERO, |stored| stored.lifetimes().fresh),
            revalidating: stored.map_or(Duration::ZERO, |stored| stored.lifetimes().stale_while_revalidate),
            learnt: tx.assign_again.then(|| Learnt::of(tx)),
            fields,
            cookies,
        }
    }

    /// What the platform's cache is told.
    fn edge_control(&self, stored: Option<&StoredResponse>, now: Timestamp) -> HeaderValue {
        let Some(stored) = stored else { return HeaderValue::from_static("private, no-store") };
        let lifetimes = stored.lifetimes();
        let if_error = match self.stale_answers() {
            StaleAnswers::Allow => lifetimes.stale_if_error,
            StaleAnswers::Refuse => Duration::ZERO,
        };
        let revalidating = lifetimes.stale_while_revalidate.as_secs();
        let text = format!(
            "max-age={}, stale-while-revalidate={revalidating}, stale-if-error={}",
            left(stored, now).as_secs(),
            if_error.as_secs()
        );
        HeaderValue::try_from(text).expect("digits and names make a field value")
    }

    /// Whether the platform's cache tells apart what the response varies by: it has the edge's key, and asks no backend's `Vary`.
    fn is_told_apart(&self, tx: &Transaction, stored: &StoredResponse) -> bool {
        let Some(route) = self.route_of(tx) else { return false };
        let is_in_key = |name: &http::HeaderName| route.key.headers.iter().any(|own| own == name.as_str());
        stored.vary().iter().all(|header| header.name == ACCEPT_ENCODING || is_in_key(&header.name))
    }
}

/// A platform's cache keeps a response as it is: one of which only a part may be stored, or that answers nothing without
/// validation, is not for it.
fn is_for_platforms(stored: &StoredResponse, response: &HeaderMap) -> bool {
    !stored.lifetimes().useful().is_zero() && !names_fields(response)
}

/// Whether a cache that knows nothing else would store a response with these fields.
fn may_be_stored(headers: &HeaderMap) -> bool {
    let control = CacheControl::parse(headers);
    let is_forbidden =
        control.no_store || control.private != FieldScope::Absent || control.no_cache != FieldScope::Absent;
    !is_forbidden && (headers.contains_key(header::CACHE_CONTROL) || headers.contains_key(header::EXPIRES))
}

fn left(stored: &StoredResponse, now: Timestamp) -> Duration {
    stored.lifetimes().fresh.saturating_sub(stored.age(now))
}

fn place(facts: &Facts) -> Facts {
    Facts {
        country: facts.country,
        continent: facts.continent,
        region: facts.region.clone(),
        city: facts.city.clone(),
        time_zone: facts.time_zone.clone(),
        is_https: facts.is_https,
        ..Facts::default()
    }
}
