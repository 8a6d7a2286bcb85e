//! An edge with a policy, a backend that can be told how to behave, and a client.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use selvedge_core::backend::{Backend, BackendId, HostSource};
use selvedge_core::cache::rule::{CacheRule, Storing};
use selvedge_core::engine::Engine;
use selvedge_core::health::rule::HealthRule;
use selvedge_core::policy::Policy;
use selvedge_core::route::{Action, BackendChoice, FixedResponse, PathPattern, Route};
use selvedge_core::template::Template;
use selvedge_emulator::{Console, Emulator, EmulatorConfig, EngineHandle, PolicyInfo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Most bytes of a request body under [`policy`].
pub(crate) const MAX_BODY_BYTES: u64 = 2 * 1024 * 1024;

/// Length of a film.
pub(crate) const FILM_BYTES: usize = 20 * 1024 * 1024;
/// Length of a film's parts; no multiple or part of a block.
const PART_BYTES: usize = 50_000;

pub(crate) type AnyBody = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A running edge.
pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    pub(crate) engine: EngineHandle,
    pub(crate) console: Console,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

/// A backend that answers by path and counts.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<AtomicUsize>,
    /// Tells that a request for `/gate` has arrived.
    pub(crate) arrived: Arc<Notify>,
    /// Lets one request for `/gate` be answered.
    pub(crate) gate: Arc<Notify>,
}

/// A body that is fed while it is sent; dropping the sender ends it, an `Err` breaks it off.
pub(crate) struct Fed(mpsc::Receiver<Result<Bytes, Broken>>);

#[derive(Debug)]
pub(crate) struct Broken;

impl Edge {
    pub(crate) async fn start(policy: Policy) -> Self {
        Self::start_with(policy, EmulatorConfig::default()).await
    }

    pub(crate) async fn start_with(policy: Policy, config: EmulatorConfig) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let engine = EngineHandle::new(engine(policy), info("first"));
        let config = EmulatorConfig { listen, threads: Some(1), ..config };
        let emulator = Emulator::bind(config, engine.clone()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (address, console) = (emulator.local_addr(), emulator.console());
        let running = tokio::spawn(emulator.run(async move { drop(stopped.await) }));
        Self { address, engine, console, stop, running }
    }

    /// Tells the edge to stop; the returned future ends when it has.
    pub(crate) fn stop(self) -> impl Future<Output = anyhow::Result<()>> {
        self.stop.send(()).unwrap();
        async { self.running.await.unwrap() }
    }

    /// Sends one request on a connection of its own and reads the whole response.
    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        let request = Request::get(path).body(empty()).unwrap();
        whole(connect(self.address).await.send_request(with_host(request)).await.unwrap()).await
    }
}

/// An engine of a policy that needs nothing.
pub(crate) fn engine(policy: Policy) -> Arc<Engine> {
    Arc::new(Engine::builder(policy).collapsing().compile().unwrap())
}

pub(crate) fn info(hash: &str) -> PolicyInfo {
    PolicyInfo { name: "test".to_owned(), hash: hash.to_owned() }
}

/// Sends everything to `origin`; stores what lies below `/static`, and answers `/country` and `/address` itself.
pub(crate) fn policy(origin: SocketAddr) -> Policy {
    let mut policy = Policy {
        backends: vec![
            backend("impatient", origin, Duration::from_millis(50)),
            backend("origin", origin, Duration::from_secs(20)),
        ],
        routes: vec![
            proxy("/never", 0, Storing::Never),
            proxy("/static/{*rest}", 1, Storing::Store),
            proxy("/{*rest}", 1, Storing::Never),
            respond("/country", "{country}"),
            respond("/address", "{client-ip}"),
        ],
        ..Policy::default()
    };
    policy.limits.max_body_bytes = MAX_BODY_BYTES;
    policy
}

pub(crate) fn respond(path: &str, body: &str) -> Route {
    let body = Template::parse(body, &[]).unwrap();
    route(path, Action::Respond(FixedResponse { status: 200, body, content_type: "text/plain".to_owned() }))
}

fn proxy(path: &str, backend: u16, store: Storing) -> Route {
    let action = Action::Proxy { backend: BackendChoice::One(BackendId(backend)), rewrite: None };
    let cache = CacheRule { store, edge: Some(Duration::from_secs(3600)), ..CacheRule::default() };
    Route { cache, ..route(path, action) }
}

fn route(path: &str, action: Action) -> Route {
    Route {
        name: path.to_owned(),
        hosts: Vec::new(),
        path: PathPattern::parse(path).unwrap(),
        methods: Vec::new(),
        extensions: Vec::new(),
        when: Default::default(),
        action,
        cache: CacheRule::default(),
        key: Default::default(),
        tags: Vec::new(),
        headers: Default::default(),
        cors: None,
    }
}

