//! An edge that writes down what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use selvedge_origin::{Edge, OriginConfig, Secret};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const TOKEN: &str = "s3cret";

/// Longer than any wait between two tries that a test lets grow.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct RecordingEdge {
    url: Edge,
    status: Arc<AtomicU16>,
    notices: UnboundedReceiver<Notice>,
}

/// A notice, and the trace that it says it belongs to.
pub(crate) struct Notice {
    pub(crate) told: Value,
    pub(crate) traceparent: Option<String>,
}

#[derive(Clone)]
struct Shared {
    status: Arc<AtomicU16>,
    heard: UnboundedSender<Notice>,
}

impl RecordingEdge {
    /// Starts an edge that answers with a status until it is told another.
    pub(crate) async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let status = Arc::new(AtomicU16::new(status));
        let (heard, notices) = unbounded_channel();
        let shared = Shared { status: Arc::clone(&status), heard };
        let router = Router::new().route("/_selvedge/purge", post(hear)).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, status, notices }
    }

    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Adds the edge to those that an origin tells.
    pub(crate) fn registered(&self, mut config: OriginConfig) -> OriginConfig {
        config.edges.push(self.url.clone());
        config.purge_token = Some(Secret::new(TOKEN));
        config
    }

    /// Waits for the next notice, taken or refused.
    pub(crate) async fn next(&mut self) -> Value {
        self.next_notice().await.told
    }

    /// Waits for the next notice, taken or refused, with its trace.
    pub(crate) async fn next_notice(&mut self) -> Notice {
        tokio::time::timeout(PATIENCE, self.notices.recv()).await.unwrap().unwrap()
    }
}

async fn hear(State(shared): State<Shared>, headers: HeaderMap, body: String) -> StatusCode {
    let signature = headers["selvedge-signature"].to_str().unwrap();
    assert!(signature.starts_with("t=") && signature.contains(", v1="), "{signature}");
    let told = format!("{headers:?}");
    assert!(!told.contains(TOKEN), "the token itself stays with the origin: {told}");
    let traceparent = headers.get("traceparent").map(|value| value.to_str().unwrap().to_owned());
    let notice = Notice { told: serde_json::from_str(&body).unwrap(), traceparent };
    assert!(shared.heard.send(notice).is_ok(), "the test listens");
    StatusCode::from_u16(shared.status.load(Ordering::Relaxed)).unwrap()
}
