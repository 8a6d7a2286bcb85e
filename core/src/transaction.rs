//! One request and what the phases learnt about it.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use serde::{Deserialize, Serialize};

use crate::backend::BackendId;
use crate::body::Body;
use crate::bot::{BotCategory, Verdict};
use crate::cache::status::CacheStatus;
use crate::cache::stored::StoredResponse;
use crate::device::DeviceClass;
use crate::experiment::ExperimentId;
use crate::facts::Facts;
use crate::headers::hop_by_hop::Upgrade;
use crate::hex;
use crate::policy::blob::fnv1a64;
use crate::reason::{Note, Reason, Rule, Summary};
use crate::route::RouteId;
use crate::route::condition::Subject;
use crate::route::router::Captures;
use crate::target::{Query, Target};
use crate::time::Timestamp;

/// Fresh randomness from the host, 128 bits for each request.
pub type Seed = [u8; 16];

/// One request on its way through the phases, with everything learnt so far.
///
/// Platforms that run the phases one by one make it with [`Transaction::new`]
/// and hand it from phase to phase.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub(crate) request: Request<Body>,
    pub(crate) facts: Facts,
    seed: Seed,
    pub(crate) omitted: Omitted,
    /// What the handler said when it took the module down on an earlier try at this request.
    pub(crate) crash: Option<String>,
    /// What of the client's place was asked for before it is known.
    pub(crate) place: Place,
    /// Whether what an earlier stage learnt about the request is there.
    pub(crate) is_resumed: bool,
    /// Whether its variations could only be decided with the client's place.
    pub(crate) assign_again: bool,
    /// Whether the request was let in before, so that only its route is to be found again.
    pub(crate) is_admitted: bool,
    /// The protocol that the client asks to change to.
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) target: Option<Target>,
    pub(crate) device: DeviceClass,
    pub(crate) verdict: Verdict,
    pub(crate) route: Option<RouteId>,
    pub(crate) captures: Captures,
    pub(crate) assigned: Vec<Assigned>,
    pub(crate) limited_by: Option<BotCategory>,
    pub(crate) attempts: Attempts,
    /// The stored response that the backend is asked about, in place of the client's own conditions.
    pub(crate) validates: Option<Arc<StoredResponse>>,
    pub(crate) cache_status: Option<CacheStatus>,
    /// When the request came, where the whole of its way can be told.
    pub(crate) began: Option<Timestamp>,
    /// When the client has to have its answer.
    pub(crate) deadline: Option<Timestamp>,
    /// The cache key, where the policy lets clients see it.
    pub(crate) shown_key: Option<String>,
    pub(crate) cache: Option<Reason>,
    reason: Reason,
    notes: Vec<Note>,
}

/// Whether the client's place is known, and what asked for it before it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Whether only a later stage knows it.
    pub(crate) comes_later: bool,
    /// Whether the rules about who may come in depend on it.
    pub(crate) gate: bool,
    /// Whether the choice of the route does.
    pub(crate) route: bool,
    /// Whether the route's own answer does.
    pub(crate) answer: bool,
    /// Whether an experiment does that the request is in the paths of.
    pub(crate) experiment: bool,
}

impl Place {
    /// Whether nothing that was decided could be another thing once the place is known.
    pub(crate) fn is_settled(self) -> bool {
        !(self.gate || self.route || self.answer)
    }
}

/// What a host left out of a request that it hands over in part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Omitted {
    /// Bytes of the names and values of the header fields that are not there.
    pub bytes: usize,
}

/// A variation that the visitor is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assigned {
    pub(crate) experiment: ExperimentId,
    pub(crate) variation: usize,
    pub(crate) reason: Reason,
    /// Whether the visitor came without the identity by which the experiment knows it again.
    pub(crate) is_new: bool,
}

/// Backends to ask, in order, and how far that got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    /// Backends, each with the place of one of its URLs.
    pub(crate) plan: Vec<(BackendId, usize)>,
    pub(crate) next: usize,
    /// How often the place before `next` was asked again.
    pub(crate) repeated: u32,
    /// How many requests there were in all.
    pub(crate) made: u32,
    /// When the request that is under way was decided.
    pub(crate) asked: Timestamp,
    /// How long those took that are over; `None` before the first one is.
    pub(crate) waited: Option<Duration>,
    /// The backends that were asked, and when they were first.
    pub(crate) begun: Vec<(BackendId, Timestamp)>,
}

impl Transaction {
    /// Starts with a request as the client sent it.
    ///
    /// The request's URI is absolute or in origin form; in the latter case the
    /// `Host` field names the host.
    #[must_use]
    pub fn new(request: Request<Body>, facts: Facts, seed: Seed) -> Self {
        Self {
            request,
            facts,
            seed,
            omitted: Omitted::default(),
            crash: None,
            place: Place::default(),
            is_resumed: false,
            assign_again: false,
            is_admitted: false,
            upgrade: None,
            target: None,
            device: DeviceClass::Unknown,
            verdict: Verdict::default(),
            route: None,
            captures: Captures::default(),
            assigned: Vec::new(),
            limited_by: None,
            attempts: Attempts::default(),
            validates: None,
            cache_status: None,
            began: None,
            deadline: None,
            shown_key: None,
            cache: None,
            reason: Reason::RouteNotFound,
            notes: Vec::with_capacity(8),
        }
    }

    /// The same, of a request from which header fields were left out.
    pub(crate) fn partial(request: Request<Body>, facts: Facts, seed: Seed, omitted: Omitted) -> Self {
        Self { omitted, ..Self::new(request, facts, seed) }
    }

    /// The same, of a request whose handler crashed.
    pub(crate) fn after_crash(request: Request<Body>, facts: Facts, seed: Seed, message: String) -> Self {
        Self { crash: Some(message), ..Self::new(request, facts, seed) }
    }

