//! One connection, and each of its requests from head to head.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::{HeaderName, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use selvedge_core::exchange::Exchange;
use selvedge_core::host::{Driven, drive};
use selvedge_core::reason::Summary;
use tokio::net::TcpStream;

use crate::body::Bodies;
use crate::config::EmulatorConfig;
use crate::counted::Counted;
use crate::effects::EdgeHost;
use crate::faults;
use crate::framing;
use crate::jobs;
use crate::observed::Observed;
use crate::pace::Pace;
use crate::purge;
use crate::request::{self, Peer};
use crate::response::{self, Outgoing};
use crate::runtime;
use crate::status;
use crate::trace;
use crate::worker::{InFlight, Stopped, Worker};

const MAX_CONCURRENT_STREAMS: u32 = 128;
/// [Server-Timing](https://www.w3.org/TR/server-timing/).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves HTTP/1.1 and HTTP/2 to connections of one thread.
pub(crate) type Protocols = auto::Builder<LocalExecutor>;

/// Runs futures on the thread that asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

pub(crate) fn protocols(config: &EmulatorConfig) -> Protocols {
    let mut protocols = auto::Builder::new(LocalExecutor);
    let max_header_bytes = config.max_header_bytes.max(8 * 1024);
    // Without `pipeline_flush`: it lets hyper buffer a body without bound while the client is slow to read.
    protocols
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_buf_size(max_header_bytes as usize);
    protocols
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(max_header_bytes)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .keep_alive_interval(H2_PING_INTERVAL);
    protocols
}

/// Serves one connection until it ends; once the edge stops, only until the requests in flight are answered.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    protocols: Rc<Protocols>,
    stream: TcpStream,
    peer: Peer,
    stopped: Stopped,
) {
    let stream = Counted::new(stream, Arc::clone(&worker.shared), worker.index());
    let (peer, greeted) = (Rc::new(peer), Rc::new(Cell::new(false)));
    let mut silence = pin!(tokio::time::sleep(worker.shared.config.header_read_timeout));
    let mut stopping = pin!(stopped.wait());
    let mut stop = Stop::Running;
    let pace = Rc::new(Pace::new());
    let mut waits = pin!(pace.stalled(worker.shared.config.client_stall_timeout));
    // Asked for again whenever the connection moves, since its first body may come late.
    let mut stalled = poll_fn(|cx| if pace.is_used() { waits.as_mut().poll(cx) } else { Poll::Pending });
    let service = service_fn({
        let (greeted, pace) = (Rc::clone(&greeted), Rc::clone(&pace));
        move |request| {
            greeted.set(true);
            answer(Rc::clone(&worker), Rc::clone(&peer), Rc::clone(&pace), request)
        }
    });
    let mut connection = pin!(protocols.serve_connection_with_upgrades(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            biased;
            end = connection.as_mut() => return log_end(end),
            () = stopping.as_mut(), if stop == Stop::Running => {
                stop = Stop::Finishing;
                connection.as_mut().graceful_shutdown();
            }
            // The head's own time limit begins with the choice of the protocol, which may never come.
            () = silence.as_mut(), if !silence.is_elapsed() => if !greeted.get() { return },
            () = &mut stalled => return,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Running,
    Finishing,
}

fn log_end(end: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = end {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// What few requests need has a future of its own place, so that the others move none of it.
async fn answer(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    pace: Rc<Pace>,
    mut request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let started = Instant::now();
    let in_flight = InFlight::begin(Rc::clone(&worker));
    if let Some(refusal) = framing::refusal(&request) {
        return Ok(response::send_bytes(refusal, in_flight));
    }
    if status::owns(request.uri().path()) {
        let page = Box::pin(own_page(&worker, &peer, request)).await;
        return Ok(response::send_bytes(page, in_flight));
    }
    let has_streams = request.version() == Version::HTTP_2;
    let line = RequestLine::of(&request);
    let bodies = Rc::new(Bodies::default());
    if request.headers().contains_key(header::UPGRADE) {
        bodies.ends.keep_client(hyper::upgrade::on(&mut request));
    }
    let (mut request, facts) = request::accept(request, &bodies, &peer, &worker.shared);
    let mut observed = Observed::begin(Rc::clone(&worker), &request, &facts, started);
    if worker.shared.config.traces() {
        trace::remove(request.headers_mut());
    }
    let host = EdgeHost::seen(Rc::clone(&worker), Rc::clone(&bodies), observed.sight());
    let engine = worker.shared.engine.engine();
    let Driven { mut response, summary, after } = match &worker.shared.config.runtime {
        Some(platform) => {
            let answer = Box::pin(runtime::answer(&host, platform, request, &facts));
            let (response, summary) = answer.await;
            Driven { response, summary, after: None }
        }
        None => drive(host, Exchange::new(Arc::clone(&engine), request, facts, observed.id())).await,
    };
    worker.tunnels.open(&mut response, &bodies.ends);
    if worker.shared.config.server_timing {
        response.headers_mut().append(SERVER_TIMING, observed.server_timing(summary));
    }
    let latency = observed.on_head(&response, summary, engine);
    let mut response = response::send(response, &bodies, observed, in_flight);
    if has_streams {
        response.body_mut().flow(&pace);
    }
    if let Some(line) = line {
        line.log(response.status(), summary, latency);
    }
    if let Some(after) = after {
        worker.finish_later(after, bodies);
    }
    Ok(response)
}

/// The status is for this machine only, whoever the client poses as.
async fn own_page(worker: &Rc<Worker>, peer: &Peer, request: Request<Incoming>) -> Response<bytes::Bytes> {
    // A token is what protects the first two.
    if purge::owns(request.uri().path()) {
        purge::respond(worker, request).await
    } else if faults::page::owns(request.uri().path()) {
        faults::page::respond(worker, request).await
    } else if !peer.is_loopback() {
        status::not_found()
    } else if jobs::page::owns(request.uri().path()) {
        jobs::page::respond(worker, request).await
    } else {
        status::respond(&worker.shared, request.method(), request.uri().path())
    }
}

/// What the log says about a request; its query may hold secrets and stays out.
struct RequestLine {
    method: Method,
    uri: Uri,
}

impl RequestLine {
    fn of(request: &Request<Incoming>) -> Option<Self> {
        let logs = tracing::enabled!(tracing::Level::INFO);
        logs.then(|| Self { method: request.method().clone(), uri: request.uri().clone() })
    }

    fn log(&self, status: StatusCode, summary: Summary, latency: Duration) {
        let (method, path, status) = (self.method.as_str(), self.uri.path(), status.as_u16());
        let (reason, cache) = (summary.reason.code(), summary.cache.map(selvedge_core::reason::Reason::code));
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(method, path, status, reason, cache, micros, "request");
    }
}
