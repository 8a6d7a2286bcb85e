//! Requests that a component sends.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri, Version, header, uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use selvedge_native::connector::connector;
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::allowed::AllowedHosts;

/// [Spin's](https://spinframework.dev/v4/http-outbound) own, where the component sets none.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The connections of an application, which are kept and shared by all instances, as Spin does; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    allowed: Arc<AllowedHosts>,
    client: Client<HttpsConnector<HttpConnector>, WasiBody>,
}

type Sent = Result<(Response<WasiBody>, Processing), Error>;
type Processing = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Outbound {
    pub(super) fn new(allowed: AllowedHosts) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector());
        Self { allowed: Arc::new(allowed), client }
    }

    fn allows(&self, uri: &Uri) -> bool {
        let host = uri.host().filter(|host| !host.is_empty());
        // What has no host is for the application itself, which is not supported.
        let (Some(scheme), Some(host)) = (uri.scheme_str(), host) else { return false };
        let is_allowed = self.allowed.allows(scheme, host, uri.port_u16());
        if !is_allowed {
            let origin = format!("{scheme}://{}", uri.authority().map_or(host, uri::Authority::as_str));
            tracing::warn!(origin, "a request is not among the component's allowed_outbound_hosts");
        }
        is_allowed
    }

    async fn send(self, mut request: Request<WasiBody>, options: Option<RequestOptions>) -> Sent {
        if !self.allows(request.uri()) {
            return Err(Error::HttpRequestDenied);
        }
        *request.version_mut() = Version::HTTP_11;
        // The client writes it, from the target.
        request.headers_mut().remove(header::HOST);
        let limit =
            |limit: fn(RequestOptions) -> Option<Duration>| options.and_then(limit).unwrap_or(TIMEOUT);
        // DIFFERENCE: one limit for the connection and for what follows it, which Spin counts one after the other; a
        // connection is seldom new.
        let head =
            tokio::time::timeout(limit(|all| all.first_byte_timeout), self.client.request(request)).await;
        let response = head.map_err(|_| Error::ConnectionReadTimeout)?.map_err(|error| failure(&error))?;
        let timeout = limit(|all| all.between_bytes_timeout);
        let response = response.map(|body| Timed { body, timeout, sleep: None }.boxed_unsync());
        // What happens to the request from here on is known from the response's body.
        Ok((response, Box::new(async { Ok(()) })))
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Processing,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(self.clone().send(request, options))
    }
}

fn failure(error: &legacy::Error) -> Error {
    let mut causes = std::iter::successors(Some(error as &(dyn StdError + 'static)), |&error| error.source());
    let io = causes.find_map(|error| error.downcast_ref::<io::Error>());
    tracing::debug!(?error, "a request of a component gets no response");
    match io.filter(|_| error.is_connect()) {
        Some(io) if io.get_ref().is_some_and(|error| error.is::<io::Error>()) => Error::TlsProtocolError,
        Some(io) if io.kind() == io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        Some(io) if io.raw_os_error().is_some() => Error::ConnectionRefused,
        Some(_) => Error::DnsError { rcode: Some("address not available".to_owned()), info_code: Some(0) },
        None => Error::HttpProtocolError,
    }
}

/// A body that may pause only for so long.
struct Timed {
    body: Incoming,
    timeout: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.sleep = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        let timeout = self.timeout;
        ready!(self.sleep.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
