//! A policy on Lambda@Edge: each trigger runs the [stage](selvedge_core::stage) of its name.
//!
//! [`Edge::begin`] takes an event. Most come to an end at once; those that have to ask a backend or a handler hand out effects, and go on
//! with [`Running::poll`]. Nothing here does any input or output: Node.js performs the effects in a function, and Rust in a native one.
//!
//! # What triggers tell each other
//! In the header `selvedge-state`, encrypted with a key of the deployment and authenticated; the header of a client is taken away at the
//! door. viewer-response reads what viewer-request wrote. What the origin's triggers say about a response is in the response's own header
//! of that name, which CloudFront keeps with it and viewer-response removes.
//!
//! CloudFront shows origin-response nothing of a request but what it sent to the backend, so that origin-response makes the request
//! anew from that: nothing internal leaves the edge.
//!
//! DIFFERENCE: Where the backend is sent too little for that (a route that rewrites the path, a header that the policy reads and does not
//! pass on, an experiment that depends on the client's place), the header goes along to the backend, which cannot read it. Without it,
//! neither the route's lifetimes nor the headers of an error could be known there.
//!
//! # When a request comes without it
//! As it may while a deployment changes the key: origin-request then decides everything anew, and a response passes as it is.

pub mod behaviours;
pub mod distribution;
mod facts;
mod message;
mod running;
mod seal;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use selvedge_core::body::Body;
use selvedge_core::effect::{Issued, Record};
use selvedge_core::engine::{Answer, Engine};
use selvedge_core::exchange::{Exchange, Input};
use selvedge_core::facts::{Fact, Facts};
use selvedge_core::health::{BodyReport, Place};
use selvedge_core::hex;
use selvedge_core::reason::Summary;
use selvedge_core::stage::{
    Arrived, Departing, Entry, Forward, HandedOver, Learnt, Mark, Passage, response_depends_on_place,
};
use selvedge_core::time::Timestamp;
use selvedge_core::transaction::{Omitted, Seed, Transaction};
use sha2::{Digest, Sha256};

use crate::event::{Cf, Headers, Outcome, Request, Response, Trigger};
use crate::rules::{self, Violation};

use behaviours::Origins;
use distribution::{Distribution, Geography, KEY_HEADER, STATE_HEADER, is_secondary};
pub use facts::viewer_facts;
pub use running::{Departing as NativelyDeparting, Progress, Running};
pub use seal::KEY_BYTES;
use seal::{Purpose, Seal};

/// Longest body of a response that origin-request makes, in bytes: CloudFront takes 1 MB with the headers
/// (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html>).
const MAX_GENERATED_BYTES: usize = 980_000;

/// Longest key that CloudFront's cache is told as it is: it shares the request's 20,480 bytes with the client's own fields
/// (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html>).
const MAX_KEY_BYTES: usize = 256;

/// Tells where a client is.
pub type Places = Arc<dyn Fn(IpAddr) -> Facts + Send + Sync>;

/// A policy on Lambda@Edge.
pub struct Edge {
    engine: Arc<Engine>,
    seal: Seal,
    distribution: Distribution,
    places: Option<Places>,
}

/// What a deployment sets.
pub struct Settings {
    /// The key of what triggers tell each other: secret, and the same at every trigger.
    pub key: [u8; KEY_BYTES],
    /// Whether CloudFront sends every viewer from `http` to `https`.
    pub https_only: bool,
    /// Tells clients' places from the first trigger on; without it CloudFront does, from origin-request on.
    pub places: Option<Places>,
}

/// What came of an event.
#[derive(Debug)]
pub struct Finished {
    /// What the function returns.
    pub outcome: Outcome,
    /// What came of the request, where this event is the last that the function sees of it: an answer of its own, an error on its way to the
    /// client, or a response that leaves the cache.
    pub summary: Option<Summary>,
    /// What to hand to whatever collects records.
    pub records: Vec<Record>,
    /// Which rules of CloudFront's the result would have broken; it breaks none any more.
    pub violations: Vec<Violation>,
}

/// What came of a request in part.
#[derive(Debug)]
pub enum Through {
    /// It goes on with these values of [`KEY_HEADER`] and [`STATE_HEADER`], and
    /// without the headers that [`imitation`](selvedge_core::headers::imitation) names.
    Forward {
        /// What CloudFront's cache tells it by.
        key: String,
        /// What was learnt.
        state: String,
    },
    /// It is answered.
    Respond(Box<Finished>),
}

/// The same before CloudFront's rules were applied.
enum Entrance {
    Forward { key: String, state: String },
    Respond { response: Response, summary: Summary, records: Vec<Record> },
}

