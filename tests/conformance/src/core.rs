//! The core by itself: the smallest host there can be, on one thread and in its own time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::cache::purge::Ledger;
use selvedge_core::effect::{
    CacheEntry, Effect, EffectResult, Fetch, FetchError, Issued, ReadBodyError, Turn, Watch,
};
use selvedge_core::engine::Engine;
use selvedge_core::exchange::{Exchange, Input, Rest, Step as CoreStep};
use selvedge_core::facts::{Fact, FactSet, Facts};
use selvedge_core::health::BodyEnd;
use selvedge_core::job::{Job, JobSource, Settlement};
use selvedge_core::time::Timestamp;
use selvedge_core::transaction::Omitted;

use crate::case::{Answer, AnswerError, Case, Step};
use crate::engine::{compile, label};
use crate::{Fetched, Fields, Observed, Platform, Session};

/// The platform `core`.
#[derive(Clone, Copy, Debug)]
pub struct Core;

impl Platform for Core {
    fn name(&self) -> &'static str {
        "core"
    }

    fn start(&self, case: &Case) -> anyhow::Result<Box<dyn Session>> {
        let engine = compile(case, str::to_owned)?;
        let unreachable = case.unreachable.clone();
        Ok(Box::new(CoreSession { engine, host: MemoryHost { unreachable, ..MemoryHost::default() } }))
    }
}

struct CoreSession {
    engine: Arc<Engine>,
    host: MemoryHost,
}

/// What an exchange comes to.
enum Outcome {
    Response(Response<Body>),
    Settled(Settlement),
}

#[derive(Default)]
struct MemoryHost {
    unreachable: Vec<String>,
    seeds: u8,
    store: HashMap<String, CacheEntry>,
    ledger: Ledger,
    kv: HashMap<String, Bytes>,
    counters: HashMap<String, (u64, u64)>,
    queue: Vec<(Timestamp, Job)>,
    bodies: Vec<Bytes>,
    /// Bodies of responses of which the core is to hear, with their statuses.
    watched: Vec<(StatusCode, Watch)>,
    now: Timestamp,
    answers: BTreeMap<String, Answer>,
    fetches: Vec<Fetched>,
}

impl Session for CoreSession {
    fn send(&mut self, step: &Step) -> anyhow::Result<Observed> {
        self.host.begin(step);
        if let Some(job) = &step.job {
            let job = Self::job(job, step);
            let settlement = self.settle(job)?;
            return Ok(Observed { status: 200, body: format!("{settlement}\n").into(), ..self.observed()? });
        }
        let request = self.host.request(step)?;
        let is_head = request.method() == http::Method::HEAD;
        let seed = self.host.seed();
        let alone = self.answer_alone(&request, step, seed);
        let mut exchange = Exchange::new(Arc::clone(&self.engine), request, step.facts.clone(), seed);
        let Outcome::Response(response) = self.host.run(&mut exchange)? else {
            bail!("a request was settled")
        };
        if let Some(alone) = alone {
            ensure!(
                (alone.status(), alone.headers(), alone.body())
                    == (response.status(), response.headers(), response.body()),
                "the answer from the headers that the policy reads is another: {alone:?} instead of {response:?}"
            );
        }
        let body = if is_head { Bytes::new() } else { self.host.content(response.body().clone())? };
        let (status, headers) = (response.status().as_u16(), fields(response.headers()));
        Ok(Observed { status, headers, body: body.to_vec(), ..self.observed()? })
    }
}

impl CoreSession {
    /// What backends received, after the messages that are due were delivered.
    fn observed(&mut self) -> anyhow::Result<Observed> {
        while let Some(at) = self.host.queue.iter().position(|(due, _)| *due <= self.host.now) {
            let (_, job) = self.host.queue.remove(at);
            if let Settlement::Retry { after } = self.settle(job.clone())? {
                self.host.queue.push((self.host.now + after, Job { attempt: job.attempt + 1, ..job }));
            }
        }
        Ok(Observed { fetches: std::mem::take(&mut self.host.fetches), ..Observed::default() })
    }

    fn settle(&mut self, job: Job) -> anyhow::Result<Settlement> {
        let mut exchange = Exchange::of_job(Arc::clone(&self.engine), job, self.host.seed(), None);
        match self.host.run(&mut exchange)? {
            Outcome::Settled(settlement) => Ok(settlement),
            Outcome::Response(response) => bail!("a job was answered: {response:?}"),
        }
    }

    fn job(job: &crate::case::Job, step: &Step) -> Job {
        let source = match job.source.as_str() {
            "queue" => JobSource::Queue(job.name.clone()),
            _ => JobSource::Schedule(job.name.clone()),
        };
        Job { source, id: "job".to_owned(), attempt: job.attempt, body: step.body.clone().into() }
    }

