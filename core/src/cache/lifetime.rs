//! How long a response is fresh, and how long it may answer after that.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderMap};

use super::control::{CacheControl, FieldScope};
use super::rule::CacheRule;
use super::targeted::{TARGETS, surrogate_control, targeted};
use crate::time::Timestamp;

/// The lifetimes of a stored response.
///
/// The first that says something decides, for each of the three by itself:
/// 1. the origin's targeted field (`Selvedge-CDN-Cache-Control`, then `CDN-Cache-Control`, then a `Surrogate-Control` that names this edge);
/// 2. the origin's `Surrogate-Control`, for the freshness lifetime only;
/// 3. the policy's rule, where it concerns the status;
/// 4. `Cache-Control` (`s-maxage` before `max-age`), then `Expires`, unless there is a targeted field.
///
/// Without any of these a response has no lifetime, unless [`CacheRule::heuristic`] gives one: a tenth of the time between
/// `Last-Modified` and `Date`, at most a day, where
/// [RFC 9111 section 4.2.2](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.2) allows it.
///
/// DIFFERENCE: [RFC 9111 section 4.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1) knows no
/// policy between the fields. The edge acts for the origin's owner, whose policy file is the out-of-band
/// contract that [section 4.2.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4) speaks of; it
/// sets lifetimes only and never undoes `no-store`, `private`, `no-cache` or a directive that forbids
/// stale responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Freshness lifetime.
    pub fresh: Duration,
    /// How long after that it may answer while it is fetched anew; zero when not allowed.
    pub stale_while_revalidate: Duration,
    /// How long after the freshness lifetime it may answer when the backend fails; zero when not allowed.
    pub stale_if_error: Duration,
    /// Who gave the freshness lifetime.
    pub source: LifetimeSource,
}

/// Who gave a freshness lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimeSource {
    /// A targeted field of the origin.
    Targeted,
    /// The origin's `Surrogate-Control`.
    SurrogateControl,
    /// The policy's rule.
    Rule,
    /// The origin's `Cache-Control`.
    CacheControl,
    /// The origin's `Expires`.
    Expires,
    /// The policy's lifetime of errors.
    Negative,
    /// `Last-Modified`, by heuristics.
    Heuristic,
    /// Nobody: the response answers nothing without validation.
    Validation,
}

impl LifetimeSource {
    /// Returns the stable name that logs show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Targeted => "targeted",
            Self::SurrogateControl => "surrogate-control",
            Self::Rule => "rule",
            Self::CacheControl => "cache-control",
            Self::Expires => "expires",
            Self::Negative => "negative",
            Self::Heuristic => "heuristic",
            Self::Validation => "validation",
        }
    }
}

impl Lifetimes {
    /// Makes lifetimes without any use of a stale response.
    #[must_use]
    pub const fn without_stale(fresh: Duration, source: LifetimeSource) -> Self {
        Self { fresh, stale_while_revalidate: Duration::ZERO, stale_if_error: Duration::ZERO, source }
    }

    /// Returns the greatest age at which the response is of any use.
    #[must_use]
    pub fn useful(&self) -> Duration {
        self.fresh.saturating_add(self.stale_while_revalidate.max(self.stale_if_error))
    }
}

/// The origin's directives for this cache.
#[derive(Debug)]
pub(super) struct OriginDirectives {
    /// Those of the targeted field, else of `Cache-Control`.
    pub(super) control: CacheControl,
    /// Whether they are from a targeted field, which takes the place of `Expires` too.
    is_targeted: bool,
    surrogate_max_age: Option<Duration>,
}