/// How an event goes on.
pub enum Begun {
    /// It is done.
    Done(Box<Finished>),
    /// Effects are due: poll with [`Input::Begin`] first.
    Runs(Box<Running>),
}

/// A result before CloudFront's rules were applied.
pub(crate) struct Returned {
    pub(crate) outcome: Outcome,
    pub(crate) summary: Option<Summary>,
    pub(crate) records: Vec<Record>,
}

impl Returned {
    /// A result that says nothing about what came of its request.
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self { outcome, summary: None, records: Vec::new() }
    }
}

impl Edge {
    /// Makes an edge of a compiled policy.
    #[must_use]
    pub fn new(engine: Arc<Engine>, settings: Settings) -> Self {
        let Settings { key, https_only, places } = settings;
        let geography = if places.is_some() { Geography::Database } else { Geography::Platform };
        let distribution = Distribution::of(engine.policy(), geography);
        let distribution = if https_only { distribution } else { distribution.with_http() };
        Self { engine, seal: Seal::new(&key), distribution, places }
    }

    /// Returns the distribution that the edge stands in.
    #[must_use]
    pub fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    /// Returns what a function answers a request with when nothing else works.
    #[must_use]
    pub fn last_resort(&self) -> Outcome {
        Outcome::Response(message::generated(self.engine.last_resort().response))
    }

    /// Takes the request of a viewer-request event in part: `request` has the method and the header fields that [`fields`](Self::fields)
    /// names, `target` is path and query, and `omitted` says what the other fields weigh.
    ///
    /// What comes of it is what [`begin`](Self::begin) makes of the whole event.
    #[must_use]
    pub fn enter_in_part(
        &self,
        mut request: http::Request<Body>,
        target: &str,
        client_ip: &str,
        omitted: Omitted,
        seed: Seed,
        now: Timestamp,
    ) -> Through {
        *request.uri_mut() = message::path(target.to_owned());
        *request.body_mut() = message::announced_body(request.headers());
        match self.enter(request, self.facts_at_the_door(client_ip), omitted, seed, now) {
            Entrance::Forward { key, state } => Through::Forward { key, state },
            Entrance::Respond { response, summary, records } => {
                let outcome = Outcome::Response(response);
                let returned = Returned { outcome, summary: Some(summary), records };
                Through::Respond(Box::new(self.finish(&Cf::default(), Trigger::ViewerRequest, returned)))
            }
        }
    }

