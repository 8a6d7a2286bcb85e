//! The engine with a store, an origin and a clock in memory: what the oracle is compared with.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::cache::purge::{Manner, Purge};
use selvedge_core::effect::{CachePut, Effect, EffectResult, Fetch, FetchError, Issued, Turn};
use selvedge_core::engine::Engine;
use selvedge_core::exchange::{Exchange, Input, Rest, Step};
use selvedge_core::facts::Facts;
use selvedge_core::policy::read::read;
use selvedge_core::time::Timestamp;

use crate::message::{Ask, Method, Page};
use crate::origin::{Asked, Origin};
use crate::plan::{Aim, Order};
use crate::store::{Item, Store};
use crate::{Millis, POLICY, START};

/// What a client sees of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Status.
    pub status: u16,
    /// The fields that are compared, those that are there.
    pub fields: Vec<(&'static str, String)>,
    /// The body; nothing for `HEAD`.
    pub body: String,
    /// How the cache handled it, as `Cache-Status` has it.
    pub cache: String,
}

/// Fields that are compared.
const FIELDS: [&str; 15] = [
    "age",
    "cache-control",
    "cache-groups",
    "content-length",
    "content-location",
    "content-range",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "set-cookie",
    "vary",
    "x-note",
    "x-serial",
];

/// The fields of a response that are compared.
#[must_use]
pub fn fields(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let lines = |name: &'static str| headers.get_all(name).iter().map(move |line| (name, line));
    let text =
        |(name, line): (_, &http::HeaderValue)| (name, String::from_utf8_lossy(line.as_bytes()).into_owned());
    FIELDS.into_iter().flat_map(lines).map(text).collect()
}

/// Compiles the policy, for a host that lets requests wait for one another or not.
///
/// # Panics
/// When the policy is refused.
#[must_use]
pub fn engine(collapses: bool) -> Arc<Engine> {
    let policy = read(POLICY).unwrap_or_else(|errors| panic!("the policy is refused: {errors}"));
    let builder = Engine::builder(policy);
    let builder = if collapses { builder.collapsing() } else { builder };
    Arc::new(builder.compile().unwrap_or_else(|error| panic!("the policy does not compile: {error}")))
}

/// Makes the request of a client.
///
/// # Panics
/// Never: what clients ask for makes a request.
#[must_use]
pub fn request(ask: &Ask) -> Request<Body> {
    let body = if ask.method.is_safe() { Body::Empty } else { Body::from(Bytes::from_static(b"x")) };
    let builder = Request::builder().method(ask.method.http()).uri(ask.page.path());
    let mut request = builder.body(body).expect("a path makes a URI");
    *request.headers_mut() = ask.headers();
    request
}

/// Reads what the core sends to the origin.
///
/// # Panics
/// When it is nothing that was asked for.
#[must_use]
pub fn asked(request: &Request<Body>) -> Asked {
    let text = |name: &str| {
        let lines: Vec<_> = request.headers().get_all(name).iter().collect();
        let [line] = lines[..] else { return None };
        line.to_str().ok().map(str::to_owned)
    };
    let method = [Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete]
        .into_iter()
        .find(|method| method.http() == *request.method());
    Asked {
        method: method.unwrap_or_else(|| panic!("the origin is sent {}", request.method())),
        page: Page::of(request.uri().path())
            .unwrap_or_else(|| panic!("the origin is asked for {}", request.uri())),
        if_none_match: text("if-none-match"),
        if_modified_since: text("if-modified-since"),
        range: text("range"),
        if_range: text("if-range"),
    }
}

/// The edge.
#[derive(Debug)]
pub struct Edge {
    engine: Arc<Engine>,
    store: Store,
    /// The origin behind it.
    pub origin: Origin,
    /// Its clock.
    pub now: Millis,
    /// What the origin was asked since it was last looked at.
    pub asked: Vec<Asked>,
    /// What is purged while the next answer is on its way.
    pub during: Option<Order>,
    turns: BTreeSet<String>,
    bodies: Vec<Bytes>,
    has_handles: bool,
    seeds: u8,
}

impl Edge {
    /// An edge with an empty store. With `has_handles`, bodies stay with the host.
    #[must_use]
    pub fn new(engine: Arc<Engine>, has_handles: bool) -> Self {
        Self {
            engine,
            store: Store::default(),
            origin: Origin::default(),
            now: START,
            asked: Vec::new(),
            during: None,
            turns: BTreeSet::new(),
            bodies: Vec::new(),
            has_handles,
            seeds: 0,
        }
    }

    /// Answers a client, to the end of what goes on after the answer.
    ///
    /// # Panics
    /// When the core breaks a rule of its effects, for example leaves a turn behind.
    pub fn answer(&mut self, ask: &Ask) -> Seen {
        self.bodies.clear();
        self.seeds = self.seeds.wrapping_add(1);
        let exchange =
            Exchange::new(Arc::clone(&self.engine), request(ask), Facts::default(), [self.seeds; 16]);
        let response = self.run(exchange);
        self.turns.clear();
        let cache = response.headers().get("cache-status").map(|value| value.to_str().unwrap_or_default());
        let cache = cache.unwrap_or_default().trim_start_matches("Selvedge;");
        let cache = cache.split(";detail=").next().unwrap_or_default();
        // Which of the two it is depends on how long a store remembers that there were variants.
        let cache = cache.replace("uri-miss", "miss").replace("vary-miss", "miss");
        let body = match ask.method {
            Method::Head => Bytes::new(),
            Method::Get | Method::Post | Method::Put | Method::Delete => self.content(response.body()),
        };
        Seen {
            status: response.status().as_u16(),
            fields: fields(response.headers()),
            body: String::from_utf8_lossy(&body).into_owned(),
            cache,
        }
    }

