//! HTTP for clients.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::{Error, WasiBody};

use super::instance::Instances;
use super::trigger::{self, Route};

/// Most requests at a time; others wait. Each may need an instance of its own.
const MAX_REQUESTS: usize = 256;

/// What answers [Spin's health check](https://spinframework.dev/v4/http-trigger#health-check-route).
const HEALTH: &str = "/.well-known/spin/health";

/// Paths that Spin keeps for itself.
const WELL_KNOWN: &str = "/.well-known/spin/";

/// An application that answers.
pub(super) struct Application {
    route: Route,
    handler: ProxyHandler<Instances>,
    trusts_edge: bool,
    requests: Arc<Semaphore>,
}

type Answer = Response<Either<Full<Bytes>, Held>>;

impl Application {
    pub(super) fn new(route: Route, instances: Instances, trusts_edge: bool) -> Self {
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        Self { route, handler: ProxyHandler::new(instances), trusts_edge, requests }
    }

    /// Serves clients for ever.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, client)) = listener.accept().await else { continue };
            tokio::spawn(Arc::clone(&self).connection(stream, client));
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, client: SocketAddr) {
        let _: Result<_, _> = stream.set_nodelay(true);
        let service = service_fn(move |request| {
            let application = Arc::clone(&self);
            async move { Ok::<_, Infallible>(application.answer(request, client).await) }
        });
        let server = auto::Builder::new(TokioExecutor::new());
        if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(error, "a connection to the application broke");
        }
    }

    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Answer {
        let path = request.uri().path();
        if path.starts_with(WELL_KNOWN) {
            return if path == HEALTH {
                plain(StatusCode::OK, "OK")
            } else {
                plain(StatusCode::NOT_FOUND, "")
            };
        }
        let Some(rest) = self.route.rest(path).map(str::to_owned) else {
            return plain(StatusCode::NOT_FOUND, "");
        };
        match self.ask(request, &rest, client).await {
            Ok(response) => response.map(Either::Right),
            Err(error) => {
                tracing::error!(?error, "the component gave no response");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }

    async fn ask(
        &self,
        request: Request<Incoming>,
        rest: &str,
        client: SocketAddr,
    ) -> anyhow::Result<Response<Held>> {
        let (mut parts, body) = request.into_parts();
        trigger::prepare(&mut parts, &self.route, rest, client, self.trusts_edge)?;
        let permit = Arc::clone(&self.requests).acquire_owned().await?;
        let request = Request::from_parts(parts, body.map_err(Error::from).boxed_unsync());
        let response = self.handler.handle((), request).await?;
        Ok(response.map(|body| Held { body, _permit: permit }))
    }
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response
}

/// The body of a component, whose request is under way as long as it is.
struct Held {
    body: WasiBody,
    _permit: OwnedSemaphorePermit,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
