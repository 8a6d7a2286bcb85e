//! Many clients at once, in virtual time: a loop over events, in place of threads and clocks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use selvedge_core::body::Body;
use selvedge_core::effect::{CachePut, Effect, EffectId, EffectResult, FetchError, Issued, Turn};
use selvedge_core::engine::Engine;
use selvedge_core::exchange::{Exchange, Input, Rest, Step};
use selvedge_core::facts::Facts;
use selvedge_core::time::Timestamp;

use crate::edge::engine;
use crate::message::date;
use crate::store::{Item, Store};
use crate::{Millis, START};

/// How long nobody waits for a key of which nothing could be stored.
const FUTILE_TIME: Millis = 10_000;

/// What happens. Times are in milliseconds from the beginning.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What chance is made from.
    pub seed: u64,
    /// How many clients ask once.
    pub clients: u32,
    /// Within which time.
    pub arrivals: Millis,
    /// How many pages there are.
    pub pages: u32,
    /// How many languages; with more than one the pages vary.
    pub languages: u32,
    /// The origin's `Cache-Control`.
    pub control: &'static str,
    /// How long the origin takes.
    pub latency: Range<Millis>,
    /// How long a body takes after its head.
    pub body: Millis,
    /// When the origin answers 503 or not at all.
    pub outages: Vec<(Range<Millis>, Failure)>,
}

/// How the origin fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// With 503, as fast as ever.
    Unavailable,
    /// The connection breaks after so long.
    Hang(Millis),
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The page.
    pub page: u32,
    /// When it asked.
    pub arrived: Millis,
    /// When it was answered.
    pub answered: Millis,
    /// Status.
    pub status: u16,
    /// `Age`, where the answer was stored.
    pub age: Option<Millis>,
    /// When the origin made it.
    pub made: Option<Millis>,
    /// How the cache handled it.
    pub cache: String,
}

/// What the origin was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The page.
    pub page: u32,
    /// The language.
    pub language: u32,
    /// When.
    pub sent: Millis,
    /// When it was answered.
    pub done: Millis,
    /// Whether it failed.
    pub has_failed: bool,
}

/// What came of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the answers.
    pub answers: Vec<Answered>,
    /// In the order of the requests.
    pub fetches: Vec<Fetched>,
}

enum Event {
    Arrive(usize),
    Complete(usize, EffectId, EffectResult),
    /// The wait for a turn is over.
    GiveUp(usize, EffectId, String),
    /// A body that was on its way is there whole.
    Stored(Box<CachePut>),
}

struct Client {
    page: u32,
    language: u32,
    arrived: Millis,
    exchange: Exchange,
    /// Effects whose results are wanted.
    pending: usize,
    rest: Rest,
    turns: Vec<String>,
}

/// Who waits for a turn to end.
type Waiting = Vec<(usize, EffectId)>;

struct Crowd<'a> {
    scenario: &'a Scenario,
    engine: Arc<Engine>,
    chance: u64,
    now: Millis,
    sequence: u64,
    queue: BinaryHeap<Reverse<(Millis, u64)>>,
    events: BTreeMap<u64, Event>,
    clients: Vec<Client>,
    store: Store,
    turns: BTreeMap<String, Waiting>,
    futile: BTreeMap<String, Millis>,
    report: Report,
}

/// Runs a scenario to its end.
///
/// # Panics
/// When the core breaks a rule of its effects, or leaves a client without an answer.
#[must_use]
pub fn run(scenario: &Scenario) -> Report {
    let mut crowd = Crowd {
        scenario,
        engine: engine(true),
        chance: scenario.seed,
        now: 0,
        sequence: 0,
        queue: BinaryHeap::new(),
        events: BTreeMap::new(),
        clients: Vec::new(),
        store: Store::default(),
        turns: BTreeMap::new(),
        futile: BTreeMap::new(),
        report: Report::default(),
    };
    crowd.invite();
    while let Some(Reverse((time, at))) = crowd.queue.pop() {
        crowd.now = time;
        let event = crowd.events.remove(&at).expect("each event is queued once");
        crowd.on_event(event);
    }
    assert_eq!(crowd.report.answers.len(), crowd.clients.len(), "every client gets an answer");
    assert!(crowd.turns.is_empty(), "every turn ends");
    crowd.report
}