fn backend(name: &str, address: SocketAddr, timeout: Duration) -> Backend {
    Backend {
        name: name.to_owned(),
        urls: vec![format!("http://{address}")],
        timeout,
        connect_timeout: timeout,
        total_timeout: None,
        region: None,
        coordinates: None,
        request_headers: Vec::new(),
        failover: Vec::new(),
        host: HostSource::Backend,
        health: HealthRule::default(),
    }
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
            arrived: Arc::default(),
            gate: Arc::default(),
        };
        tokio::spawn(origin.clone().accept(listener));
        origin
    }

    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            self.connections.fetch_add(1, Ordering::SeqCst);
            let origin = self.clone();
            let service = service_fn(move |request| origin.clone().answer(request));
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let path = request.uri().path().to_owned();
        Ok(match path.as_str() {
            "/echo" => Response::new(request.into_body().map_err(Into::into).boxed()),
            "/never" => std::future::pending().await,
            "/static/private-gate" => {
                self.arrived.notify_one();
                self.gate.notified().await;
                let mut response = Response::new(full(format!("answer {number}")));
                response.headers_mut().insert("cache-control", "private".parse().unwrap());
                response
            }
            "/gate" | "/static/gate" => {
                self.arrived.notify_one();
                self.gate.notified().await;
                Response::new(full("through the gate"))
            }
            "/headers" => Response::new(full(format!("{:?}", request.headers()))),
            "/static/chunked" => {
                let (sender, body) = Fed::channel();
                sender.try_send(Ok(Bytes::from("one "))).unwrap();
                sender.try_send(Ok(Bytes::from(format!("answer {number}")))).unwrap();
                Response::new(body)
            }
            "/static/film" => Response::new(full(film(FILM_BYTES))),
            "/static/film-in-parts" => Response::new(in_parts(FILM_BYTES)),
            "/static/broken-once" if number == 1 => Response::new(broken_film()),
            "/static/broken-once" => Response::new(full(film(FILM_BYTES))),
            "/static/translated" => {
                let mut response = Response::new(full(film(1_000_000)));
                response.headers_mut().insert("vary", "accept-language".parse().unwrap());
                response.headers_mut().insert("etag", "\"t\"".parse().unwrap());
                response
            }
            _ => match path.strip_prefix("/static/zeros/") {
                Some(length) => Response::new(zeros(length.parse().unwrap())),
                None => Response::new(full(format!("answer {number}"))),
            },
        })
    }
}

impl Fed {
    pub(crate) fn channel() -> (mpsc::Sender<Result<Bytes, Broken>>, AnyBody) {
        let (sender, receiver) = mpsc::channel(16);
        (sender, Self(receiver).map_err(Into::into).boxed())
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken off")
    }
}

impl std::error::Error for Broken {}

/// Content of a long body, no part of which is like another.
pub(crate) fn film(length: usize) -> Bytes {
    (0..length.div_ceil(8) as u64).flat_map(u64::to_le_bytes).take(length).collect::<Vec<_>>().into()
}

/// A film without an announced length.
pub(crate) fn in_parts(length: usize) -> AnyBody {
    let (sender, body) = Fed::channel();
    tokio::spawn(async move {
        let film = film(length);
        for at in (0..length).step_by(PART_BYTES) {
            let part = film.slice(at..length.min(at + PART_BYTES));
            if sender.send(Ok(part)).await.is_err() {
                return;
            }
        }
    });
    body
}

/// A body that the backend need not have in memory.
fn zeros(mut left: usize) -> AnyBody {
    let (sender, body) = Fed::channel();
    tokio::spawn(async move {
        while left > 0 {
            let part = Bytes::from_static(&[0; PART_BYTES]).slice(..left.min(PART_BYTES));
            left -= part.len();
            if sender.send(Ok(part)).await.is_err() {
                return;
            }
        }
    });
    body
}

/// A film that breaks off after its first MB.
fn broken_film() -> AnyBody {
    let (sender, body) = Fed::channel();
    tokio::spawn(async move {
        let _ = sender.send(Ok(film(1_000_000))).await;
        let _ = sender.send(Err(Broken)).await;
    });
    body
}

pub(crate) fn empty() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(crate) fn full(content: impl Into<Bytes>) -> AnyBody {
    Full::new(content.into()).map_err(|never| match never {}).boxed()
}

/// Opens a connection that speaks HTTP/1.1.
pub(crate) async fn connect(address: SocketAddr) -> SendRequest<AnyBody> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn with_host(mut request: Request<AnyBody>) -> Request<AnyBody> {
    request.headers_mut().insert("host", "shop.example".parse().unwrap());
    request
}

pub(crate) async fn whole(response: Response<Incoming>) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// The text of a response that must be a success.
pub(crate) fn text(response: &Response<Bytes>) -> &str {
    assert_eq!(response.status(), StatusCode::OK, "{response:?}");
    std::str::from_utf8(response.body()).unwrap()
}
