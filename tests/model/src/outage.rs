//! Outages of backends, in virtual time: clients come at an even pace, and each backend does what its script says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::effect::{CacheEntry, Effect, EffectId, EffectResult, Fetch, FetchError, Issued, Watch};
use selvedge_core::engine::Engine;
use selvedge_core::exchange::{Exchange, Input, Rest, Step};
use selvedge_core::facts::Facts;
use selvedge_core::health::{BodyEnd, BodyReport};
use selvedge_core::policy::read::read;
use selvedge_core::time::Timestamp;

use crate::store::{Item, Store};
use crate::{Millis, START};

/// What a backend does with the requests that reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It answers 200 after so long.
    Answers(Millis),
    /// It refuses connections.
    Dead,
    /// Its name is not found, after so long.
    Unresolved(Millis),
    /// It takes connections and says nothing.
    Silent,
    /// It says something that is not HTTP.
    Garbage,
    /// It answers 503 at once.
    Unavailable,
    /// It answers 200 after so long, and breaks its body off.
    Truncates(Millis),
    /// It refuses connections and answers by turns, each for so long.
    Flaps(Millis),
}

/// What happens. Times are in milliseconds from the beginning.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The policy; the host of a backend's URL is its name here.
    pub policy: String,
    /// What the clients ask for, in turn.
    pub targets: Vec<&'static str>,
    /// How they ask; what is not a `GET` has content.
    pub method: Method,
    /// Whether the cache store never answers.
    pub store_hangs: bool,
    /// How many clients there are.
    pub clients: u64,
    /// From one to the next.
    pub pace: Millis,
    /// By host: what it does from these times on.
    pub scripts: BTreeMap<&'static str, Vec<(Millis, Behaviour)>>,
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When it asked.
    pub arrived: Millis,
    /// How long it waited.
    pub waited: Millis,
    /// Status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The reason's code.
    pub reason: &'static str,
    /// Content.
    pub body: Bytes,
}

/// What came of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the arrivals.
    pub answers: Vec<Answered>,
    /// By host, when requests reached it.
    pub hits: BTreeMap<String, Vec<Millis>>,
}

impl Report {
    /// How many requests reached a host within a time.
    #[must_use]
    pub fn hits_within(&self, host: &str, from: Millis, until: Millis) -> usize {
        let hits = self.hits.get(host).map(Vec::as_slice).unwrap_or_default();
        hits.iter().filter(|hit| (from..until).contains(*hit)).count()
    }
}

/// A body that breaks off.
const BROKEN: Body = Body::Host(BodyHandle(0));

enum Event {
    Arrive(usize),
    Complete(usize, EffectId, EffectResult),
    /// A body breaks off.
    Break(BodyReport),
}

struct Client {
    arrived: Millis,
    exchange: Exchange,
    cancelled: BTreeSet<EffectId>,
    rest: Rest,
    answer: Option<Answered>,
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    engine: Arc<Engine>,
    store: Store,
    now: Millis,
    events: BinaryHeap<Reverse<(Millis, usize)>>,
    pending: Vec<Option<Event>>,
    clients: Vec<Option<Client>>,
    report: Report,
}

/// Plays a scenario to its end.
///
/// # Panics
/// When the policy is none, or the core does what no host expects.
#[must_use]
pub fn play(scenario: &Scenario) -> Report {
    let policy = read(&scenario.policy).unwrap_or_else(|errors| panic!("{errors}"));
    let engine = Arc::new(Engine::compile(policy).expect("nothing else is needed"));
    let count = usize::try_from(scenario.clients).expect("clients fit");
    let mut simulation = Simulation {
        scenario,
        engine,
        store: Store::default(),
        now: 0,
        events: BinaryHeap::new(),
        pending: Vec::new(),
        clients: (0..count).map(|_| None).collect(),
        report: Report::default(),
    };
    for (client, at) in (0..count).zip((0..).step_by(usize::try_from(scenario.pace).expect("it fits"))) {
        simulation.later(at, Event::Arrive(client));
    }
    while let Some(Reverse((time, event))) = simulation.events.pop() {
        simulation.now = time;
        match simulation.pending[event].take().expect("an event happens once") {
            Event::Arrive(client) => simulation.arrive(client),
            Event::Complete(client, id, result) => simulation.complete(client, id, result),
            Event::Break(report) => report.tell(StatusCode::OK, BodyEnd::Broken, simulation.time()),
        }
    }
    let answers = simulation.clients.into_iter().map(|client| client.and_then(|client| client.answer));
    simulation.report.answers = answers.map(|answer| answer.expect("every client is answered")).collect();
    simulation.report
}