impl OriginDirectives {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        if let Some(control) = targeted(headers, &TARGETS) {
            return Self { control, is_targeted: true, surrogate_max_age: None };
        }
        let surrogate = surrogate_control(headers);
        if surrogate.is_aimed {
            let control = CacheControl {
                no_store: surrogate.no_store,
                max_age: surrogate.max_age,
                ..CacheControl::default()
            };
            return Self { control, is_targeted: true, surrogate_max_age: None };
        }
        // DIFFERENCE: the Edge Architecture Specification lets Surrogate-Control undo
        // Cache-Control in any case; RFC 9111 doesn't know it, so that it does so only where it names this edge. Otherwise it adds
        // no-store and sets lifetimes.
        let mut control = CacheControl::parse(headers);
        control.no_store |= surrogate.no_store;
        Self { control, is_targeted: false, surrogate_max_age: surrogate.max_age }
    }

    /// Returns the lifetimes; `None` when nothing gives a freshness lifetime.
    pub(super) fn lifetimes(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        rule: &CacheRule,
        now: Timestamp,
    ) -> Option<Lifetimes> {
        let [stale_while_revalidate, stale_if_error] = self.stale_windows(rule, status);
        if self.control.no_cache == FieldScope::Whole {
            let (fresh, source) = (Duration::ZERO, LifetimeSource::Validation);
            return Some(Lifetimes { fresh, stale_while_revalidate, stale_if_error, source });
        }
        let (fresh, source) = self
            .freshness(headers, rule_lifetime(rule, status), now)
            .or_else(|| rule.heuristic.then(|| self.heuristic(status, headers, now)).flatten())?;
        Some(Lifetimes { fresh, stale_while_revalidate, stale_if_error, source })
    }

    fn freshness(
        &self,
        headers: &HeaderMap,
        edge: Option<(Duration, LifetimeSource)>,
        now: Timestamp,
    ) -> Option<(Duration, LifetimeSource)> {
        let own = self.control.shared_lifetime();
        if self.is_targeted {
            return own.map(|d| (d, LifetimeSource::Targeted)).or(edge);
        }
        (self.surrogate_max_age.map(|d| (d, LifetimeSource::SurrogateControl)))
            .or(edge)
            .or_else(|| own.map(|d| (d, LifetimeSource::CacheControl)))
            .or_else(|| expires(headers, now).map(|d| (d, LifetimeSource::Expires)))
    }

    /// A tenth of the time since the last change, where nothing says how long the response is fresh.
    fn heuristic(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<(Duration, LifetimeSource)> {
        let modified =
            headers.get(header::LAST_MODIFIED)?.to_str().ok().and_then(Timestamp::from_http_date)?;
        let may_guess = self.control.public || is_heuristically_cacheable(status);
        let since = date_value(headers).unwrap_or(now).saturating_since(modified);
        may_guess.then(|| ((since / 10).min(MAX_HEURISTIC), LifetimeSource::Heuristic))
    }

    fn stale_windows(&self, rule: &CacheRule, status: StatusCode) -> [Duration; 2] {
        let rule = rule_concerns(status).then_some(rule);
        if self.control.forbids_stale() {
            return [Duration::ZERO; 2];
        }
        let from_rule = [rule.and_then(|r| r.stale_while_revalidate), rule.and_then(|r| r.stale_if_error)];
        let own = [self.control.stale_while_revalidate, self.control.stale_if_error];
        let (first, second) = if self.is_targeted { (own, from_rule) } else { (from_rule, own) };
        [first[0].or(second[0]), first[1].or(second[1])].map(Option::unwrap_or_default)
    }
}

/// The longest lifetime that heuristics give.
const MAX_HEURISTIC: Duration = Duration::from_secs(24 * 60 * 60);

/// The policy's lifetime for a response of this status.
fn rule_lifetime(rule: &CacheRule, status: StatusCode) -> Option<(Duration, LifetimeSource)> {
    let negative = || rule.negative.filter(|_| is_negative(status)).map(|d| (d, LifetimeSource::Negative));
    rule.edge.filter(|_| rule_concerns(status)).map(|d| (d, LifetimeSource::Rule)).or_else(negative)
}

/// Returns whether the policy's lifetime of errors is meant for responses of this status: those that say the same to everybody.
fn is_negative(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 410 | 414 | 451 | 500..=504)
}

/// [RFC 9110 section 15.1](https://www.rfc-editor.org/rfc/rfc9110#section-15.1).
fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Returns whether the policy's lifetimes are meant for responses of this status.
fn rule_concerns(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308)
}

/// Returns the lifetime that `Expires` gives, counted from `Date`,
/// [RFC 9111 section 5.3](https://www.rfc-editor.org/rfc/rfc9111#section-5.3).
///
/// A value that is no date, such as `0`, is in the past. Of several the earliest counts.
fn expires(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let date = date_value(headers).unwrap_or(now);
    let lifetime = |value: &http::HeaderValue| {
        let expires = value.to_str().ok().and_then(Timestamp::from_http_date);
        expires.map_or(Duration::ZERO, |at| at.saturating_since(date))
    };
    headers.get_all(header::EXPIRES).iter().map(lifetime).min()
}

/// Returns the time that `Date` says; `None` when it is missing or no date.
pub(super) fn date_value(headers: &HeaderMap) -> Option<Timestamp> {
    headers.get(header::DATE)?.to_str().ok().and_then(Timestamp::from_http_date)
}
