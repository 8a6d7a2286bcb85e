//! A policy on events of all four triggers.

mod distribution;
mod door;
mod facts;
mod message;
mod origin;
mod property;
mod random;
mod response;
mod state;

use bytes::Bytes;
use selvedge_core::body::Body;
use selvedge_core::effect::{Effect, EffectResult, FetchError, ReadBodyError};
use selvedge_core::engine::EngineBuilder;
use selvedge_core::handler::{HandlerContext, HandlerError};
use selvedge_core::policy::read::read;

use super::message::response as message_of;
use super::*;
use crate::event::{CustomOrigin, Origin};

const NOW: Timestamp = Timestamp::from_millis(1_768_478_400_000);
const SEED: Seed = *b"0123456789abcdef";
const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

const SHOP: &str = r#"
    [backends.a]
    url = "https://a.example/base"
    timeout = "2500ms"
    host = "client"
    request-headers = { X-Token = "t" }
    [backends.b]
    url = "http://b.example:8080"
    [[routes]]
    path = "/items/{id}"
    backend = "a"
    rewrite = "/v2/{id}"
    cache = { edge = "1m", browser = "10s", set-cookie = "strip" }
    headers = { request = { remove = ["cookie"] } }
    [[routes]]
    path = "/api"
    backend = "b"
    cache = { store = false }
    [[routes]]
    path = "/news/{id}"
    methods = ["GET", "HEAD", "OPTIONS"]
    backend = "b"
    rewrite = "/v2/{id}"
    cache = { store = false }
    [[routes]]
    path = "/hello"
    respond = { status = 200, body = "hello" }
    [[routes]]
    path = "/here"
    respond = { status = 200, body = "{country}" }
    [[routes]]
    path = "/echo"
    handler = "echo"
    [[routes]]
    path = "/binary"
    handler = "binary"
    [[routes]]
    path = "/long/{length}"
    handler = "long"
    [[routes]]
    path = "/fail"
    handler = "fail"
    [experiments.hero]
    paths = "/items/{id}"
    sticky = { cookie = "hero", max-age = "30d" }
    [[experiments.hero.variations]]
    name = "one"
    request-headers = { X-Hero = "1" }
    [[experiments.hero.variations]]
    name = "two"
    request-headers = { X-Hero = "2" }
    [headers.response]
    set = { X-Served-By = "selvedge" }
    [fallback]
    page = { status = 503, body = "sorry" }
"#;

/// What an event under way finds outside of the function.
struct Host {
    /// What every backend says; `None` when all are down.
    response: Option<Response>,
    /// What every body is that is not in the event.
    body: Result<&'static [u8], ReadBodyError>,
    /// What was asked for.
    asked: Vec<String>,
}

fn edge(policy: &str) -> Arc<Edge> {
    edge_with(policy, KEY, None)
}

fn edge_with(policy: &str, key: [u8; KEY_BYTES], places: Option<Places>) -> Arc<Edge> {
    let policy = read(policy).unwrap_or_else(|errors| panic!("{policy}: {errors}"));
    let engine = handlers(Engine::builder(policy)).compile().expect("the policy needs nothing else");
    Arc::new(Edge::new(Arc::new(engine), Settings { key, https_only: true, places }))
}

/// Handlers `echo`, `long` (a body of as many bytes as its path says), `binary` and `fail`.
fn handlers(builder: EngineBuilder) -> EngineBuilder {
    builder
        .handler("echo", async |context: HandlerContext| match context.read_body(100).await {
            Ok(bytes) => Ok(http::Response::new(Body::from(bytes))),
            Err(error) => Ok(http::Response::new(Body::from(Bytes::from(format!("{error:?}"))))),
        })
        .handler("long", async |context: HandlerContext| {
            let length = context.capture("length").and_then(|length| length.parse().ok()).unwrap_or(0);
            Ok(http::Response::new(Body::from(Bytes::from(vec![b'x'; length]))))
        })
        .handler("binary", async |_| Ok(http::Response::new(Body::from(Bytes::from_static(&[0, 159, 146])))))
        .handler("fail", async |_| Err(HandlerError::new("it fails as it should")))
}

fn get(target: &str, headers: &[(&str, &str)]) -> Request {
    request("GET", target, headers)
}

/// A request of a browser; headers that are given replace or repeat the browser's.
fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request {
    let (uri, querystring) = target.split_once('?').unwrap_or((target, ""));
    let browser = [("Host", "shop.example.com"), ("User-Agent", BROWSER), ("Accept", "*/*")];
    let browser = browser.into_iter().chain([("Accept-Language", "en")]);
    let mut fields: Headers =
        browser.filter(|(name, _)| !headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))).collect();
    fields.extend(headers.iter().copied());
    Request {
        client_ip: "203.0.113.7".to_owned(),
        method: method.to_owned(),
        uri: uri.to_owned(),
        querystring: querystring.to_owned(),
        headers: fields,
        ..Request::default()
    }
}

