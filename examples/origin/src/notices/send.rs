//! One notice to one edge.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::body::Bytes;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tracing::{Instrument as _, Span};

use crate::resource::now_ms;
use crate::secret::Secret;
use crate::trace::{self, TRACEPARENT, Traceparent};

use super::Edge;
use super::outbox::Purge;
use super::signature::{SIGNATURE, Signer};

/// How long an edge may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends notices; clones share the connections.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    signer: Signer,
}

impl Sender {
    pub(super) fn new(token: &Secret) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Self { client, signer: Signer::new(token) }
    }

    /// Returns when the edge has taken the notice.
    pub(super) async fn send(
        &self,
        edge: &Edge,
        purge: &Purge<'_>,
        causes: &[Traceparent],
    ) -> anyhow::Result<()> {
        let span = trace::notice(&edge.purge_uri(), causes);
        let traceparent = trace::onward(&span).or_else(|| causes.first().cloned());
        let sent = self.ask(edge, purge, traceparent).instrument(span.clone()).await;
        if sent.is_err() {
            trace::fail(&span);
        }
        sent
    }

    async fn ask(
        &self,
        edge: &Edge,
        purge: &Purge<'_>,
        traceparent: Option<Traceparent>,
    ) -> anyhow::Result<()> {
        let body = serde_json::to_vec(purge).context("a notice is JSON")?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(edge.purge_uri())
            .header(SIGNATURE, self.signer.sign(&body, now_ms()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let traceparent =
            traceparent.and_then(|traceparent| HeaderValue::from_str(traceparent.as_str()).ok());
        request.headers_mut().extend(traceparent.map(|traceparent| (TRACEPARENT, traceparent)));
        let asked = tokio::time::timeout(TIMEOUT, self.client.request(request)).await;
        let status = asked.context("the edge does not answer")?.context("cannot reach the edge")?.status();
        trace::end(&Span::current(), status);
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED => bail!("the edge has another token, or its clock another time"),
            StatusCode::NOT_FOUND => bail!("the edge takes no notices: it has no token"),
            status => bail!("the edge answered {status}"),
        }
    }
}
