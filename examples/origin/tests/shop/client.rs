//! Requests to an origin in this process.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use selvedge_origin::Origin;
use serde_json::Value;
use tower::ServiceExt as _;

/// How long a request is repeated before a test gives up.
const PATIENCE: Duration = Duration::from_secs(90);

/// Longest that the origin may take to say that its servers are away, on a slow machine.
const LONGEST_ANSWER: Duration = Duration::from_secs(25);

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Returns a header's value, or nothing at all.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?} is JSON"))
    }
}

/// Sends a request; `line` is its method and its target.
pub(crate) async fn send(origin: &Origin, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(target);
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    read(origin.router().oneshot(request).await.unwrap().map(Body::new)).await
}

/// Reads an answer whole.
async fn read(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// An origin that is reached by its socket; clones share the connections.
#[derive(Clone)]
pub(crate) struct Remote {
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
}

impl Remote {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request, again for as long as the answer is that it cannot be done at the moment, and says so within the
    /// time that is given.
    pub(crate) async fn insist(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let (method, target) = line.split_once(' ').unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut request =
                Request::builder().method(method).uri(format!("http://{}{target}", self.address));
            for (name, value) in headers.iter().chain(&[("content-type", "application/json")]) {
                request = request.header(*name, *value);
            }
            let response = self.client.request(request.body(Body::from(body.to_owned())).unwrap());
            let response = tokio::time::timeout(LONGEST_ANSWER, response).await.expect("an answer in time");
            let answer = read(response.expect("the origin itself stays").map(Body::new)).await;
            // An attempt before may still be on its way, with the same key.
            if !matches!(answer.status, 409 | 503) {
                return answer;
            }
            assert!(answer.status == 409 || answer.header("retry-after") == "1", "{answer:?}");
            assert!(Instant::now() < deadline, "{line}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) async fn get(origin: &Origin, target: &str) -> Answer {
    send(origin, &format!("GET {target}"), &[], "").await
}

/// Adds a record and returns where it is.
pub(crate) async fn create(origin: &Origin, target: &str, body: &str) -> String {
    let answer = send(origin, &format!("POST {target}"), &[], body).await;
    assert_eq!(answer.status, StatusCode::CREATED.as_u16(), "{answer:?}");
    answer.header("location").to_owned()
}