    /// Returns the names, lower case, of the header fields that viewer-request reads.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        self.engine.fields_at_entry()
    }

    /// Returns whether viewer-request reads the client's address; elsewhere a request in part may come without it.
    #[must_use]
    pub fn reads_address(&self) -> bool {
        self.places.is_some() || self.engine.interest().facts.has(Fact::ClientIp)
    }

    /// Returns whether an answer to the same request, without records and cookies, is the same whatever its seed and time.
    #[must_use]
    pub fn answers_repeat(&self) -> bool {
        !self.engine.interest().request_id
    }

    /// Prepares to be told how a backend's body ended.
    #[must_use]
    pub fn body(&self, place: Place, probe: Option<u32>) -> BodyReport {
        self.engine.health().body(place, probe)
    }

    /// Takes an event.
    ///
    /// `seed` is fresh randomness. `crash` is what took the module down that ran this event before, where a panic cannot be caught: the
    /// route's handler counts as having panicked with that message. An event without `eventType`, as in old samples, is taken for a
    /// viewer's.
    #[must_use]
    pub fn begin(self: &Arc<Self>, cf: Cf, seed: Seed, crash: Option<String>, now: Timestamp) -> Begun {
        let usual = if cf.response.is_some() { Trigger::ViewerResponse } else { Trigger::ViewerRequest };
        let trigger = cf.config.event_type.unwrap_or(usual);
        let result = match trigger {
            Trigger::ViewerRequest => self.viewer_request(&cf, seed, now),
            Trigger::OriginRequest => return self.origin_request(cf, seed, crash),
            Trigger::OriginResponse => self.origin_response(&cf, seed, now),
            Trigger::ViewerResponse => self.viewer_response(&cf, now),
        };
        Begun::Done(Box::new(self.finish(&cf, trigger, result)))
    }

    fn viewer_request(&self, cf: &Cf, seed: Seed, now: Timestamp) -> Returned {
        let request = message::request(&cf.request);
        match self.enter(
            request,
            self.facts_at_the_door(&cf.request.client_ip),
            Omitted::default(),
            seed,
            now,
        ) {
            Entrance::Respond { response, summary, records } => {
                Returned { outcome: Outcome::Response(response), summary: Some(summary), records }
            }
            Entrance::Forward { key, state } => {
                let mut request = cf.request.clone();
                message::clean(&mut request.headers);
                request.headers.insert(KEY_HEADER, key);
                request.headers.insert(STATE_HEADER, state);
                Returned::of(Outcome::Request(Box::new(request)))
            }
        }
    }

    fn enter(
        &self,
        request: http::Request<Body>,
        facts: Facts,
        omitted: Omitted,
        seed: Seed,
        now: Timestamp,
    ) -> Entrance {
        let tx = match self.places {
            Some(_) => Transaction::new(request, facts, seed),
            None => Transaction::before_the_place(request, facts, seed),
        };
        match self.engine.enter(tx.without(omitted), now) {
            Entry::Respond(answer) => {
                let Answer { response, summary, records } = *answer;
                Entrance::Respond { response: message::generated(response), summary, records }
            }
            Entry::Forward(Forward { key, learnt }) => Entrance::Forward {
                key: key.map_or_else(|| unshared(seed), shared),
                state: self.seal.close(Purpose::Learnt, seed, &learnt.to_bytes()),
            },
        }
    }

    fn origin_request(self: &Arc<Self>, cf: Cf, seed: Seed, crash: Option<String>) -> Begun {
        let facts = self.facts_as_sent(&cf.request);
        let has_failed = cf.request.origin.as_ref().is_some_and(is_secondary);
        let request = message::request(&cf.request);
        let tx = match self.learnt(&cf.request.headers) {
            Some(learnt) => Transaction::resumed(request, facts, &learnt),
            None => Transaction::new(request, facts, seed),
        };
        let tx = match crash {
            Some(message) => tx.crashed(message),
            None => tx,
        };
        let how = Departing { has_failed, max_body_bytes: MAX_GENERATED_BYTES };
        let exchange = Exchange::departing(Arc::clone(&self.engine), tx, how);
        Begun::Runs(Box::new(Running::new(Arc::clone(self), cf, seed, exchange)))
    }

    fn origin_response(&self, cf: &Cf, seed: Seed, now: Timestamp) -> Returned {
        let Some(response) = &cf.response else { return unchanged(cf) };
        let mut response = response.clone();
        response.headers.remove(STATE_HEADER);
        let (sent, received) = (message::sent(&cf.request), message::response(&response));
        let tx = match cf.request.headers.first(STATE_HEADER).map(|sealed| self.opened(sealed)) {
            Some(Some(passage)) => passage.resume(sent),
            // The request cannot be made anew without what it says.
            Some(None) => return Returned::of(Outcome::Response(response)),
            None => self.engine.retrace(sent, self.facts_as_sent(&cf.request)),
        };
        // The path is the viewer's, by which CloudFront chose.
        let fails_over = self.distribution.origins_of(tx.request().uri().path()) == Origins::Group;
        match self.engine.arrive(tx, received, fails_over, now) {
            Arrived::Keep => Returned::of(Outcome::Response(response)),
            Arrived::Deliver(handed) => {
                let HandedOver { response: delivered, mark, summary, records } = *handed;
                let mut response = message::changed(Trigger::OriginResponse, response, delivered);
                self.attach(&mut response.headers, mark.as_ref(), seed);
                let summary = mark.is_none().then_some(summary);
                Returned { outcome: Outcome::Response(response), summary, records }
            }
        }
    }

    fn viewer_response(&self, cf: &Cf, now: Timestamp) -> Returned {
        let Some(response) = &cf.response else { return unchanged(cf) };
        let mut response = response.clone();
        let mark = response.headers.remove(STATE_HEADER);
        let mark = mark.first().and_then(|field| self.seal.open(Purpose::Mark, &field.value));
        let mark = mark.and_then(|bytes| Mark::from_bytes(&bytes));
        let (Some(mark), Some(learnt)) = (mark, self.learnt(&cf.request.headers)) else {
            return Returned::of(Outcome::Response(response));
        };
        let (request, received) = (message::request(&cf.request), message::response(&response));
        let Answer { response: answer, summary, records } = self.engine.leave(
            request,
            self.facts_at_the_door(&cf.request.client_ip),
            &learnt,
            &mark,
            received,
            now,
        );
        let outcome = Outcome::Response(message::changed(Trigger::ViewerResponse, response, answer));
        Returned { outcome, summary: Some(summary), records }
    }

    /// Applies CloudFront's rules; what cannot be repaired is replaced by what always works.
    pub(crate) fn finish(&self, cf: &Cf, trigger: Trigger, result: Returned) -> Finished {
        let Returned { outcome, summary, records } = result;
        let rules::Enforced { outcome, repaired, left } = rules::enforce(cf, trigger, outcome);
        let mut violations = repaired;
        let is_broken = !left.is_empty();
        violations.extend(left);
        let outcome = if is_broken { self.at_last(cf, trigger) } else { outcome };
        Finished { outcome, summary, records, violations }
    }

    /// The policy's fallback, or at the last trigger, which can change neither status nor body, the response as it came.
    fn at_last(&self, cf: &Cf, trigger: Trigger) -> Outcome {
        match (trigger, &cf.response) {
            (Trigger::ViewerResponse, Some(response)) => {
                let mut response = response.clone();
                response.headers.remove(STATE_HEADER);
                Outcome::Response(response)
            }
            _ => {
                let enforced = rules::enforce(cf, trigger, self.last_resort());
                if enforced.left.is_empty() { enforced.outcome } else { self.bare(cf, trigger) }
            }
        }
    }

    /// The fallback's status and nothing else, where CloudFront takes no page of its length.
    fn bare(&self, cf: &Cf, trigger: Trigger) -> Outcome {
        let mut response = Response::new(self.engine.last_resort().response.status().as_u16());
        response.headers.append("cache-control", "no-store");
        // At origin-response, a response without a body keeps the backend's; at viewer-response, none may be set.
        response.body = (trigger != Trigger::ViewerResponse).then(String::new);
        rules::enforce(cf, trigger, Outcome::Response(response)).outcome
    }

    pub(crate) fn attach(&self, headers: &mut Headers, mark: Option<&Mark>, seed: Seed) {
        if let Some(mark) = mark {
            headers.insert(STATE_HEADER, self.seal.close(Purpose::Mark, seed, &mark.to_bytes()));
        }
    }

    /// What goes to the backend with a request, if the origin-response trigger could not do without it.
    pub(crate) fn passage(&self, tx: &Transaction, sent: &Request, seed: Seed) -> Option<String> {
        let passage = self.engine.passage(tx, &message::sent(sent), self.facts_as_sent(sent))?;
        Some(self.seal.close(Purpose::Passage, seed, &passage.to_bytes()))
    }

    /// Which headers of CloudFront's a backend is sent: the scheme, and the place where a response depends on it.
    pub(crate) fn tells(&self, name: &str) -> bool {
        facts::is_scheme(name) || (facts::is_place(name) && response_depends_on_place(self.engine.policy()))
    }

    /// What a request to a backend says about its client.
    fn facts_as_sent(&self, sent: &Request) -> Facts {
        let facts = facts::behind_the_cache(sent, self.distribution.https_only);
        match &self.places {
            Some(places) => with_place(facts, places),
            None => facts,
        }
    }

    /// Returns the compiled policy.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    fn opened(&self, passage: &str) -> Option<Passage> {
        Passage::from_bytes(&self.seal.open(Purpose::Passage, passage)?)
    }

    fn learnt(&self, headers: &Headers) -> Option<Learnt> {
        let sealed = headers.first(STATE_HEADER)?;
        Learnt::from_bytes(&self.seal.open(Purpose::Learnt, sealed)?)
    }

    fn facts_at_the_door(&self, client_ip: &str) -> Facts {
        let facts = facts::at_the_door(client_ip, self.distribution.https_only);
        match &self.places {
            Some(places) => with_place(facts, places),
            None => facts,
        }
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("distribution", &self.distribution).finish_non_exhaustive()
    }
}

/// An event that is none of its trigger's.
fn unchanged(cf: &Cf) -> Returned {
    Returned::of(Outcome::Request(Box::new(cf.request.clone())))
}

fn with_place(mut facts: Facts, places: &Places) -> Facts {
    let Some(address) = facts.client_ip else { return facts };
    let place = places(address);
    facts.country = place.country;
    facts.continent = place.continent;
    facts.region = place.region;
    facts.city = place.city;
    facts.coordinates = place.coordinates;
    facts.time_zone = place.time_zone;
    facts.asn = place.asn;
    facts
}

/// A key that no other request has.
fn unshared(seed: Seed) -> String {
    format!("-{}", hex::encode(&seed))
}

/// A key in one line: itself, unless it is long or has a blank, and its digest then.
fn shared(key: String) -> String {
    if key.len() > MAX_KEY_BYTES || key.contains(' ') {
        return hex::encode(&Sha256::digest(key.as_bytes())[..16]);
    }
    if key.contains('\n') { key.replace('\n', " ") } else { key }
}
