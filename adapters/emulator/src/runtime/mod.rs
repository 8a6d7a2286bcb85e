//! Other platforms' runtimes behind the emulator's point of presence: it tells them who the client is, and they decide.

pub mod cloudflare;
pub mod cloudfront;
pub mod lambda;
mod process;
pub mod spin;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header, uri};
use selvedge_core::body::Body;
use selvedge_core::effect::{Fetch, FetchError};
use selvedge_core::facts::Facts;
use selvedge_core::headers::hop_by_hop::{self, Upgrade};
use selvedge_core::reason::{Reason, Summary};

use crate::effects::EdgeHost;

/// What answers in place of the emulator's own engine.
#[derive(Clone, Debug)]
pub enum Platform {
    /// Cloudflare's runtime.
    Cloudflare(RuntimeHandle),
    /// CloudFront, with functions on Node.js.
    CloudFront(cloudfront::CloudFront),
    /// A function URL of Lambda.
    Lambda(RuntimeHandle),
    /// The host of Spin components, which goes by what it is told about a client.
    Spin(RuntimeHandle),
    /// Spin itself, which goes by the connection.
    SpinItself(RuntimeHandle),
}

/// Longest wait for a runtime's answer; it has the policy's own time limits.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Where the runtime in use listens; clones share it, and it can be exchanged while requests run.
#[derive(Clone)]
pub struct RuntimeHandle(Arc<ArcSwap<SocketAddr>>);

impl RuntimeHandle {
    /// Makes a handle of the first runtime.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(address)))
    }

    /// Lets another runtime answer from the next request on.
    pub fn replace(&self, address: SocketAddr) {
        self.0.store(Arc::new(address));
    }

    fn address(&self) -> SocketAddr {
        **self.0.load()
    }
}

impl fmt::Debug for RuntimeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RuntimeHandle").field(&self.address()).finish()
    }
}

/// Hands a request to a platform and returns its answer.
pub(crate) async fn answer(
    host: &EdgeHost,
    platform: &Platform,
    request: Request<Body>,
    facts: &Facts,
) -> (Response<Body>, Summary) {
    match platform {
        Platform::Cloudflare(runtime) => forward(host, runtime, cloudflare::tell, request, facts).await,
        Platform::CloudFront(front) => front.answer(host, request, facts).await,
        Platform::Lambda(runtime) => forward(host, runtime, lambda::tell, request, facts).await,
        Platform::Spin(runtime) => forward(host, runtime, spin::tell, request, facts).await,
        Platform::SpinItself(runtime) => forward(host, runtime, spin::tell_spin, request, facts).await,
    }
}

/// Puts what is known about a client in the place of whatever the client said there.
type Tell = fn(&mut HeaderMap, &Facts);

/// Hands a request to a runtime and returns its answer.
async fn forward(
    host: &EdgeHost,
    runtime: &RuntimeHandle,
    tell: Tell,
    mut request: Request<Body>,
    facts: &Facts,
) -> (Response<Body>, Summary) {
    let result = match address_to(runtime, &mut request) {
        Ok(()) => {
            tell(request.headers_mut(), facts);
            let fetch = Fetch {
                backend: "runtime".into(),
                request,
                timeout: TIMEOUT,
                connect_timeout: TIMEOUT,
                watch: None,
                max_body_bytes: u64::MAX,
            };
            host.fetch(fetch).await
        }
        Err(_) => Err(FetchError::Protocol),
    };
    let (response, reason) = match result {
        Ok(mut response) => {
            hop_by_hop::strip_response(response.headers_mut());
            (response, Reason::BackendResponded)
        }
        Err(error) => (no_answer(error), Reason::BackendFailed(error)),
    };
    (response, Summary::of(reason))
}

/// Lets the request go to the runtime with the host that the client asked for.
fn address_to(runtime: &RuntimeHandle, request: &mut Request<Body>) -> Result<(), http::Error> {
    let mut parts = request.uri().clone().into_parts();
    if let Some(authority) = parts.authority.take() {
        request.headers_mut().insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
    }
    parts.scheme = Some(uri::Scheme::HTTP);
    parts.authority = Some(runtime.address().to_string().parse()?);
    *request.uri_mut() = Uri::from_parts(parts)?;
    let upgrade = hop_by_hop::upgrade_requested(request.headers());
    hop_by_hop::strip_request(request.headers_mut());
    if upgrade == Some(Upgrade::WebSocket) {
        hop_by_hop::request_web_socket(request.headers_mut());
    }
    Ok(())
}

fn no_answer(error: FetchError) -> Response<Body> {
    let text = format!("The runtime gave no answer ({}); its own output says why.\n", error.as_str());
    let mut response = Response::new(Body::from(Bytes::from(text)));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
