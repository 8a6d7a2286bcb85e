//! One policy and the events under way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue, Method, Request};
use selvedge_cloudfront::event::{Event, Outcome};
use selvedge_cloudfront::policy::{Begun, Edge, Finished, Places, Progress, Running, Settings, Through};
use selvedge_core::body::Body;
use selvedge_core::effect::{Effect, EffectId, EffectSpan, Issued};
use selvedge_core::engine::{Engine, EngineBuilder};
use selvedge_core::exchange::{Input, Rest, Step};
use selvedge_core::facts::Facts;
use selvedge_core::policy::blob;
use selvedge_core::reason::{Reason, Summary};
use selvedge_core::time::Timestamp;
use selvedge_core::transaction::{Omitted, Seed};
use selvedge_core::wire::{self, Incoming};
use selvedge_js::{Outgoing, Receiver, Waiting};
use selvedge_mmdb::GeoDatabase;

thread_local! {
    static PLACES: RefCell<Option<Places>> = const { RefCell::new(None) };
}

/// A compiled policy with the events that wait for effects.
pub struct EdgeModule {
    edge: Arc<Edge>,
    names: Vec<HeaderName>,
    answers_repeat: bool,
    /// Whether the driver tells requests to a log.
    tells: bool,
    waiting: RefCell<Waiting<Running>>,
}

/// An event, as the driver tells it.
struct Told<'a> {
    now: Timestamp,
    crash: Option<String>,
    event: &'a str,
    seed: Seed,
}

/// Keeps a database of clients' places for the policy that is loaded next. With one that cannot be read all places are unknown.
pub(crate) fn keep_places(database: &[u8]) -> Outgoing {
    match GeoDatabase::from_bytes(database.to_vec()) {
        Ok(database) => {
            PLACES.set(Some(Arc::new(move |address| database.locate(address))));
            outgoing("P")
        }
        Err(error) => {
            PLACES.set(Some(Arc::new(|_| Facts::default())));
            outgoing(&format!("P\n{error}"))
        }
    }
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
        let tells = variables.remove(":access-log").is_some();
        let builder = Engine::builder(policy).environment(move |name| variables.get(name).cloned());
        let engine = handlers(builder).compile().map_err(|error| error.to_string())?;
        let edge = Edge::new(Arc::new(engine), settings);
        let names = edge.fields();
        let last = json(&edge.last_resort())?;
        let address = u8::from(edge.reads_address());
        let log = edge.engine().policy().log.bits();
        let greeting =
            outgoing(&format!("L\n{address}\n{log}\n{}\n{}\n{last}", names.len(), names.join("\n")));
        let parsed = names.iter().map(|name| HeaderName::from_bytes(name.as_bytes()));
        let names = parsed.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let answers_repeat = edge.answers_repeat();
        Ok((
            Self { edge: Arc::new(edge), names, answers_repeat, tells, waiting: RefCell::default() },
            greeting,
        ))
    }

    fn begin(&self, told: Told<'_>) -> Result<Outgoing, String> {
        let event: Event = serde_json::from_str(told.event).map_err(|error| no_event(&error))?;
        let cf = event.into_cf().ok_or("the event has not exactly one record")?;
        match self.edge.begin(cf, told.seed, told.crash, told.now) {
            Begun::Done(finished) => self.done(0, *finished, Vec::new(), Rest::Nothing),
            Begun::Runs(running) => {
                let number = self.waiting.borrow_mut().next_number();
                self.step(number, *running, Input::Begin, told.now)
            }
        }
    }

    /// Takes the request of a viewer-request event in part.
    fn enter(&self, text: &[u8], bytes: &[u8]) -> Result<Outgoing, String> {
        let seed = bytes.try_into().map_err(|_| "the request has no seed")?;
        let Part { now, client_ip, request, target, omitted } =
            part(text, &self.names).ok_or("the request in part is cut short")?;
        match self.edge.enter_in_part(request, target, client_ip, omitted, seed, now) {
            Through::Forward { key, state } => Ok(outgoing(&format!("F\n{key}\n{state}"))),
            Through::Respond(finished) => {
                let is_common = self.answers_repeat && is_anybodys(&finished);
                let answer = self.done(0, *finished, Vec::new(), Rest::Nothing)?;
                Ok(Outgoing { is_common, ..answer })
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
                Ok(Outgoing::of(wire::encode_step(number, &Step::Effects(effects), wire::Told::Codes)))
            }
            Progress::Done { finished, effects, rest } => self.done(number, *finished, effects, rest),
        }
    }

    fn done(
        &self,
        number: u32,
        finished: Finished,
        mut effects: Vec<Issued>,
        rest: Rest,
    ) -> Result<Outgoing, String> {
        let Finished { outcome, summary, records, violations } = finished;
        // Nobody awaits a record, so that its number only has to be another one.
        effects.extend((0..).zip(records).map(|(at, record)| Issued {
            id: EffectId(u32::MAX - at),
            span: EffectSpan::AfterResponse,
            effect: Effect::Record(record),
        }));
        let (number, violated) = (number.to_string(), violations.len().to_string());
        let pending = if rest == Rest::Pending { "1" } else { "0" };
        let outcome = json(&outcome)?;
        let summary = summary.filter(|_| self.tells).map(|summary| self.told(&summary)).unwrap_or_default();
        let violations: Vec<_> = violations.iter().map(ToString::to_string).collect();
        let mut lines = vec!["T", &number, pending, &outcome, &summary, &violated];
        lines.extend(violations.iter().map(String::as_str));
        Ok(Outgoing::of(wire::encode_lines(&lines, &effects)))
    }

    /// What the log tells of a decision: two codes, and what [`wire::names`] has.
    fn told(&self, summary: &Summary) -> String {
        let cache = summary.cache.map_or("", Reason::code);
        let names = wire::names(summary, self.edge.engine().policy());
        [summary.reason.code(), cache, &names].join("\u{1f}")
    }
}

