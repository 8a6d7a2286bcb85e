//! Connections to backends: pooled, kept alive, HTTP/1.1.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use selvedge_core::effect::FetchError;

use crate::connector::TimedConnector;
use crate::framing;
use crate::upload::{Upload, UploadError};

/// Below the keep-alive times that common servers use, so that a pooled connection seldom turns out closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
const MAX_IDLE_PER_BACKEND: usize = 64;

/// One thread's connections to backends.
///
/// Certificates are checked against the web's public authorities, which are
/// built in. Redirects are not followed.
#[derive(Debug)]
pub struct Backends<B> {
    client: BackendClient<B>,
    /// Clients that give up sooner on a connection, by when. A policy has few such times.
    impatient: Mutex<BTreeMap<Duration, BackendClient<B>>>,
}

type BackendClient<B> = Client<TimedConnector, Upload<B>>;

impl<B> Default for Backends<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<B> Backends<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Prepares for connections; there are none until they are needed.
    #[must_use]
    pub fn new() -> Self {
        Self { client: client(None), impatient: Mutex::default() }
    }

    /// Sends a request; the future ends with the head of the response.
    ///
    /// # Errors
    /// When there is no connection within `connect_timeout` or no head within `timeout`, or the upload breaks off, or the
    /// response's end could be found in two ways. Half of `timeout` spent on waiting for the client's upload makes it the client's.
    pub fn send(
        &self,
        mut request: Request<Upload<B>>,
        timeout: Duration,
        connect_timeout: Duration,
    ) -> impl Future<Output = Result<Response<Incoming>, FetchError>> + use<B> {
        *request.version_mut() = Version::HTTP_11;
        let upload = request.body_mut().progress();
        let response = if connect_timeout < timeout {
            // Nothing panics under the lock.
            let mut impatient = self.impatient.lock().unwrap_or_else(PoisonError::into_inner);
            impatient.entry(connect_timeout).or_insert_with(|| client(Some(connect_timeout))).request(request)
        } else {
            self.client.request(request)
        };
        async move {
            match tokio::time::timeout(timeout, response).await {
                Ok(response) => settled(response.map_err(|error| fetch_error(&error))?),
                Err(_) if upload.has_taken_half_of(timeout) => Err(FetchError::ClientTimeout),
                Err(_) => Err(FetchError::Timeout),
            }
        }
    }
}

fn client<B>(connect_timeout: Option<Duration>) -> BackendClient<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT);
    client.pool_max_idle_per_host(MAX_IDLE_PER_BACKEND);
    client.build(TimedConnector::new(connect_timeout))
}

fn settled(mut response: Response<Incoming>) -> Result<Response<Incoming>, FetchError> {
    framing::settle(response.headers_mut())?;
    Ok(response)
}

fn fetch_error(error: &Error) -> FetchError {
    tracing::debug!(error = %Chain(error), "a backend gave no response");
    if error.is_connect() {
        return FetchError::Connect;
    }
    upload_error(error).map_or(FetchError::Protocol, FetchError::from)
}

/// The upload's own error, wherever the client wrapped it.
fn upload_error(error: &Error) -> Option<UploadError> {
    chain(error).find_map(|error| error.downcast_ref().copied())
}

/// An error and what caused it, in order.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

struct Chain<'a>(&'a Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, error) in chain(self.0).enumerate() {
            write!(f, "{}{error}", if at == 0 { "" } else { ": " })?;
        }
        Ok(())
    }
}
