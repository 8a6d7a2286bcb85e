//! A CloudFront whose functions are written in the test, on a real Node.js, and an origin that remembers.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use selvedge_cloudfront::event::{Cf, Event, Trigger};
use selvedge_cloudfront::policy::distribution::{Attached, Distribution};
use selvedge_core::time::Timestamp;
use selvedge_emulator::runtime::Platform;
use selvedge_emulator::runtime::cloudfront::{CloudFront, Node, program};
use selvedge_emulator::{Clock, EmulatorConfig, ManualClock};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{self, AnyBody, Edge, connect, empty, full, whole, with_host};

/// What stands around the functions of a test: `to(request, port)` sends a request to a server on this machine.
const BUNDLE: &str = include_str!("index.mjs");

/// A distribution that listens.
pub(crate) struct Front {
    edge: Edge,
    pub(crate) origin: Recorder,
    pub(crate) clock: ManualClock,
    folder: TempDir,
    _node: Node,
}

/// An origin that keeps what it was asked.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request<Bytes>>>>,
    answer: Answer,
}

type Answer = Arc<dyn Fn(&Request<Bytes>, usize) -> Response<AnyBody> + Send + Sync>;

/// Where the programs for tests are; `None`, and a word about it, where they are not installed.
pub(crate) fn node() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    match program(&folder) {
        Ok(program) => Some(program),
        Err(error) => {
            writeln!(std::io::stderr(), "skipped: {error:#}").expect("the standard error takes a line");
            None
        }
    }
}

/// A distribution with functions at every trigger and nothing in its policies.
pub(crate) fn distribution() -> Distribution {
    let triggers = Trigger::ALL.map(|trigger| Attached { trigger, include_body: false });
    Distribution {
        triggers: triggers.to_vec(),
        cache_key_headers: Vec::new(),
        origin_request_headers: Vec::new(),
        behaviours: Vec::new(),
        https_only: false,
    }
}

impl Front {
    /// Starts functions: the fields of a JavaScript object, each a function of `cf` under its trigger's name. A trigger
    /// that has none returns what it gets, and origin-request sends it to the recorder.
    pub(crate) async fn start(
        node: &Path,
        functions: &str,
        distribution: Distribution,
        answer: impl Fn(&Request<Bytes>, usize) -> Response<AnyBody> + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(node, functions, distribution, answer, EmulatorConfig::default()).await
    }

    pub(crate) async fn start_with(
        node: &Path,
        functions: &str,
        distribution: Distribution,
        answer: impl Fn(&Request<Bytes>, usize) -> Response<AnyBody> + Send + Sync + 'static,
        config: EmulatorConfig,
    ) -> Self {
        let origin = Recorder::start(answer).await;
        let folder = TempDir::new().unwrap();
        let bundle = BUNDLE
            .replace("/* functions */", functions)
            .replace("ORIGIN_PORT", &origin.address.port().to_string());
        std::fs::write(folder.path().join("index.mjs"), bundle).unwrap();
        let node = Node::start(node, folder.path()).unwrap();
        let clock = ManualClock::new(Timestamp::from_http_date("Wed, 25 Nov 2026 12:00:00 GMT").unwrap());
        let config = EmulatorConfig {
            clock: Clock::Manual(clock.clone()),
            runtime: Some(Platform::CloudFront(CloudFront::new(distribution, node.address()))),
            ..config
        };
        let edge = Edge::start_with(support::policy(origin.address), config).await;
        Self { edge, origin, clock, folder, _node: node }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.edge.address
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.send(Request::get(path).body(empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<AnyBody>) -> Response<Bytes> {
        whole(connect(self.edge.address).await.send_request(with_host(request)).await.unwrap()).await
    }

    /// Lets `seconds` pass since the start.
    pub(crate) fn set_seconds(&self, seconds: u64) {
        let start = Timestamp::from_http_date("Wed, 25 Nov 2026 12:00:00 GMT").unwrap();
        self.clock.set(Timestamp::from_millis(start.as_millis() + 1000 * seconds));
    }

    /// The events so far, of one trigger.
    pub(crate) fn events(&self, trigger: Trigger) -> Vec<Cf> {
        let text = std::fs::read_to_string(self.folder.path().join("events.jsonl")).unwrap_or_default();
        let events = text.lines().map(|line| serde_json::from_str::<Event>(line).unwrap());
        let records = events.map(|event| event.into_cf().unwrap());
        records.filter(|cf| cf.config.event_type == Some(trigger)).collect()
    }
}

impl Recorder {
    pub(crate) async fn start(
        answer: impl Fn(&Request<Bytes>, usize) -> Response<AnyBody> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let recorder = Self { address, requests: Arc::default(), answer: Arc::new(answer) };
        tokio::spawn(recorder.clone().accept(listener));
        recorder
    }

    /// What was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request<Bytes>> {
        self.requests.lock().unwrap().clone()
    }

    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let recorder = self.clone();
            let service = service_fn(move |request| recorder.clone().answer(request));
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let request = Request::from_parts(parts, body);
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len()
        };
        Ok((self.answer)(&request, number))
    }
}

/// An answer with a body that counts, and one header.
pub(crate) fn counted(
    name: &str,
    value: &str,
) -> impl Fn(&Request<Bytes>, usize) -> Response<AnyBody> + use<> {
    let (name, value) = (name.to_owned(), value.to_owned());
    move |_, number| Response::builder().header(&name, &value).body(full(format!("answer {number}"))).unwrap()
}

pub(crate) fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

pub(crate) fn body(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}