fn respond(status: u16, headers: &[(&str, &str)]) -> Response {
    Response { headers: headers.iter().copied().collect(), ..Response::new(status) }
}

fn cf(trigger: Trigger, request: Request, response: Option<Response>) -> Cf {
    let config = crate::event::Config { event_type: Some(trigger), ..crate::event::Config::default() };
    Cf { config, request, response, ..Cf::default() }
}

/// The origin that the distribution has: the first of its group.
fn primary() -> Origin {
    Origin::Custom(CustomOrigin {
        domain_name: "a.example".to_owned(),
        port: Some(443),
        protocol: "https".to_owned(),
        read_timeout: Some(30),
        keepalive_timeout: Some(5),
        ..CustomOrigin::default()
    })
}

/// The second one.
fn secondary() -> Origin {
    let Origin::Custom(mut origin) = primary() else { unreachable!("it is a custom one") };
    let (name, value) = super::distribution::FAILOVER_HEADER;
    origin.custom_headers.insert(name, value);
    Origin::Custom(origin)
}

/// Runs an event to its end.
fn run(edge: &Arc<Edge>, cf: Cf, host: &mut Host) -> Finished {
    let mut running = match edge.begin(cf, SEED, None, NOW) {
        Begun::Done(finished) => return *finished,
        Begun::Runs(running) => running,
    };
    let mut inputs = vec![Input::Begin];
    while let Some(input) = inputs.pop() {
        match running.poll(input, NOW) {
            Progress::Done { finished, .. } => return *finished,
            Progress::Effects(effects) => inputs.extend(
                effects
                    .iter()
                    .map(|issued| Input::Completed { id: issued.id, result: host.perform(&issued.effect) }),
            ),
        }
    }
    panic!("it waits for nothing")
}

impl Host {
    /// Backends are down and bodies are gone.
    fn down() -> Self {
        Self { response: None, body: Err(ReadBodyError::Broken), asked: Vec::new() }
    }

    fn perform(&mut self, effect: &Effect) -> EffectResult {
        if let Effect::Fetch(fetch) = effect {
            self.asked.push(format!("{} {}", fetch.request.method(), fetch.request.uri()));
            return EffectResult::Fetch(self.response.as_ref().map(message_of).ok_or(FetchError::Connect));
        }
        if let Effect::ReadBody { .. } = effect {
            self.asked.push("a body".to_owned());
            return EffectResult::ReadBody(self.body.map(Bytes::from_static));
        }
        assert!(matches!(effect, Effect::Record(_)), "Lambda@Edge is asked for {effect:?}");
        EffectResult::Record
    }
}

/// An event that asks nothing of its host.
fn outcome(edge: &Arc<Edge>, cf: Cf) -> Outcome {
    let mut host = Host::down();
    let finished = run(edge, cf, &mut host);
    assert_eq!(host.asked, [""; 0], "it needs nothing");
    assert_eq!(finished.violations, [], "it breaks no rule");
    finished.outcome
}

fn forwarded(outcome: Outcome) -> Request {
    match outcome {
        Outcome::Request(request) => *request,
        Outcome::Response(response) => panic!("it is answered: {response:?}"),
    }
}

fn answered(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Response(response) => response,
        Outcome::Request(request) => panic!("it goes on: {request:?}"),
    }
}

/// What viewer-request lets through.
fn enter(edge: &Arc<Edge>, request: Request) -> Request {
    forwarded(outcome(edge, cf(Trigger::ViewerRequest, request, None)))
}

/// The same at origin-request, where CloudFront added what it knows.
fn behind(mut request: Request, told: &[(&str, &str)]) -> Cf {
    request.headers.extend(told.iter().copied());
    request.origin = Some(primary());
    cf(Trigger::OriginRequest, request, None)
}

/// The request that a backend is sent.
fn depart(edge: &Arc<Edge>, request: Request, country: &str) -> Request {
    forwarded(outcome(edge, behind(request, &[("CloudFront-Viewer-Country", country)])))
}

/// What origin-response makes of a backend's response.
fn arrive(edge: &Arc<Edge>, sent: Request, response: Response) -> Response {
    answered(outcome(edge, cf(Trigger::OriginResponse, sent, Some(response))))
}

/// What viewer-response makes of a response for a request as viewer-request let it through.
fn leave(edge: &Arc<Edge>, entered: Request, response: Response) -> Response {
    answered(outcome(edge, cf(Trigger::ViewerResponse, entered, Some(response))))
}

fn all<'a>(headers: &'a Headers, name: &str) -> Vec<&'a str> {
    headers.get_all(name).collect()
}