    /// The answer that hosts get who send only the headers that the policy can read.
    fn answer_alone(&self, request: &Request<Body>, step: &Step, seed: [u8; 16]) -> Option<Response<Body>> {
        let interest = self.engine.interest();
        let mut part = request.clone();
        let mut omitted = Omitted::default();
        part.headers_mut().clear();
        for (name, value) in request.headers() {
            if interest.headers.iter().any(|known| known == name.as_str()) {
                part.headers_mut().append(name.clone(), value.clone());
            } else {
                omitted.bytes += name.as_str().len() + value.len();
            }
        }
        let facts = only(&step.facts, interest.facts);
        let answer = self.engine.answer_alone(part, facts, seed, omitted, step.now);
        answer.map(|answer| answer.response)
    }
}

impl MemoryHost {
    fn begin(&mut self, step: &Step) {
        self.now = step.now;
        self.answers.clone_from(&step.answers);
        self.bodies.clear();
    }

    fn request(&mut self, step: &Step) -> anyhow::Result<Request<Body>> {
        let body = self.keep(step.body.clone().into());
        let mut request = Request::builder().method(step.method.as_str()).uri(&step.target).body(body)?;
        for (name, value) in &step.headers {
            let (name, value) =
                (HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(value.as_bytes())?);
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }

    fn seed(&mut self) -> [u8; 16] {
        self.seeds = self.seeds.wrapping_add(1);
        [self.seeds; 16]
    }

    fn keep(&mut self, content: Bytes) -> Body {
        if content.is_empty() {
            return Body::Empty;
        }
        self.bodies.push(content);
        Body::Host(BodyHandle(u32::try_from(self.bodies.len() - 1).expect("a case has few bodies")))
    }

    fn content(&self, body: Body) -> anyhow::Result<Bytes> {
        match body {
            Body::Empty => Ok(Bytes::new()),
            Body::Bytes(bytes) => Ok(bytes),
            Body::Host(handle) => self.kept(handle).context("the core made up a body"),
        }
    }

    fn kept(&self, handle: BodyHandle) -> Option<Bytes> {
        self.bodies.get(usize::try_from(handle.0).ok()?).cloned()
    }

    /// Runs an exchange to its end: effects in the order in which they were asked for.
    fn run(&mut self, exchange: &mut Exchange) -> anyhow::Result<Outcome> {
        let mut waiting = VecDeque::new();
        let mut outcome = None;
        let mut input = Input::Begin;
        loop {
            match exchange.poll(input, self.now) {
                CoreStep::Effects(issued) => waiting.extend(issued),
                CoreStep::Respond(respond) => {
                    ensure!(outcome.is_none(), "the core responded twice");
                    waiting.extend(respond.effects);
                    outcome = Some(Outcome::Response(respond.response));
                    if respond.rest == Rest::Nothing {
                        break;
                    }
                }
                CoreStep::Settle(settle) => {
                    waiting.extend(settle.effects);
                    outcome = Some(Outcome::Settled(settle.settlement));
                    break;
                }
                CoreStep::Depart(_) => bail!("only a platform that runs the stages one by one departs"),
                CoreStep::Done => break,
            }
            let Some(Issued { id, effect, .. }) = waiting.pop_front() else { break };
            let result = self.perform(effect)?;
            input = Input::Completed { id, result };
        }
        // Results change nothing any more, the effects are performed all the same.
        self.perform_all(&mut waiting)?;
        // By now, whoever wanted a body has read it.
        for (status, watch) in self.watched.drain(..) {
            watch.report.tell(status, BodyEnd::Whole, self.now);
        }
        outcome.context("the core waits for nothing and has not responded")
    }

    fn stored(&self, key: &str) -> Option<CacheEntry> {
        match self.store.get(key)?.clone() {
            CacheEntry::Response(head, body) => {
                Some(CacheEntry::Response(self.ledger.judge(key, head)?, body))
            }
            variants @ CacheEntry::Variants(_) => Some(variants),
        }
    }

    fn perform_all(&mut self, waiting: &mut VecDeque<Issued>) -> anyhow::Result<()> {
        for Issued { effect, .. } in waiting.drain(..) {
            self.perform(effect)?;
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> anyhow::Result<EffectResult> {
        Ok(match effect {
            Effect::Fetch(fetch) => EffectResult::Fetch(self.fetch(*fetch)?),
            Effect::CacheGet { key } => EffectResult::CacheGet(self.stored(&key)),
            Effect::CachePut(put) => {
                let entry = match put.entry {
                    CacheEntry::Response(head, body) => {
                        CacheEntry::Response(head, Body::from(self.content(body)?))
                    }
                    variants @ CacheEntry::Variants(_) => variants,
                };
                self.store.insert(put.key, entry);
                EffectResult::CachePut
            }
            Effect::CachePurge(purge) => {
                purge.purges.iter().for_each(|what| self.ledger.purge(what, purge.manner, purge.at));
                purge.keys.iter().for_each(|key| drop(self.store.remove(key)));
                EffectResult::CachePurge
            }
            Effect::CacheWait { .. } => EffectResult::CacheWait(Turn::First),
            Effect::CacheRelease { .. } => EffectResult::CacheRelease,
            Effect::SliceBody { body, start, length } => {
                let (start, length) = (usize::try_from(start)?, usize::try_from(length)?);
                let whole = self.kept(body).context("the core made up a body")?;
                EffectResult::SliceBody(Some(Body::from(whole.slice(start..start + length))))
            }
            Effect::KvGet { key } => EffectResult::KvGet(Ok(self.kv.get(&key).cloned())),
            Effect::KvPut { key, value } => {
                self.kv.insert(key, value);
                EffectResult::KvPut(Ok(()))
            }
            Effect::Count { key, window } => {
                let length = u64::try_from(window.as_millis())?.max(1);
                let current = self.now.as_millis() / length;
                let (window, count) = self.counters.entry(key).or_default();
                *count = if *window == current { *count + 1 } else { 1 };
                *window = current;
                EffectResult::Count(Ok(*count))
            }
            Effect::Enqueue { queue, id, body } => {
                let job = Job { source: JobSource::Queue(queue.to_string()), id, attempt: 1, body };
                self.queue.push((self.now, job));
                EffectResult::Enqueue(Ok(()))
            }
            Effect::ReadBody { body, limit } => {
                let content = self.kept(body).ok_or(ReadBodyError::Broken);
                let fits = |content: Bytes| {
                    if content.len() > limit { Err(ReadBodyError::TooLarge) } else { Ok(content) }
                };
                EffectResult::ReadBody(content.and_then(fits))
            }
            // Time is the case's own.
            Effect::Sleep { .. } => EffectResult::Sleep,
            Effect::Record(_) | Effect::Cancel { .. } => EffectResult::Record,
            other => anyhow::bail!("this host does not know the effect {other:?}"),
        })
    }

    fn fetch(&mut self, fetch: Fetch) -> anyhow::Result<Result<Response<Body>, FetchError>> {
        let request = fetch.request;
        let body = self.content(request.body().clone())?;
        if u64::try_from(body.len())? > fetch.max_body_bytes {
            return Ok(Err(FetchError::BodyTooLarge));
        }
        let to = label(&request.uri().to_string())?.to_owned();
        if self.unreachable.contains(&to) {
            return Ok(Err(FetchError::Connect));
        }
        self.fetches.push(Fetched {
            to: to.clone(),
            method: request.method().to_string(),
            target: request.uri().path_and_query().context("a fetch without path")?.to_string(),
            headers: fields(request.headers()),
            body: body.to_vec(),
        });
        let answer = self.answers.get(&to).cloned().unwrap_or_default();
        match answer.error {
            Some(AnswerError::Timeout) => Ok(Err(FetchError::Timeout)),
            Some(AnswerError::Protocol) => Ok(Err(FetchError::Protocol)),
            None => {
                let mut response = answer.response(&to)?.map(|content| self.keep(content));
                if request.method() == http::Method::HEAD {
                    *response.body_mut() = Body::Empty;
                }
                self.watched.extend(fetch.watch.map(|watch| (response.status(), watch)));
                Ok(Ok(response))
            }
        }
    }
}

/// The facts of a set.
fn only(facts: &Facts, set: FactSet) -> Facts {
    let mut part = facts.clone();
    let mut drop = |fact: Fact, forget: fn(&mut Facts)| {
        if !set.has(fact) {
            forget(&mut part);
        }
    };
    drop(Fact::ClientIp, |facts| facts.client_ip = None);
    drop(Fact::Country, |facts| facts.country = None);
    drop(Fact::Continent, |facts| facts.continent = None);
    drop(Fact::Region, |facts| facts.region = None);
    drop(Fact::City, |facts| facts.city = None);
    drop(Fact::Latitude, |facts| facts.coordinates = None);
    drop(Fact::TimeZone, |facts| facts.time_zone = None);
    drop(Fact::Asn, |facts| facts.asn = None);
    drop(Fact::Protocol, |facts| facts.protocol = None);
    drop(Fact::TlsVersion, |facts| facts.tls_version = None);
    drop(Fact::IsHttps, |facts| facts.is_https = None);
    drop(Fact::BotScore, |facts| facts.bot_score = None);
    drop(Fact::IsVerifiedBot, |facts| facts.is_verified_bot = None);
    part
}

fn fields(headers: &HeaderMap) -> Fields {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