impl Simulation<'_> {
    fn time(&self) -> Timestamp {
        Timestamp::from_millis(START + self.now)
    }

    fn later(&mut self, time: Millis, event: Event) {
        self.events.push(Reverse((time, self.pending.len())));
        self.pending.push(Some(event));
    }

    fn arrive(&mut self, client: usize) {
        let target = self.scenario.targets[client % self.scenario.targets.len()];
        let method = self.scenario.method.clone();
        let content = if method == Method::GET { Body::Empty } else { Body::from("content") };
        let request =
            Request::builder().method(method).uri(format!("http://shop.test{target}")).body(content);
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&u64::try_from(client).expect("it fits").to_le_bytes());
        let request = request.expect("it is a request");
        let exchange = Exchange::new(Arc::clone(&self.engine), request, Facts::default(), seed);
        let cancelled = BTreeSet::new();
        self.clients[client] =
            Some(Client { arrived: self.now, exchange, cancelled, rest: Rest::Pending, answer: None });
        self.poll(client, Input::Begin);
    }

    fn complete(&mut self, client: usize, id: EffectId, result: EffectResult) {
        let one = self.one(client);
        if one.rest == Rest::Pending && !one.cancelled.contains(&id) {
            self.poll(client, Input::Completed { id, result });
        }
    }

    fn one(&mut self, client: usize) -> &mut Client {
        self.clients[client].as_mut().expect("it has arrived")
    }

    fn poll(&mut self, client: usize, input: Input) {
        let (now, time) = (self.now, self.time());
        let one = self.one(client);
        let issued = match one.exchange.poll(input, time) {
            Step::Effects(issued) => issued,
            Step::Respond(respond) => {
                one.rest = respond.rest;
                one.answer =
                    Some(answered(one.arrived, now, respond.summary.reason.code(), respond.response));
                respond.effects
            }
            Step::Done => {
                one.rest = Rest::Nothing;
                Vec::new()
            }
            other @ (Step::Settle(_) | Step::Depart(_)) => panic!("not of a request: {other:?}"),
        };
        for Issued { id, effect, .. } in issued {
            self.perform(client, id, effect);
        }
    }

    fn perform(&mut self, client: usize, id: EffectId, effect: Effect) {
        let (after, result) = match effect {
            Effect::Fetch(fetch) => self.fetch(*fetch),
            Effect::Sleep { time } => (millis(time), EffectResult::Sleep),
            Effect::Cancel { id } => {
                self.one(client).cancelled.insert(id);
                return;
            }
            Effect::CacheGet { .. } if self.scenario.store_hangs => return,
            Effect::CacheGet { key } => {
                let item = self.store.get(&key, self.time());
                (0, EffectResult::CacheGet(item.map(|item| item.entry(Body::from))))
            }
            // What breaks off is not stored.
            Effect::CachePut(put) if matches!(put.entry, CacheEntry::Response(_, Body::Host(_))) => {
                (0, EffectResult::CachePut)
            }
            Effect::CachePut(put) => {
                let until = self.time() + put.keep;
                let item = Item::of(put.entry, |body| content(&body));
                self.store.put(put.key, item, until);
                (0, EffectResult::CachePut)
            }
            Effect::CachePurge(purge) => {
                self.store.invalidate(&purge);
                (0, EffectResult::CachePurge)
            }
            Effect::Record(_) => (0, EffectResult::Record),
            other @ (Effect::CacheWait { .. }
            | Effect::CacheRelease { .. }
            | Effect::SliceBody { .. }
            | Effect::KvGet { .. }
            | Effect::KvPut { .. }
            | Effect::Count { .. }
            | Effect::ReadBody { .. }
            | Effect::Enqueue { .. }
            | _) => panic!("these policies need no {other:?}"),
        };
        self.later(self.now + after, Event::Complete(client, id, result));
    }

    fn fetch(&mut self, fetch: Fetch) -> (Millis, EffectResult) {
        let host = fetch.request.uri().host().expect("a backend has a host").to_owned();
        self.report.hits.entry(host.clone()).or_default().push(self.now);
        let script = &self.scenario.scripts[host.as_str()];
        let (since, behaviour) =
            script.iter().rev().find(|(from, _)| *from <= self.now).expect("a script begins at zero");
        let answers = || (5, Ok(response(StatusCode::OK, &host)));
        let (after, result) = match behaviour {
            Behaviour::Answers(after) => (*after, Ok(response(StatusCode::OK, &host))),
            Behaviour::Dead => (1, Err(FetchError::Connect)),
            Behaviour::Unresolved(after) => (*after, Err(FetchError::Connect)),
            Behaviour::Silent => (Millis::MAX, Err(FetchError::Timeout)),
            Behaviour::Garbage => (2, Err(FetchError::Protocol)),
            Behaviour::Unavailable => (2, Ok(response(StatusCode::SERVICE_UNAVAILABLE, "overloaded"))),
            Behaviour::Truncates(after) => (*after, Ok(response(StatusCode::OK, "").map(|_| BROKEN))),
            Behaviour::Flaps(each) if (self.now - since) / each % 2 == 1 => answers(),
            Behaviour::Flaps(_) => (1, Err(FetchError::Connect)),
        };
        if let (Behaviour::Truncates(after), Some(Watch { report, .. })) = (*behaviour, fetch.watch) {
            self.later(self.now + after + 1, Event::Break(report));
        }
        let timeout = millis(fetch.timeout);
        if after >= timeout {
            return (timeout, EffectResult::Fetch(Err(FetchError::Timeout)));
        }
        (after, EffectResult::Fetch(result))
    }
}

fn answered(arrived: Millis, now: Millis, reason: &'static str, response: Response<Body>) -> Answered {
    let retry_after = response.headers().get(http::header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    let (waited, status) = (now - arrived, response.status().as_u16());
    Answered { arrived, waited, status, retry_after, reason, body: content(&response.into_body()) }
}

fn response(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    response
}

fn content(body: &Body) -> Bytes {
    match body {
        Body::Empty => Bytes::new(),
        Body::Bytes(bytes) => bytes.clone(),
        // Only what breaks off is not in memory here.
        Body::Host(_) => Bytes::new(),
    }
}

fn millis(duration: std::time::Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