impl Receiver for EdgeModule {
    fn answer(&self, text: &[u8], bytes: &[u8]) -> Result<Outgoing, String> {
        if text.starts_with(b"V\n") {
            return self.enter(text, bytes);
        }
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
            Incoming::BodyEnded { place, probe, status, end, now } => {
                self.edge.body(place, probe).tell(status, end, now);
                Ok(Outgoing::of(wire::encode_step(0, &Step::Done, wire::Told::Codes)))
            }
            Incoming::Begin(_) | Incoming::Job(_) => Err("Lambda@Edge has events only".to_owned()),
        }
    }

    fn forget(&self, number: u32) {
        let forgotten = self.waiting.borrow_mut().take(number);
        drop(forgotten);
    }
}

/// A request in part.
struct Part<'a> {
    now: Timestamp,
    client_ip: &'a str,
    request: Request<Body>,
    target: &'a str,
    omitted: Omitted,
}

/// Reads a request in part; `None` when it is none.
fn part<'a>(text: &'a [u8], names: &[HeaderName]) -> Option<Part<'a>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.split('\n').skip(1);
    let now = Timestamp::from_millis(lines.next()?.parse().ok()?);
    let (client_ip, method, target) = (lines.next()?, lines.next()?, lines.next()?);
    let omitted = Omitted { bytes: lines.next()?.parse().ok()? };
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
    while let Some(place) = lines.next() {
        let name = names.get(place.strip_prefix(':')?.parse::<usize>().ok()?)?.clone();
        // A value that HTTP does not allow is dropped, as in a whole event.
        if let Ok(value) = HeaderValue::from_bytes(lines.next()?.as_bytes()) {
            request.headers_mut().try_append(name, value).ok()?;
        }
    }
    Some(Part { now, client_ip, request, target, omitted })
}

/// Whether an answer holds for everybody whose request is the same.
fn is_anybodys(finished: &Finished) -> bool {
    let sets_cookie = match &finished.outcome {
        Outcome::Response(response) => response.headers.contains("set-cookie"),
        Outcome::Request(_) => true,
    };
    finished.records.is_empty() && finished.violations.is_empty() && !sets_cookie
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

/// JSON of one line.
fn json(value: &Outcome) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

fn outgoing(text: &str) -> Outgoing {
    Outgoing { text: text.as_bytes().to_vec(), bytes: Vec::new(), is_common: false }
}