    /// Performs an operator's purge.
    pub fn purge(&mut self, order: &Order) {
        let site = "http://shop.test";
        let refused = "the edge knows its own URLs";
        let what = match order.aim {
            Aim::Page(page) => {
                let urls = self.engine.purge_urls(&format!("{site}{}", page.path())).expect(refused);
                urls.into_iter().map(Purge::Url).collect()
            }
            Aim::Route(route) => {
                let path = Page { route, number: 0 }.path();
                let prefix = format!("{site}{}", path.trim_end_matches('0'));
                vec![Purge::Prefix(self.engine.purge_prefix(&prefix).expect(refused))]
            }
            Aim::Tag(number) => vec![Purge::Tag(format!("t{number}"))],
            Aim::Group(number) => vec![Purge::Group { origin: site.to_owned(), name: format!("g{number}") }],
            Aim::Everything => vec![Purge::Everything],
        };
        let manner = if order.is_soft { Manner::Soft } else { Manner::Hard };
        let now = self.time();
        what.iter().for_each(|what| self.store.purge(what, manner, now));
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn run(&mut self, mut exchange: Exchange) -> Response<Body> {
        let mut waiting: VecDeque<Issued> = VecDeque::new();
        let mut response = None;
        let mut input = Input::Begin;
        loop {
            match exchange.poll(input, self.time()) {
                Step::Effects(issued) => waiting.extend(issued),
                Step::Respond(respond) => {
                    assert!(response.is_none(), "the core responds once");
                    waiting.extend(respond.effects);
                    response = Some(respond.response);
                    if respond.rest == Rest::Nothing {
                        break;
                    }
                }
                Step::Done => break,
                other @ (Step::Settle(_) | Step::Depart(_)) => panic!("not of a request: {other:?}"),
            }
            let Some(Issued { id, effect, .. }) = waiting.pop_front() else { break };
            input = Input::Completed { id, result: self.perform(effect) };
        }
        // Results change nothing any more, the effects are performed all the same.
        waiting.into_iter().for_each(|issued| drop(self.perform(issued.effect)));
        response.expect("every request is answered")
    }

    fn perform(&mut self, effect: Effect) -> EffectResult {
        match effect {
            Effect::Fetch(fetch) => EffectResult::Fetch(self.fetch(*fetch)),
            Effect::CacheGet { key } => {
                let item = self.store.get(&key, self.time());
                EffectResult::CacheGet(item.map(|item| item.entry(|content| self.keep(content))))
            }
            Effect::CachePut(put) => {
                self.put(*put);
                EffectResult::CachePut
            }
            Effect::CachePurge(purge) => {
                self.store.invalidate(&purge);
                EffectResult::CachePurge
            }
            Effect::CacheWait { key, .. } => {
                assert!(self.turns.insert(key), "one client takes a turn once");
                EffectResult::CacheWait(Turn::First)
            }
            Effect::CacheRelease { key, .. } => {
                assert!(self.turns.remove(&key), "a turn that ends was taken");
                EffectResult::CacheRelease
            }
            Effect::SliceBody { body, start, length } => {
                EffectResult::SliceBody(self.cut(body, start, length))
            }
            Effect::ReadBody { body, limit } => {
                let content = self.content(&Body::Host(body));
                assert!(content.len() <= limit, "a body is as long as its head says");
                EffectResult::ReadBody(Ok(content))
            }
            Effect::Record(_) => EffectResult::Record,
            Effect::KvGet { .. }
            | Effect::KvPut { .. }
            | Effect::Count { .. }
            | Effect::Enqueue { .. }
            | Effect::Sleep { .. }
            | Effect::Cancel { .. } => panic!("a cache asks for nothing but its store and its origin"),
            _ => panic!("the core has learnt an effect that this host does not know"),
        }
    }

    fn put(&mut self, put: CachePut) {
        if let Some(key) = put.ends_turn {
            assert!(self.turns.remove(&key), "a turn that ends was taken");
        }
        let until = self.time() + put.keep;
        let item = Item::of(put.entry, |body| self.content(&body));
        self.store.put(put.key, item, until);
    }

    fn fetch(&mut self, fetch: Fetch) -> Result<Response<Body>, FetchError> {
        let asked = asked(&fetch.request);
        let (sent, delay) = (self.now, self.origin.delay(asked.page));
        let reply = self.origin.reply(&asked, sent);
        self.asked.push(asked);
        if let Some(order) = self.during.take() {
            self.now = sent + delay / 2;
            self.purge(&order);
        }
        self.now = sent + delay;
        let (head, body) = reply?;
        let body = if fetch.request.method() == http::Method::HEAD { String::new() } else { body };
        let mut response = Response::new(self.keep(Bytes::from(body)));
        *response.status_mut() = head.status.try_into().expect("an origin's status is one");
        *response.headers_mut() = head.headers();
        Ok(response)
    }

    fn keep(&mut self, content: Bytes) -> Body {
        if content.is_empty() || !self.has_handles {
            return Body::from(content);
        }
        self.bodies.push(content);
        Body::Host(BodyHandle(u32::try_from(self.bodies.len() - 1).expect("a request has few bodies")))
    }

    fn content(&self, body: &Body) -> Bytes {
        match body {
            Body::Empty => Bytes::new(),
            Body::Bytes(bytes) => bytes.clone(),
            Body::Host(handle) => self.bodies[usize::try_from(handle.0).expect("32 bits fit")].clone(),
        }
    }

    fn cut(&mut self, body: BodyHandle, start: u64, length: u64) -> Option<Body> {
        let content = self.content(&Body::Host(body));
        let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
        assert!(start + length <= content.len(), "a part is within its body");
        Some(self.keep(content.slice(start..start + length)))
    }
}
