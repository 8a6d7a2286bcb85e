//! What asks the collector, for a thread that has no runtime of its own.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::{Builder, Runtime};

/// Longest wait for a collector, as OTLP has it by default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a collector's answer, which says what it did not take.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Connections to a collector, with TLS or without, on a thread of their own.
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// `None` once it is dropped.
    runtime: Option<Runtime>,
}

impl Collector {
    /// # Errors
    /// When there is no thread.
    pub(super) fn new() -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("otlp").enable_all().build()?;
        let client = Client::builder(TokioExecutor::new()).build(selvedge_native::backend::connector());
        Ok(Self { client, runtime: Some(runtime) })
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let asked = self.client.request(request.map(Full::new));
        let answer = async move {
            let (head, body) = asked.await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        let runtime = self.runtime.as_ref().map(Runtime::handle).cloned();
        Box::pin(async move {
            let runtime = runtime.ok_or("the edge ends")?;
            let answer = runtime.spawn(async { tokio::time::timeout(TIMEOUT, answer).await });
            answer.await??
        })
    }
}

/// What serves may drop it, where nobody may wait for a thread.
impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}
