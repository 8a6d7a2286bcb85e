//! `selvedge explain`: what the edge would do with one request, and why.

mod caching;

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use caching::Caching;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use selvedge_core::body::Body;
use selvedge_core::effect::Fetch;
use selvedge_core::engine::Engine;
use selvedge_core::facts::{CountryCode, Facts};
use selvedge_core::phase::{OriginRequestOutcome, ViewerRequestOutcome};
use selvedge_core::time::Timestamp;
use selvedge_core::transaction::Transaction;
use serde_json::{Value, json};

use crate::cli::{BOLD, CYAN, DIM, Explain};
use crate::policy::Source;

/// Explains a request.
pub(crate) fn run(options: &Explain) -> anyhow::Result<ExitCode> {
    let source = Source::find(options.policy.as_deref());
    let engine = source.compile()?;
    let request = request(options)?;
    let facts = facts(options)?;
    let answer = answer(options)?;
    let explanation = explain(&engine, request, facts, answer);
    if options.json {
        anstream::println!("{:#}", explanation.to_json(&engine));
    } else {
        explanation.print(&engine, &source.name());
    }
    Ok(ExitCode::SUCCESS)
}

/// What the phases said.
struct Explanation {
    tx: Transaction,
    key: Option<String>,
    end: End,
    caching: Option<Caching>,
}

/// A backend's answer that is supposed.
type Answer = (StatusCode, HeaderMap);

enum End {
    /// The edge answers.
    Respond(Response<Body>),
    /// A backend is asked.
    Fetch(Box<Fetch>),
    /// A handler is asked.
    Handler(String),
}

fn explain(engine: &Engine, request: Request<Body>, facts: Facts, answer: Option<Answer>) -> Explanation {
    let now = clock();
    let mut tx = Transaction::new(request, facts, [0; 16]);
    let mut end = match engine.on_viewer_request(&mut tx, now) {
        ViewerRequestOutcome::Respond(response) => End::Respond(response),
        ViewerRequestOutcome::Continue => go_on(engine, &mut tx, now),
    };
    let key = engine.cache_key(&tx);
    if let End::Respond(response) = &mut end {
        engine.on_viewer_response(&mut tx, response, now);
    }
    let caching = match (&end, answer) {
        (End::Fetch(_), Some((status, headers))) => Some(Caching::of(engine, &mut tx, status, headers, now)),
        (End::Fetch(_) | End::Respond(_) | End::Handler(_), _) => None,
    };
    Explanation { tx, key, end, caching }
}

/// A supposed answer without a `Date` is of now.
fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn go_on(engine: &Engine, tx: &mut Transaction, now: Timestamp) -> End {
    if let Some(handler) = engine.handler_of(tx) {
        return End::Handler(handler.to_owned());
    }
    match engine.on_origin_request(tx, now) {
        OriginRequestOutcome::Fetch(fetch) => End::Fetch(fetch),
        OriginRequestOutcome::Respond(response) => End::Respond(response),
    }
}

fn request(options: &Explain) -> anyhow::Result<Request<Body>> {
    let uri: Uri = options.url.parse().with_context(|| format!("`{}` is not a URL", options.url))?;
    let Some(authority) = uri.authority() else {
        bail!("`{}` is not an absolute URL, such as http://shop.example.com/", options.url);
    };
    let mut request = Request::new(Body::Empty);
    *request.method_mut() =
        options.method.parse::<Method>().with_context(|| format!("`{}` is not a method", options.method))?;
    let host = HeaderValue::from_str(authority.as_str())?;
    request.headers_mut().insert(http::header::HOST, host);
    add_fields(request.headers_mut(), &options.headers)?;
    *request.uri_mut() = uri;
    Ok(request)
}

/// The answer that the options suppose, if they do.
fn answer(options: &Explain) -> anyhow::Result<Option<Answer>> {
    if options.answers.is_empty() && options.answer_status.is_none() {
        return Ok(None);
    }
    let code = options.answer_status.unwrap_or(200);
    let status = StatusCode::from_u16(code).with_context(|| format!("`{code}` is not a status"))?;
    let mut headers = HeaderMap::new();
    add_fields(&mut headers, &options.answers)?;
    Ok(Some((status, headers)))
}

fn add_fields(headers: &mut HeaderMap, lines: &[String]) -> anyhow::Result<()> {
    for line in lines {
        let (name, value) = line.split_once(':').with_context(|| format!("`{line}` is not `Name: value`"))?;
        let name: HeaderName =
            name.trim().parse().with_context(|| format!("`{name}` is not a header name"))?;
        let value = HeaderValue::from_str(value.trim())
            .with_context(|| format!("the value of `{name}` is not allowed"))?;
        headers.append(name, value);
    }
    Ok(())
}

