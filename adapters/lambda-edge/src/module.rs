//! One policy and the events under way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use selvedge_cloudfront::event::{Event, Outcome};
use selvedge_cloudfront::policy::{Begun, Edge, Finished, Places, Progress, Running, Settings};
use selvedge_core::effect::{Effect, EffectId, EffectSpan, Issued};
use selvedge_core::engine::{Engine, EngineBuilder};
use selvedge_core::exchange::{Input, Rest, Step};
use selvedge_core::policy::blob;
use selvedge_core::time::Timestamp;
use selvedge_core::transaction::Seed;
use selvedge_core::wire::{self, Incoming};
use selvedge_js::{Outgoing, Receiver, Waiting};
use selvedge_mmdb::GeoDatabase;

thread_local! {
    static PLACES: RefCell<Option<Places>> = const { RefCell::new(None) };
}

/// A compiled policy with the events that wait for effects.
pub struct EdgeModule {
    edge: Arc<Edge>,
    waiting: RefCell<Waiting<Running>>,
}

/// An event, as the driver tells it.
struct Told<'a> {
    now: Timestamp,
    crash: Option<String>,
    event: &'a str,
    seed: Seed,
}

/// Keeps a database of clients' places for the policy that is loaded next.
pub(crate) fn keep_places(database: &[u8]) -> Result<Outgoing, String> {
    let database = GeoDatabase::from_bytes(database.to_vec()).map_err(|error| error.to_string())?;
    PLACES.set(Some(Arc::new(move |address| database.locate(address))));
    Ok(outgoing("P"))
}

impl EdgeModule {
    /// Compiles a policy, and says what the driver has to know of it.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the policy or the settings.
    pub fn load(
        policy: &[u8],
        environment: &[u8],
        handlers: fn(EngineBuilder) -> EngineBuilder,
    ) -> Result<(Self, Outgoing), String> {
        let policy = blob::decode(policy).map_err(|error| error.to_string())?;
        let mut variables = selvedge_js::variables(environment)?;
        let settings = settings(&mut variables)?;
        let builder = Engine::builder(policy).environment(move |name| variables.get(name).cloned());
        let engine = handlers(builder).compile().map_err(|error| error.to_string())?;
        let edge = Edge::new(Arc::new(engine), settings);
        let greeting = outgoing(&format!("L\n{}", json(&edge.last_resort())?));
        Ok((Self { edge: Arc::new(edge), waiting: RefCell::default() }, greeting))
    }

    fn begin(&self, told: Told<'_>) -> Result<Outgoing, String> {
        let event: Event = serde_json::from_str(told.event).map_err(|error| no_event(&error))?;
        let cf = event.into_cf().ok_or("the event has not exactly one record")?;
        match self.edge.begin(cf, told.seed, told.crash, told.now) {
            Begun::Done(finished) => done(0, *finished, Vec::new(), Rest::Nothing),
            Begun::Runs(running) => {
                let number = self.waiting.borrow_mut().next_number();
                self.step(number, *running, Input::Begin, told.now)
            }
        }
    }

    fn step(
        &self,
        number: u32,
        mut running: Running,
        input: Input,
        now: Timestamp,
    ) -> Result<Outgoing, String> {
        match running.poll(input, now) {
            Progress::Effects(effects) => {
                self.waiting.borrow_mut().put(number, running);
                Ok(Outgoing::of(wire::encode_step(number, &Step::Effects(effects))))
            }
            Progress::Done { finished, effects, rest } => done(number, *finished, effects, rest),
        }
    }
}

impl Receiver for EdgeModule {
    fn answer(&self, text: &[u8], bytes: &[u8]) -> Result<Outgoing, String> {
        if text.starts_with(b"T\n") {
            return self.begin(told(text, bytes)?);
        }
        let text = text.to_vec().into();
        match wire::decode(&text, bytes, &[]).map_err(|error| error.to_string())? {
            Incoming::Completed { exchange: number, id, result, now } => {
                // It is out of the table while it runs: a handler that panics takes no other one with it.
                let taken = self.waiting.borrow_mut().take(number);
                let running = taken.ok_or_else(|| format!("there is no event {number}"))?;
                self.step(number, running, Input::Completed { id, result: *result }, now)
            }
            Incoming::Begin(_) | Incoming::Job(_) => Err("Lambda@Edge has events only".to_owned()),
        }
    }

    fn forget(&self, number: u32) {
        let forgotten = self.waiting.borrow_mut().take(number);
        drop(forgotten);
    }
}

/// The error's own words show values of the event, which are no log's business.
fn no_event(error: &serde_json::Error) -> String {
    format!("the event is none of CloudFront's: {:?} error at byte {}", error.classify(), error.column())
}

fn settings(variables: &mut BTreeMap<String, String>) -> Result<Settings, String> {
    let mut take = |name: &str| variables.remove(name).ok_or_else(|| format!("the settings lack `{name}`"));
    let key = URL_SAFE_NO_PAD.decode(take(":key")?).ok().and_then(|key| key.try_into().ok());
    let key = key.ok_or("the key is not 32 bytes in base64url")?;
    let https_only = take(":https-only")? == "1";
    Ok(Settings { key, https_only, places: PLACES.take() })
}

fn told<'a>(text: &'a [u8], bytes: &[u8]) -> Result<Told<'a>, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let mut lines = text.splitn(4, '\n').skip(1);
    let mut line = |expected: &str| lines.next().ok_or_else(|| format!("the event has no {expected}"));
    let now = line("time")?.parse().map(Timestamp::from_millis).map_err(|_| "the event has no time")?;
    let crash = Some(line("crash")?.to_owned()).filter(|crash| !crash.is_empty());
    let event = line("JSON")?;
    let seed = bytes.try_into().map_err(|_| "the event has no seed")?;
    Ok(Told { now, crash, event, seed })
}

fn done(number: u32, finished: Finished, mut effects: Vec<Issued>, rest: Rest) -> Result<Outgoing, String> {
    let Finished { outcome, records, violations } = finished;
    // Nobody awaits a record, so that its number only has to be another one.
    effects.extend((0..).zip(records).map(|(at, record)| Issued {
        id: EffectId(u32::MAX - at),
        span: EffectSpan::AfterResponse,
        effect: Effect::Record(record),
    }));
    let (number, violated) = (number.to_string(), violations.len().to_string());
    let pending = if rest == Rest::Pending { "1" } else { "0" };
    let outcome = json(&outcome)?;
    let violations: Vec<_> = violations.iter().map(ToString::to_string).collect();
    let mut lines = vec!["T", &number, pending, &outcome, &violated];
    lines.extend(violations.iter().map(String::as_str));
    Ok(Outgoing::of(wire::encode_lines(&lines, &effects)))
}

/// JSON of one line.
fn json(value: &Outcome) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

fn outgoing(text: &str) -> Outgoing {
    Outgoing { text: text.as_bytes().to_vec(), bytes: Vec::new(), is_common: false }
}