    /// The same, where a later [stage](crate::stage) knows the client's place.
    #[must_use]
    pub fn before_the_place(request: Request<Body>, facts: Facts, seed: Seed) -> Self {
        let place = Place { comes_later: true, ..Place::default() };
        Self { place, ..Self::new(request, facts, seed) }
    }

    /// Says what a host left out of the request that it handed over in part.
    #[must_use]
    pub fn without(mut self, omitted: Omitted) -> Self {
        self.omitted = omitted;
        self
    }

    /// Returns the request as the phases left it.
    #[must_use]
    pub fn request(&self) -> &Request<Body> {
        &self.request
    }

    /// Returns what the platform knows about the client.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Returns what the classifier says about the client.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns the client's device class.
    #[must_use]
    pub fn device(&self) -> DeviceClass {
        self.device
    }

    /// Returns the decisions so far, in order.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    pub(crate) fn seed(&self) -> Seed {
        self.seed
    }

    /// Returns the request id: 32 hexadecimal digits of the seed.
    #[must_use]
    pub fn request_id(&self) -> String {
        hex::encode(&self.seed)
    }

    /// Returns what came of the request so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let backend = self.attempts.current().map(|(backend, _)| backend);
        let bot = self.verdict.category();
        Summary {
            reason: self.reason,
            cache: self.cache,
            route: self.route,
            backend,
            bot,
            failed_over: self.failed_over(),
            attempts: self.attempts.made,
        }
    }

    /// Why a backend did not answer, where something else did.
    fn failed_over(&self) -> Option<Reason> {
        let mut failures =
            self.notes.iter().rev().map(|note| note.reason).filter(|reason| reason.is_failure());
        if self.reason == Reason::BackendErrorStatus {
            // A backend said that it failed, and that is the answer.
            failures.skip_while(|reason| *reason != self.reason).nth(1)
        } else {
            failures.next().filter(|_| !self.reason.is_failure())
        }
    }

    /// An identity for a new visitor, which does not give the request id away.
    pub(crate) fn new_visitor(&self) -> String {
        let mixed = u128::from_le_bytes(self.seed).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        hex::encode(&(mixed ^ (mixed >> 64)).to_le_bytes())
    }

    /// Returns whether the plan has another URL or backend to ask.
    #[must_use]
    pub fn has_next_attempt(&self) -> bool {
        self.attempts.next < self.attempts.plan.len()
    }

    /// A number that the seed gives for the `nth` time.
    pub(crate) fn draw(&self, nth: u32) -> u32 {
        let hash = fnv1a64(self.seed.iter().copied().chain(nth.to_le_bytes()));
        (hash >> 32) as u32
    }

    /// Whether the client asks for a WebSocket: its request goes to a backend as it is, and no store can answer it.
    pub(crate) fn asks_for_web_socket(&self) -> bool {
        self.upgrade == Some(Upgrade::WebSocket) && self.request.method() == Method::GET
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            headers: self.request.headers(),
            query: self.query(),
            facts: &self.facts,
            device: self.device,
            verdict: self.verdict,
        }
    }

    pub(crate) fn query(&self) -> Query<'_> {
        Query::new(self.request.uri().query().unwrap_or_default())
    }

    /// The scheme that the client used, `http` when nobody knows.
    pub(crate) fn scheme(&self) -> &'static str {
        let by_uri = || self.request.uri().scheme_str().map(|scheme| scheme == "https");
        if self.facts.is_https.or_else(by_uri).unwrap_or(false) { "https" } else { "http" }
    }

    /// Takes back the variations of a request that is refused after all: the visitor sees none of them.
    pub(crate) fn forget_variations(&mut self) {
        self.assigned.clear();
    }

    /// Notes a decision that lets the request go on.
    pub(crate) fn note(&mut self, reason: Reason, rule: Rule) {
        self.notes.push(Note { reason, rule });
    }

    /// Notes a decision that makes the response what it is.
    pub(crate) fn decide(&mut self, reason: Reason, rule: Rule) {
        self.note(reason, rule);
        self.reason = reason;
    }

    /// Why the response is what it is, so far.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }
}

impl Attempts {
    /// The backend asked last, or to be asked first.
    pub(crate) fn current(&self) -> Option<(BackendId, usize)> {
        self.plan.get(self.next.saturating_sub(1)).copied()
    }

    /// Notes that a request leaves for a backend, and returns when the first one did.
    pub(crate) fn begin(&mut self, backend: BackendId, now: Timestamp) -> Timestamp {
        self.begun(backend).unwrap_or_else(|| {
            self.begun.push((backend, now));
            now
        })
    }

    /// When the first request left for a backend.
    pub(crate) fn begun(&self, backend: BackendId) -> Option<Timestamp> {
        self.begun.iter().find(|(other, _)| *other == backend).map(|(_, begun)| *begun)
    }

    /// Passes by the rest of the URLs of a backend.
    pub(crate) fn leave(&mut self, backend: BackendId) {
        let rest = self.plan.iter().skip(self.next);
        self.next += rest.take_while(|(other, _)| *other == backend).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_id_is_the_seed_and_the_visitor_is_not() {
        let seed = *b"\x00\x01\x0f\x10\x7f\x80\xf0\xff01234567";
        let transaction = Transaction::new(Request::new(Body::Empty), Facts::default(), seed);
        assert_eq!(transaction.request_id(), "00010f107f80f0ff3031323334353637");
        let visitor = transaction.new_visitor();
        assert_eq!(visitor.len(), 32);
        assert_ne!(
            visitor,
            transaction.request_id(),
            "a visitor's cookie does not give away the request's id"
        );
    }
}
