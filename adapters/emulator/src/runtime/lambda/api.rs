//! The [runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html): processes ask for events and tell results.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use selvedge_native::body::read;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};

/// Most bytes of an event, and of a result that does not stream
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// Most bytes of a response that streams: 200 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html>).
const MAX_STREAM_BYTES: usize = 200 * 1024 * 1024;

const PREFIX: &str = "/2018-06-01/runtime/";

/// An error that ended a response early, as a trailer.
const ERROR_TRAILER: &str = "lambda-runtime-function-error-type";

/// Events that wait, and those that are being answered.
#[derive(Debug)]
pub(super) struct Invocations {
    timeout: Duration,
    state: Mutex<State>,
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    waiting: VecDeque<Invocation>,
    open: BTreeMap<String, oneshot::Sender<Result<Outcome, Failure>>>,
    /// What happens when a process asks for the first time.
    ready: Option<super::environment::Starting>,
}

#[derive(Debug)]
struct Invocation {
    id: String,
    event: Bytes,
    deadline: SystemTime,
}

/// What became of an event.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A result.
    Result(Bytes),
    /// A result that streams, with its head before eight zeros. An error means that it broke off.
    Stream(mpsc::Receiver<Result<Bytes, Failure>>),
}

/// Why an event has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl Invocations {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, state: Mutex::default(), added: Notify::new() }
    }

    /// Says who wants to know that a process is ready.
    pub(super) fn tell_ready(&self, starting: super::environment::Starting) {
        self.state().ready = Some(starting);
    }

    /// Hands an event to the next process that asks, and waits for its answer.
    pub(super) async fn invoke(&self, event: Bytes) -> Result<Outcome, Failure> {
        if event.len() > MAX_PAYLOAD_BYTES {
            let length = event.len();
            return Err(Failure(format!("the event has {length} bytes and not at most {MAX_PAYLOAD_BYTES}")));
        }
        let (reply, answer) = oneshot::channel();
        let id = {
            let mut state = self.state();
            state.next_id += 1;
            let id = format!("{:08x}-0000-4000-8000-000000000000", state.next_id);
            let deadline = SystemTime::now() + self.timeout;
            state.waiting.push_back(Invocation { id: id.clone(), event, deadline });
            state.open.insert(id.clone(), reply);
            id
        };
        self.added.notify_one();
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(Failure::new("the function ended"))),
            Err(_) => {
                self.close(&id);
                Err(Failure(format!("{id} Task timed out after {:.2} seconds", self.timeout.as_secs_f64())))
            }
        }
    }

    /// Fails what is being answered: a process ended.
    pub(super) fn fail_open(&self, message: &str) {
        let mut state = self.state();
        let waiting: Vec<_> = state.waiting.iter().map(|invocation| invocation.id.clone()).collect();
        let (kept, failed) =
            std::mem::take(&mut state.open).into_iter().partition(|(id, _)| waiting.contains(id));
        state.open = kept;
        for (_, reply) in failed {
            // Whoever asked may be gone.
            let _: Result<_, _> = reply.send(Err(Failure::new(message)));
        }
    }

    async fn next(&self) -> Invocation {
        if let Some(ready) = self.state().ready.take() {
            ready.succeeded();
        }
        loop {
            let added = self.added.notified();
            if let Some(next) = self.state().waiting.pop_front() {
                return next;
            }
            added.await;
        }
    }

    /// Forgets an event; `None` when nobody waits for it.
    fn close(&self, id: &str) -> Option<oneshot::Sender<Result<Outcome, Failure>>> {
        let mut state = self.state();
        state.waiting.retain(|invocation| invocation.id != id);
        state.open.remove(id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves processes.
pub(super) async fn serve(listener: TcpListener, invocations: Arc<Invocations>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(connection(stream, Arc::clone(&invocations)));
    }
}

async fn connection(stream: TcpStream, invocations: Arc<Invocations>) {
    let _: Result<_, _> = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let invocations = Arc::clone(&invocations);
        async move { Ok::<_, Infallible>(answer(&invocations, request).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the runtime API broke");
    }
}

async fn answer(invocations: &Invocations, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let parts: Vec<_> = path.strip_prefix(PREFIX).unwrap_or_default().split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => event(invocations.next().await),
        (&Method::POST, ["invocation", id, "response"]) => {
            let Some(reply) = invocations.close(id) else {
                return error(
                    StatusCode::BAD_REQUEST,
                    "InvalidRequestID",
                    "no event with this id waits for a result",
                );
            };
            take_result(reply, request).await
        }
        (&Method::POST, ["invocation", id, "error"]) => {
            let message = failure(request).await;
            let Some(reply) = invocations.close(id) else {
                return error(
                    StatusCode::BAD_REQUEST,
                    "InvalidRequestID",
                    "no event with this id waits for a result",
                );
            };
            tracing::error!(%message, "the function failed");
            let _: Result<_, _> = reply.send(Err(Failure(message)));
            accepted()
        }
        (&Method::POST, ["init", "error"]) => {
            let message = failure(request).await;
            tracing::error!(%message, "the function did not start");
            accepted()
        }
        _ => error(StatusCode::NOT_FOUND, "NotFound", "the runtime API has no such path"),
    }
}

fn event(invocation: Invocation) -> Response<Full<Bytes>> {
    let Invocation { id, event, deadline } = invocation;
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let fields = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:local".to_owned(),
        ),
        ("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0".to_owned()),
    ];
    let mut response = Response::new(Full::new(event));
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::try_from(value).expect("it is ASCII"));
    }
    response
}

