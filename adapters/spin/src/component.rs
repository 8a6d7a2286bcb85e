//! One instance: what its requests share, and the life of each of them.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;
use selvedge_core::body::Body;
use selvedge_core::engine::{Answer, Engine, EngineBuilder};
use selvedge_core::exchange::Exchange;
use selvedge_core::facts::Facts;
use selvedge_core::geo::rules::GeoSource;
use selvedge_core::host::{Driven, drive};
use selvedge_core::policy::Policy;
use selvedge_core::reason::Summary;
use selvedge_core::time::Timestamp;
use selvedge_core::transaction::{Omitted, Seed};
use selvedge_log::sample::SampleRate;
use selvedge_mmdb::{GeoDatabase, Located};
use spin_sdk::wasip3::clocks::system_clock;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spin_sdk::wasip3::random::random::get_random_bytes;
use spin_sdk::{variables, wasip3};

use crate::body::Bodies;
use crate::effects::EdgeHost;
use crate::facts::Trust;
use crate::observed::Observed;
use crate::remembered::{Part, Reads, Remembered};
use crate::request::Incoming;
use crate::response::Ready;
use crate::store::Store;
use crate::values::SpinValues;
use crate::variables::{ACCESS_LOG, Variables};
use crate::{request, response, settings};

/// How much randomness is fetched at a time: enough for the 128 requests that Spin gives to one instance.
const RANDOM_BYTES: u64 = 2048;

/// What all requests of one instance share.
pub(crate) struct Component {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Store<SpinValues>,
    reads: Reads,
    remembered: RefCell<Remembered<Kept>>,
    trust: Trust,
    /// What tells clients' places, where the policy asks for it; places are unknown when it cannot be read.
    database: Option<Result<GeoDatabase, String>>,
    /// Whether the log says already that the database is damaged.
    has_told_damage: Cell<bool>,
    access_log: Option<SampleRate>,
}

/// What is known of requests that are the same in what the policy can read.
#[derive(Clone)]
enum Kept {
    /// All of them are answered so, for this reason.
    Answer(Rc<Ready>, Summary),
    /// What could be read was not enough for an answer.
    NotAlone,
}