impl Crowd<'_> {
    fn invite(&mut self) {
        for at in 0..self.scenario.clients {
            let page = self.below(self.scenario.pages);
            let language = self.below(self.scenario.languages);
            let arrived = u64::from(self.below(u32::try_from(self.scenario.arrivals).unwrap_or(u32::MAX)));
            let builder = Request::get(format!("/plain/{page}"))
                .header(header::HOST, "shop.test")
                .header(header::ACCEPT_LANGUAGE, format!("l{language}"));
            let request = builder.body(Body::Empty).expect("a path makes a request");
            let seed = u128::from(at).to_le_bytes();
            let exchange = Exchange::new(Arc::clone(&self.engine), request, Facts::default(), seed);
            let (pending, rest, turns) = (0, Rest::Pending, Vec::new());
            self.clients.push(Client { page, language, arrived, exchange, pending, rest, turns });
            self.later(arrived, Event::Arrive(self.clients.len() - 1));
        }
    }

    /// SplitMix64: the same seed gives the same numbers.
    fn below(&mut self, bound: u32) -> u32 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        u32::try_from(mixed % u64::from(bound.max(1))).expect("the bound is of 32 bits")
    }

    fn later(&mut self, time: Millis, event: Event) {
        self.queue.push(Reverse((time, self.sequence)));
        self.events.insert(self.sequence, event);
        self.sequence += 1;
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(START + self.now)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Arrive(client) => self.poll(client, Input::Begin),
            Event::Complete(client, id, result) => self.complete(client, id, result),
            Event::GiveUp(client, id, key) => {
                let waiting = self.turns.get_mut(&key);
                let at = waiting.as_ref().and_then(|all| all.iter().position(|one| *one == (client, id)));
                if let (Some(waiting), Some(at)) = (waiting, at) {
                    waiting.remove(at);
                    self.complete(client, id, EffectResult::CacheWait(Turn::Alone));
                }
            }
            Event::Stored(put) => self.put(*put),
        }
    }

    fn complete(&mut self, client: usize, id: EffectId, result: EffectResult) {
        self.clients[client].pending -= 1;
        if self.clients[client].rest == Rest::Pending {
            self.poll(client, Input::Completed { id, result });
        }
        self.end_if_done(client);
    }

    fn poll(&mut self, client: usize, input: Input) {
        let now = self.time();
        let issued = match self.clients[client].exchange.poll(input, now) {
            Step::Effects(issued) => issued,
            Step::Respond(respond) => {
                self.clients[client].rest = respond.rest;
                self.answered(client, &respond.response);
                respond.effects
            }
            Step::Done => {
                self.clients[client].rest = Rest::Nothing;
                Vec::new()
            }
            other @ (Step::Settle(_) | Step::Depart(_)) => panic!("not of a request: {other:?}"),
        };
        for Issued { id, effect, .. } in issued {
            self.clients[client].pending += 1;
            self.perform(client, id, effect);
        }
        self.end_if_done(client);
    }

    /// Turns end with their exchange.
    fn end_if_done(&mut self, client: usize) {
        let one = &mut self.clients[client];
        if one.pending == 0 && one.rest == Rest::Nothing {
            for key in std::mem::take(&mut one.turns) {
                self.end_turn(&key);
            }
        }
    }

    fn answered(&mut self, client: usize, response: &Response<Body>) {
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|digits| digits.parse::<Millis>().ok());
        let one = &self.clients[client];
        self.report.answers.push(Answered {
            page: one.page,
            arrived: one.arrived,
            answered: self.now,
            status: response.status().as_u16(),
            age: number("age").map(|seconds| seconds * 1000),
            made: number("x-made"),
            cache: text("cache-status").unwrap_or_default().to_owned(),
        });
    }

    fn perform(&mut self, client: usize, id: EffectId, effect: Effect) {
        let result = match effect {
            Effect::Fetch(fetch) => return self.fetch(client, id, &fetch.request),
            Effect::CacheGet { key } => {
                EffectResult::CacheGet(self.store.get(&key, self.time()).map(|item| item.entry(Body::from)))
            }
            Effect::CachePut(put) => {
                if let Some(key) = &put.ends_turn {
                    self.hand_out(client, key);
                }
                self.later(self.now + self.scenario.body, Event::Stored(put));
                EffectResult::CachePut
            }
            Effect::CachePurge(purge) => {
                self.store.invalidate(&purge);
                EffectResult::CachePurge
            }
            Effect::CacheWait { key, wait } => {
                let wait = u64::try_from(wait.as_millis()).expect("waits are short");
                match self.wait(client, id, key, wait) {
                    Some(turn) => EffectResult::CacheWait(turn),
                    None => return,
                }
            }
            Effect::CacheRelease { key, is_futile } => {
                self.give_back(client, &key, is_futile);
                EffectResult::CacheRelease
            }
            Effect::Record(_) => EffectResult::Record,
            Effect::SliceBody { .. }
            | Effect::KvGet { .. }
            | Effect::KvPut { .. }
            | Effect::Count { .. }
            | Effect::ReadBody { .. }
            | Effect::Enqueue { .. }
            | Effect::Sleep { .. }
            | Effect::Cancel { .. } => panic!("a cache asks for nothing but its store and its origin"),
            _ => panic!("the core has learnt an effect that this host does not know"),
        };
        self.later(self.now, Event::Complete(client, id, result));
    }

    fn wait(&mut self, client: usize, id: EffectId, key: String, wait: Millis) -> Option<Turn> {
        if self.futile.get(&key).is_some_and(|until| self.now < *until) {
            return Some(Turn::Alone);
        }
        let Some(waiting) = self.turns.get_mut(&key) else {
            self.turns.insert(key.clone(), Waiting::new());
            self.clients[client].turns.push(key);
            return Some(Turn::First);
        };
        if wait == 0 {
            return Some(Turn::Alone);
        }
        waiting.push((client, id));
        self.later(self.now + wait, Event::GiveUp(client, id, key));
        None
    }

    /// The turn does not end with the client's exchange any more.
    fn hand_out(&mut self, client: usize, key: &str) {
        let turns = &mut self.clients[client].turns;
        let at = turns.iter().position(|own| own == key).expect("a turn that ends was taken");
        turns.remove(at);
    }

    fn give_back(&mut self, client: usize, key: &str, is_futile: bool) {
        self.hand_out(client, key);
        if is_futile {
            self.futile.insert(key.to_owned(), self.now + FUTILE_TIME);
        }
        self.end_turn(key);
    }

    fn end_turn(&mut self, key: &str) {
        let is_futile = self.futile.get(key).is_some_and(|until| self.now < *until);
        let turn = if is_futile { Turn::Alone } else { Turn::Over };
        for (client, id) in self.turns.remove(key).unwrap_or_default() {
            self.later(self.now, Event::Complete(client, id, EffectResult::CacheWait(turn)));
        }
    }

    fn put(&mut self, put: CachePut) {
        let until = self.time() + put.keep;
        let item = Item::of(put.entry, |body| match body {
            Body::Bytes(bytes) => bytes,
            Body::Empty | Body::Host(_) => Bytes::new(),
        });
        self.store.put(put.key, item, until);
        if let Some(key) = put.ends_turn {
            self.end_turn(&key);
        }
    }

    fn fetch(&mut self, client: usize, id: EffectId, request: &Request<Body>) {
        let spread =
            u32::try_from(self.scenario.latency.end - self.scenario.latency.start).unwrap_or(u32::MAX);
        let latency = self.scenario.latency.start + u64::from(self.below(spread));
        let failure = self.scenario.outages.iter().find(|(time, _)| time.contains(&self.now));
        let (done, result) = match failure {
            Some((_, Failure::Hang(most))) => (self.now + most, Err(FetchError::Timeout)),
            Some((_, Failure::Unavailable)) => (self.now + latency, Ok(self.reply(503, "no-store"))),
            None if request.headers().contains_key(header::IF_NONE_MATCH) => {
                (self.now + latency, Ok(self.reply(304, self.scenario.control)))
            }
            None => (self.now + latency, Ok(self.reply(200, self.scenario.control))),
        };
        let has_failed = failure.is_some();
        let Client { page, language, .. } = self.clients[client];
        self.report.fetches.push(Fetched { page, language, sent: self.now, done, has_failed });
        self.later(done, Event::Complete(client, id, EffectResult::Fetch(result)));
    }

    fn reply(&self, status: u16, control: &str) -> Response<Body> {
        let vary = if self.scenario.languages > 1 { "accept-language" } else { "" };
        let fields = [
            (header::CACHE_CONTROL, control.to_owned()),
            (header::DATE, date((START + self.now) / 1000)),
            (header::ETAG, "\"a\"".to_owned()),
            (header::VARY, vary.to_owned()),
            (http::HeaderName::from_static("x-made"), self.now.to_string()),
        ];
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let fields = fields.map(|(name, value)| (name, value.try_into().expect("fields are made of ASCII")));
        let mut response =
            Response::new(Body::from(Bytes::from_static(if status == 200 { b"page" } else { b"" })));
        *response.status_mut() = status.try_into().expect("the statuses of scenarios are valid");
        *response.headers_mut() = fields.collect::<HeaderMap>();
        response
    }
}