async fn take_result(
    reply: oneshot::Sender<Result<Outcome, Failure>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let mode = request.headers().get("lambda-runtime-function-response-mode");
    if mode.is_some_and(|mode| mode == "streaming") {
        let (sender, receiver) = mpsc::channel(4);
        let _: Result<_, _> = reply.send(Ok(Outcome::Stream(receiver)));
        take_stream(sender, request.into_body()).await;
        return accepted();
    }
    match read(request.into_body(), MAX_PAYLOAD_BYTES).await {
        Ok(result) => {
            let _: Result<_, _> = reply.send(Ok(Outcome::Result(result)));
            accepted()
        }
        Err(_) => {
            let message = format!("the result has more than {MAX_PAYLOAD_BYTES} bytes");
            let response = error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message);
            let _: Result<_, _> = reply.send(Err(Failure(message)));
            response
        }
    }
}

/// Hands a stream on. One that nobody wants any more is read to its end all the same, as Lambda does.
async fn take_stream(sender: mpsc::Sender<Result<Bytes, Failure>>, mut body: Incoming) {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let part = match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(frame) => match frame.trailers_ref().and_then(broke_off) {
                    Some(failure) => Err(failure),
                    None => continue,
                },
            },
            Err(error) => Err(Failure(error.to_string())),
        };
        bytes += part.as_ref().map_or(0, Bytes::len);
        let part = if bytes > MAX_STREAM_BYTES {
            Err(Failure(format!("the response has more than {MAX_STREAM_BYTES} bytes")))
        } else {
            part
        };
        let _: Result<_, _> = sender.send(part).await;
    }
}

fn broke_off(trailers: &HeaderMap) -> Option<Failure> {
    trailers.get(ERROR_TRAILER).map(|code| Failure(format!("the response broke off: {code:?}")))
}

async fn failure(request: Request<Incoming>) -> String {
    let body = read(request.into_body(), MAX_PAYLOAD_BYTES).await.unwrap_or_default();
    let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| error[name].as_str().unwrap_or("?").to_owned();
    format!("{}: {}", text("errorType"), text("errorMessage"))
}

fn accepted() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}\n")));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "errorType": kind, "errorMessage": message });
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
}