thread_local! {
    /// Made by whichever of the first requests is ready first.
    static COMPONENT: OnceCell<Rc<Component>> = const { OnceCell::new() };

    /// Randomness that is not used yet.
    static RANDOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Answers one request.
///
/// # Errors
/// When its method is none of HTTP.
pub async fn handle(
    request: Request,
    handlers: fn(EngineBuilder) -> EngineBuilder,
) -> Result<Response, ErrorCode> {
    match component(handlers).await {
        Ok(component) => component.answer(request).await,
        Err(error) => {
            selvedge_log::write_log("ERROR", &error);
            Ok(response::broken())
        }
    }
}

/// What failed once is tried again by the next request: a provider of variables may be away for a moment.
async fn component(handlers: fn(EngineBuilder) -> EngineBuilder) -> Result<Rc<Component>, String> {
    if let Some(component) = COMPONENT.with(|made| made.get().cloned()) {
        return Ok(component);
    }
    // Requests that come in meanwhile do the same: waiting for one another is not for tasks of one instance.
    let component = Component::make(handlers).await?;
    Ok(COMPONENT.with(|made| {
        Rc::clone(made.get_or_init(|| {
            if let Some(Err(error)) = &component.database {
                selvedge_log::write_log("WARN", &format!("where clients are is unknown: {error}"));
            }
            Rc::new(component)
        }))
    }))
}

/// Reads the variables that a policy asks for.
async fn values(names: &Variables) -> Result<BTreeMap<String, String>, String> {
    let secrets = names.secrets().map(|(_, variable)| variable);
    let backends = names.backends().flatten().map(String::as_str);
    let mut values = BTreeMap::new();
    for name in secrets.chain(backends).chain([ACCESS_LOG]) {
        match variables::get(name).await {
            Ok(value) => drop(values.insert(name.to_owned(), value)),
            Err(variables::Error::Undefined(_)) => {}
            // What a provider says may hold what it was given.
            Err(_) => return Err(format!("cannot read the variable `{name}`")),
        }
    }
    Ok(values)
}

impl Component {
    async fn make(handlers: fn(EngineBuilder) -> EngineBuilder) -> Result<Self, String> {
        let policy = settings::policy(Path::new(settings::POLICY))?;
        let names = Variables::of(&policy);
        let values = values(&names).await?;
        let access_log = settings::access_log(&values)?;
        let (trust, database) = (Trust::of(&policy), database(&policy));
        let store = Store::new(policy.limits.max_store_bytes, SpinValues::new());
        let engine = settings::compile(policy, names, values, handlers)?;
        let reads = Reads::of(&engine, trust, matches!(database, Some(Ok(_))));
        let (engine, remembered) = (Arc::new(engine), RefCell::default());
        let has_told_damage = Cell::new(false);
        Ok(Self { engine, store, reads, remembered, trust, database, has_told_damage, access_log })
    }

    async fn answer(self: Rc<Self>, incoming: Request) -> Result<Response, ErrorCode> {
        let read = Incoming::of(&incoming);
        let part = self.reads.part(&read);
        let earlier = part.as_ref().and_then(|part| self.remembered.borrow_mut().recall(part).cloned());
        if self.access_log.is_none()
            && let Some(Kept::Answer(ready, _)) = &earlier
        {
            return Ok(ready.send());
        }
        let head = read.head(&incoming)?;
        let (facts, seed) = (self.facts(head.headers()), seed());
        let mut observed = self
            .access_log
            .map(|share| Observed::begin(share, seed, &head, &facts, self.engine.policy().log));
        match earlier {
            Some(Kept::Answer(ready, summary)) => {
                if let Some(observed) = observed {
                    observed.on_ready(&self.engine, &ready, summary);
                }
                return Ok(ready.send());
            }
            Some(Kept::NotAlone) => {}
            None => {
                if let Some(response) = self.answer_alone(part, &head, &facts, seed, &mut observed) {
                    return Ok(response);
                }
            }
        }
        let is_head = head.method() == Method::HEAD;
        let bodies = Rc::new(Bodies::default());
        let request = request::whole(head, incoming, &bodies).await;
        let seen = observed.as_ref().map(Observed::seen);
        let host = EdgeHost::new(Rc::clone(&self), Rc::clone(&bodies), seen);
        let exchange = Exchange::new(Arc::clone(&self.engine), request, facts, seed);
        let Driven { response, summary, after } = drive(host, exchange).await;
        if let Some(observed) = observed {
            observed.on_head(&self.engine, &response, summary);
        }
        let response = response::send(response, &bodies, &self, is_head);
        if after.is_some() || bodies.has_unread_stores() {
            wasip3::spawn(async move {
                if let Some(after) = after {
                    after.finish().await;
                }
                bodies.read_unread_stores(&self).await;
            });
        }
        Ok(response)
    }

    /// Answers a request that needs no effect and nothing of its body, as most of the edge's own answers do.
    fn answer_alone(
        self: &Rc<Self>,
        part: Option<Part>,
        head: &http::Request<()>,
        facts: &Facts,
        seed: Seed,
        observed: &mut Option<Observed>,
    ) -> Option<Response> {
        let request = head.clone().map(|()| Body::Empty);
        let answer = self.engine.answer_alone(request, facts.clone(), seed, Omitted::default(), now());
        let is_anybodys = answer.as_ref().is_none_or(|answer| self.reads.is_anybodys(answer));
        let is_head = head.method() == Method::HEAD;
        let remember = |kept| {
            if let Some(part) = part {
                self.remembered.borrow_mut().remember(part, kept);
            }
        };
        let Some(Answer { response, summary, records }) = answer else {
            remember(Kept::NotAlone);
            return None;
        };
        records.iter().for_each(selvedge_log::write_record);
        if let Some(observed) = observed.take() {
            records.iter().for_each(|record| observed.on_record(record));
            observed.on_head(&self.engine, &response, summary);
        }
        if !is_anybodys {
            return Some(response::send(response, &Bodies::default(), self, is_head));
        }
        let ready = Rc::new(Ready::of(response, is_head));
        remember(Kept::Answer(Rc::clone(&ready), summary));
        Some(ready.send())
    }

    fn facts(&self, headers: &http::HeaderMap) -> Facts {
        let mut facts = self.trust.facts(headers);
        if let (Some(Ok(database)), Some(address)) = (&self.database, facts.client_ip) {
            let is_https = facts.is_https;
            let Located { facts: place, damage } = database.look_up(address);
            facts = place;
            facts.is_https = is_https;
            if let Some(damage) = damage
                && !self.has_told_damage.replace(true)
            {
                selvedge_log::write_log("WARN", &format!("where some clients are is unknown: {damage}"));
            }
        }
        facts
    }
}

fn database(policy: &Policy) -> Option<Result<GeoDatabase, String>> {
    let is_wanted = policy.geo.source == GeoSource::Database;
    is_wanted.then(|| GeoDatabase::open(Path::new(settings::DATABASE)).map_err(|error| error.to_string()))
}

/// Returns what no other request gets.
pub(crate) fn seed() -> Seed {
    RANDOM.with_borrow_mut(|random| {
        let mut seed = Seed::default();
        while random.len() < seed.len() {
            random.extend(get_random_bytes(RANDOM_BYTES));
        }
        let rest = random.len() - seed.len();
        seed.copy_from_slice(&random[rest..]);
        random.truncate(rest);
        seed
    })
}

/// Reads Spin's clock.
pub(crate) fn now() -> Timestamp {
    let now = system_clock::now();
    let seconds = u64::try_from(now.seconds).unwrap_or(0);
    Timestamp::from_millis(seconds.saturating_mul(1000) + u64::from(now.nanoseconds / 1_000_000))
}
