//! How backends fare, and which of them may be asked.
//!
//! [`how`] is the whole of it on one page: what fails, what the client sees and what is recorded.
//!
//! A [`Health`] belongs to an engine and lives as long as it: in one process on servers, in one isolate or instance on platforms
//! that have those. All of its requests share it, and nobody else does. Whatever it decides depends on nothing but the order
//! of what it is told, with its times.
//!
//! Each URL of a backend is a place of its own:
//! - its **circuit** opens after failures, so that a place that is down costs no waiting; after a while single requests
//!   try it again;
//! - a **check**, where a host makes them ([`Health::on_checked`]), takes a place out before a request finds out;
//! - at most so many requests **at the same time** wait for it; the rest goes elsewhere or is refused at once;
//! - **retries** have a budget, so that they stay few beside the requests;
//! - a **hedged** request leaves for another place when an answer takes longer than most.

mod body;
mod budget;
mod circuit;
#[doc = include_str!("how.md")]
pub mod how {}
mod latency;
mod report;
pub mod rule;
mod slots;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::backend::BackendId;
use crate::effect::{Fetch, FetchError};
use crate::policy::Policy;
use crate::time::Timestamp;
pub use body::{BodyEnd, BodyReport};
use budget::Budget;
use circuit::{Circuit, Passage};
use latency::Latency;
pub use report::{CircuitState, PlaceReport};
use rule::{CheckRule, HealthRule};
use slots::{Slot, Slots};

/// A URL of a backend.
pub type Place = (BackendId, usize);

/// Why a place is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// Its circuit is open.
    CircuitOpen,
    /// Its checks fail.
    Unhealthy,
    /// As many requests as may be wait for it.
    Busy,
}

/// A place that is not asked, and for how long, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// For how much longer.
    pub left: Duration,
}

/// What came of a request to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It answered.
    Success,
    /// It did not, or said that it cannot.
    Failure,
}

/// How the backends of one engine fare.
pub struct Health {
    backends: Vec<Vec<Arc<Tracked>>>,
}

/// A URL and the rule of its backend.
struct Tracked {
    rule: HealthRule,
    /// Longest wait for a head.
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    circuit: Circuit,
    budget: Budget,
    latency: Latency,
    slots: Slots,
    checks: Checks,
}

/// What checks found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Checks {
    is_unhealthy: bool,
    /// Results in a row that speak against that.
    opposed: u32,
}

/// The right to have one request under way. Whoever drops it without saying what came of it has learnt nothing.
#[derive(Default)]
#[must_use = "the request counts as over when this is dropped"]
pub(crate) struct Permit {
    tracked: Option<(Arc<Tracked>, Passage, Slot)>,
    since: Timestamp,
    is_hurried: bool,
}

/// Whether a request earns its place's budget something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// It does: it is the first one of its client here.
    First,
    /// It does not: the budget pays for it.
    Again,
}

