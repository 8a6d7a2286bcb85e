//! How connections to backends are made.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// Prepares to connect to servers by HTTP/1.1, with TLS or without.
///
/// Certificates are checked against the web's public authorities, which are built in.
#[must_use]
pub fn connector() -> HttpsConnector<HttpConnector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(tcp)
}

/// Connects within a time: the name is looked up, the connection made and TLS agreed on by then.
#[derive(Clone, Debug)]
pub(crate) struct TimedConnector {
    connector: HttpsConnector<HttpConnector>,
    time: Option<Duration>,
}

type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl TimedConnector {
    /// Takes as long as it does where there is no `time`.
    pub(crate) fn new(time: Option<Duration>) -> Self {
        Self { connector: connector(), time }
    }
}

impl Service<Uri> for TimedConnector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let connecting = self.connector.call(server);
        match self.time {
            None => Box::pin(connecting),
            Some(time) => Box::pin(async move {
                let connected = tokio::time::timeout(time, connecting).await;
                connected.unwrap_or_else(|_| Err(Box::new(io::Error::from(io::ErrorKind::TimedOut))))
            }),
        }
    }
}