fn facts(options: &Explain) -> anyhow::Result<Facts> {
    let mut facts = match options.ip {
        Some(ip) => crate::dev::geoip(options.geoip.as_deref())?.locate(ip),
        None => Facts::default(),
    };
    if let Some(code) = &options.country {
        let country =
            CountryCode::new(code).with_context(|| format!("`{code}` is not a country code such as DE"))?;
        facts.country = Some(country);
    }
    Ok(facts)
}

impl Explanation {
    fn print(&self, engine: &Engine, policy: &str) {
        let request = self.tx.request();
        anstream::println!("{BOLD}{} {}{BOLD:#}  {DIM}({policy}){DIM:#}", request.method(), request.uri());
        anstream::println!("client: {}", self.client());
        anstream::println!("\n{BOLD}decisions{BOLD:#}");
        for note in self.tx.notes() {
            anstream::println!(
                "  {CYAN}{:28}{CYAN:#} {}",
                note.reason.code(),
                note.rule.describe(engine.policy())
            );
        }
        let key = self.key.as_deref().unwrap_or("none: this request does not use the cache");
        anstream::println!("\n{BOLD}cache key{BOLD:#}\n  {}", key.replace('\n', "\n  "));
        self.print_end();
        if let Some(caching) = &self.caching {
            caching.print();
        }
    }

    fn client(&self) -> String {
        let facts = self.tx.facts();
        let country =
            facts.country.map_or_else(|| "country unknown".to_owned(), |country| country.to_string());
        let verdict = self.tx.verdict();
        let bot = verdict.category().map_or("no sign of a bot".to_owned(), |category| {
            format!("bot {} ({})", category.as_str(), verdict.evidence())
        });
        let ip = facts.client_ip.map_or_else(String::new, |ip| format!("{ip}, "));
        format!("{ip}{country}, {}, {bot}", self.tx.device().as_str())
    }

    fn print_end(&self) {
        match &self.end {
            End::Respond(response) => {
                anstream::println!("\n{BOLD}response from the edge{BOLD:#}\n  {}", response.status());
                print_headers(response.headers());
                anstream::println!("\n  {}", text(response.body()).replace('\n', "\n  "));
            }
            End::Fetch(fetch) => {
                let (backend, request) = (&fetch.backend, &fetch.request);
                anstream::println!(
                    "\n{BOLD}request to backend {backend}{BOLD:#}\n  {} {}",
                    request.method(),
                    request.uri()
                );
                print_headers(request.headers());
            }
            End::Handler(name) => anstream::println!("\n{BOLD}handler{BOLD:#}\n  {name}"),
        }
    }

    fn to_json(&self, engine: &Engine) -> Value {
        let note = |note: &selvedge_core::reason::Note| json!({ "reason": note.reason.code(), "rule": note.rule.describe(engine.policy()) });
        let verdict = self.tx.verdict();
        json!({
            "client": {
                "ip": self.tx.facts().client_ip,
                "country": self.tx.facts().country.map(|country| country.to_string()),
                "device": self.tx.device().as_str(),
                "bot": verdict.category().map(|category| category.as_str()),
                "evidence": verdict.evidence().to_string(),
            },
            "decisions": self.tx.notes().iter().map(note).collect::<Vec<_>>(),
            "cache_key": self.key,
            "caching": self.caching.as_ref().map_or(Value::Null, Caching::to_json),
            "response": match &self.end { End::Respond(response) => json!({
                "status": response.status().as_u16(),
                "headers": headers_json(response.headers()),
                "body": text(response.body()),
            }), End::Fetch(_) | End::Handler(_) => Value::Null },
            "fetch": match &self.end { End::Fetch(fetch) => json!({
                "backend": &*fetch.backend,
                "method": fetch.request.method().as_str(),
                "url": fetch.request.uri().to_string(),
                "headers": headers_json(fetch.request.headers()),
            }), End::Respond(_) | End::Handler(_) => Value::Null },
            "handler": match &self.end { End::Handler(name) => json!(name), End::Respond(_) | End::Fetch(_) => Value::Null },
        })
    }
}

/// Values of secret headers are not shown.
fn shown(value: &HeaderValue) -> String {
    if value.is_sensitive() {
        "(secret)".to_owned()
    } else {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    }
}

fn print_headers(headers: &HeaderMap) {
    for (name, value) in headers {
        anstream::println!("  {DIM}{name}:{DIM:#} {}", shown(value));
    }
}

fn headers_json(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), shown(value))).collect()
}

fn text(body: &Body) -> String {
    match body {
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Body::Empty | Body::Host(_) => String::new(),
    }
}
