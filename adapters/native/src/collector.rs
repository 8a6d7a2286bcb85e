//! What sends spans to a collector by OTLP over HTTP, for exporters on a thread that has no runtime of its own.

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

/// [Variables](https://opentelemetry.io/docs/specs/otel/protocol/exporter/) of the longest wait for a collector, in milliseconds; the
/// first that says a number holds.
const TIMEOUT_VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
/// Longest wait where they do not say, as OTLP has it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a collector's answer, which says what it did not take.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Connections to a collector, with TLS or without, on a thread of their own.
pub struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    /// `None` once it is dropped.
    runtime: Option<Runtime>,
}

impl Collector {
    /// Starts the thread. A request takes 10 seconds at most, unless `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT` or `OTEL_EXPORTER_OTLP_TIMEOUT` has
    /// another number of milliseconds.
    ///
    /// # Errors
    /// When there is no thread.
    pub fn new() -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("otlp").enable_all().build()?;
        let client = Client::builder(TokioExecutor::new()).build(crate::connector::connector());
        Ok(Self { client, timeout: timeout(|name| std::env::var(name).ok()), runtime: Some(runtime) })
    }
}

/// The longest wait, by what variables say.
fn timeout(variable: impl Fn(&str) -> Option<String>) -> Duration {
    let said = TIMEOUT_VARIABLES.iter().find_map(|name| variable(name)?.trim().parse().ok());
    said.map_or(DEFAULT_TIMEOUT, Duration::from_millis)
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
        let (runtime, timeout) = (self.runtime.as_ref().map(Runtime::handle).cloned(), self.timeout);
        Box::pin(async move {
            let runtime = runtime.ok_or("the process ends")?;
            let answer = runtime.spawn(async move { tokio::time::timeout(timeout, answer).await });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_of_traces_goes_before_that_of_everything() {
        let rows = [
            (None, None, 10_000),
            (None, Some("250"), 250),
            (Some("90"), Some("250"), 90),
            (Some("soon"), Some(" 250 "), 250),
            (None, Some("10s"), 10_000),
        ];
        for (traces, all, expected) in rows {
            let said = |name: &str| if name.contains("TRACES") { traces } else { all }.map(str::to_owned);
            assert_eq!(timeout(said), Duration::from_millis(expected), "{traces:?}, {all:?}");
        }
    }
}