impl Health {
    /// Prepares for the backends of a policy.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let tracked = |rule: &HealthRule, timeout| {
            Arc::new(Tracked { rule: rule.clone(), timeout, state: Mutex::default() })
        };
        let places = policy.backends.iter().map(|backend| {
            let rule = &backend.health;
            let count = if rule.is_empty() { 0 } else { backend.urls.len() };
            (0..count).map(|_| tracked(rule, backend.timeout)).collect()
        });
        Self { backends: places.collect() }
    }

    /// Lets a request go to a place.
    pub(crate) fn admit(&self, place: Place, ask: Ask, now: Timestamp) -> Result<Permit, Refused> {
        let Some(tracked) = self.tracked(place) else {
            return Ok(Permit { tracked: None, since: now, is_hurried: false });
        };
        let mut state = tracked.state();
        if state.checks.is_unhealthy {
            let left = tracked.rule.check.as_ref().map_or(Duration::ZERO, |check| check.every);
            return Err(Refused { refusal: Refusal::Unhealthy, left });
        }
        if tracked.rule.max_concurrent.is_some_and(|most| state.slots.taken(now) >= most) {
            return Err(Refused { refusal: Refusal::Busy, left: Duration::ZERO });
        }
        let passage = match tracked.rule.breaker {
            Some(rule) => state.circuit.enter(rule, tracked.over(now), now),
            None => Ok(Passage::Regular),
        };
        let passage = passage.map_err(|left| Refused { refusal: Refusal::CircuitOpen, left })?;
        let slot = state.slots.take(tracked.over(now));
        if ask == Ask::First {
            state.budget.on_request(tracked.rule.retry.map_or(HEDGE_PERCENT, |retry| retry.budget_percent));
        }
        Ok(Permit { tracked: Some((Arc::clone(tracked), passage, slot)), since: now, is_hurried: false })
    }

    /// Returns whether some URL of a backend would be asked, as far as its circuit and its checks go.
    #[must_use]
    pub fn is_up(&self, backend: BackendId, now: Timestamp) -> bool {
        let places = &self.backends[usize::from(backend.0)];
        let is_up = |tracked: &Arc<Tracked>| {
            let state = tracked.state();
            let breaker = tracked.rule.breaker;
            !state.checks.is_unhealthy && breaker.is_none_or(|rule| state.circuit.is_passable(rule, now))
        };
        places.is_empty() || places.iter().any(is_up)
    }

    /// Takes a retry out of a place's budget; how long to wait before it. `None` when `done` are all that there may be, the wait would
    /// take all that is `left`, or the budget is spent.
    ///
    /// `draw` decides where in the range of the wait it falls.
    pub(crate) fn retry(&self, place: Place, done: u32, draw: u32, left: Duration) -> Option<Duration> {
        let tracked = self.tracked(place)?;
        let rule = tracked.rule.retry.filter(|rule| done < rule.attempts)?;
        let longest = rule.backoff * 2_u32.pow(done.min(MAX_DOUBLINGS));
        let wait = longest.mul_f64(f64::from(draw) / f64::from(u32::MAX));
        (wait < left && tracked.state().budget.spend()).then_some(wait)
    }

    /// Takes a second request out of the budget of the place whose answer takes long; `false` when that is spent.
    pub(crate) fn spend(&self, place: Place) -> bool {
        self.tracked(place).is_some_and(|tracked| tracked.state().budget.spend())
    }

    /// Returns after how long a second request leaves while the first one goes on; `None` when none does.
    pub(crate) fn hedge_after(&self, place: Place) -> Option<Duration> {
        let tracked = self.tracked(place)?;
        let rule = tracked.rule.hedge?;
        let usual = tracked.state().latency.percentile(rule.percentile).unwrap_or_default();
        Some(usual.max(rule.min))
    }

    /// The checks that a host makes, where it can make requests of its own: of every URL whose backend has a rule.
    pub fn checks(&self) -> impl Iterator<Item = (Place, &CheckRule)> {
        let backends = (0_u16..).map(BackendId).zip(&self.backends);
        backends.flat_map(|(id, places)| {
            let checks = places.iter().enumerate();
            checks.filter_map(move |(url, tracked)| Some(((id, url), tracked.rule.check.as_ref()?)))
        })
    }

    /// Decides what the answer to a check says: a status of 200 to 399 is a success.
    #[must_use]
    pub fn fate_of_check(answer: Result<StatusCode, FetchError>) -> Fate {
        let is_success = answer.is_ok_and(|status| status.is_success() || status.is_redirection());
        if is_success { Fate::Success } else { Fate::Failure }
    }

    /// Notes what a check found, and returns whether the place changed between healthy and unhealthy.
    pub fn on_checked(&self, place: Place, fate: Fate) -> bool {
        let Some(tracked) = self.tracked(place) else { return false };
        let Some(rule) = &tracked.rule.check else { return false };
        let checks = &mut tracked.state().checks;
        let (is_opposed, needed) = match (fate, checks.is_unhealthy) {
            (Fate::Failure, false) => (true, rule.unhealthy),
            (Fate::Success, true) => (true, rule.healthy),
            (Fate::Success, false) | (Fate::Failure, true) => (false, 0),
        };
        checks.opposed = if is_opposed { checks.opposed + 1 } else { 0 };
        let changes = is_opposed && checks.opposed >= needed;
        if changes {
            *checks = Checks { is_unhealthy: !checks.is_unhealthy, opposed: 0 };
        }
        changes
    }

    fn tracked(&self, (backend, url): Place) -> Option<&Arc<Tracked>> {
        self.backends.get(usize::from(backend.0))?.get(url)
    }
}

/// How many second requests there may be for 100 where the policy has no budget for retries.
const HEDGE_PERCENT: u32 = 10;

/// How often the longest wait before a retry may double.
const MAX_DOUBLINGS: u32 = 5;

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("backends", &self.backends.len()).finish_non_exhaustive()
    }
}

/// How much longer than its time a request may take before it counts as forgotten by its host.
const GRACE: Duration = Duration::from_secs(5);

impl Tracked {
    /// When a request that leaves now is over in any case.
    fn over(&self, now: Timestamp) -> Timestamp {
        now + self.timeout + GRACE
    }

    /// No code that can panic runs under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Says that the request has less than half of the time that its backend should have: that it is too slow for it tells nothing.
    pub(crate) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// Whether that was said.
    pub(crate) fn is_hurried(&self) -> bool {
        self.is_hurried
    }

    /// Lets the host tell how the body of the answer ends by the number of this request, where it is a probe.
    pub(crate) fn mark(&self, fetch: &mut Fetch) {
        if let (Some(watch), Some((_, Passage::Probe(number), _))) = (&mut fetch.watch, &self.tracked) {
            watch.report.probe = Some(*number);
        }
    }

    /// Says that a head is there which is no failure, and that a body follows. What becomes of that is the verdict on a probe.
    pub(crate) fn await_body(mut self, now: Timestamp) {
        let Some((tracked, passage, slot)) = self.tracked.take() else { return };
        let mut state = tracked.state();
        state.slots.free(slot);
        state.latency.note(now.saturating_since(self.since));
        if let Some(rule) = tracked.rule.breaker {
            state.circuit.on_head(rule, passage, now);
        }
    }

    /// Says what came of the request.
    pub(crate) fn settle(mut self, fate: Fate, now: Timestamp) {
        let Some((tracked, passage, slot)) = self.tracked.take() else { return };
        let mut state = tracked.state();
        state.slots.free(slot);
        if fate == Fate::Success {
            state.latency.note(now.saturating_since(self.since));
        }
        match (tracked.rule.breaker, fate) {
            (Some(rule), Fate::Success) => state.circuit.on_success(rule, passage),
            (Some(rule), Fate::Failure) => state.circuit.on_failure(rule, passage, now),
            (None, _) => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((tracked, passage, slot)) = self.tracked.take() {
            let mut state = tracked.state();
            state.slots.free(slot);
            state.circuit.on_nothing(passage);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("since", &self.since).finish_non_exhaustive()
    }
}

impl Refusal {
    /// Returns the stable code, such as `backend.circuit-open`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::CircuitOpen => "backend.circuit-open",
            Self::Unhealthy => "backend.unhealthy",
            Self::Busy => "backend.busy",
        }
    }
}

#[cfg(all(test, feature = "policy-file"))]
mod tests;
