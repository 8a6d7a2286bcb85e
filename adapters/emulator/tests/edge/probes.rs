//! What the bodies of responses do to their backend's circuit, over real sockets.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use selvedge_core::policy::read::read;
use selvedge_core::time::Timestamp;
use selvedge_emulator::{Clock, EmulatorConfig, ManualClock};

use crate::misbehaving::{Manner, Server};
use crate::support::{Edge, connect, empty, with_host};

/// An edge before one server, and the clock that its circuit goes by.
struct Tried {
    edge: Edge,
    server: Server,
    clock: ManualClock,
}

impl Tried {
    /// `keys` are the backend's.
    async fn start(manner: Manner, keys: &str) -> Self {
        let server = Server::start(manner).await;
        let policy = format!(
            "[backends.main]\nurl = \"http://{}\"\n{keys}\n[[routes]]\npath = \"/{{*rest}}\"\nbackend = \"main\"\n\
             [[routes]]\npath = \"/plain/{{*rest}}\"\nbackend = \"main\"\ncache = {{ store = false }}\n",
            server.address
        );
        let clock = ManualClock::new(Timestamp::from_millis(0));
        let config = EmulatorConfig { clock: Clock::Manual(clock.clone()), ..EmulatorConfig::default() };
        let policy = read(&policy).unwrap_or_else(|errors| panic!("{errors}"));
        Self { edge: Edge::start_with(policy, config).await, server, clock }
    }

    fn set_seconds(&self, seconds: u64) {
        self.clock.set(Timestamp::from_millis(seconds * 1000));
    }

    async fn head(&self, path: &str) -> Response<Incoming> {
        let request = with_host(Request::get(path).body(empty()).unwrap());
        connect(self.edge.address).await.send_request(request).await.unwrap()
    }

    /// Whether the body of an answer came whole; `None` when the backend was not asked.
    async fn is_whole(&self, path: &str) -> Option<bool> {
        let response = self.head(path).await;
        let is_asked = response.status() == StatusCode::OK;
        let whole = tokio::time::timeout(Duration::from_secs(20), response.into_body().collect()).await;
        is_asked.then_some(whole.expect("it ends").is_ok())
    }
}

const BREAKER: &str = "breaker = { failures = 2, open = \"10s\" }";

#[tokio::test]
async fn bodies_that_the_backend_breaks_off_open_its_circuit() {
    for manner in [Manner::Truncates, Manner::LacksLastChunk, Manner::BadChunk] {
        for path in ["/stored", "/plain/x"] {
            let tried = Tried::start(manner, BREAKER).await;
            let answers =
                [tried.is_whole(path).await, tried.is_whole(path).await, tried.is_whole(path).await];
            assert_eq!(answers, [Some(false), Some(false), None], "{manner:?} {path}");
            tried.edge.stop().await.unwrap();
        }
    }
}

#[tokio::test]
async fn clients_that_go_away_open_no_circuit() {
    let tried = Tried::start(Manner::Stalls, BREAKER).await;
    for path in ["/stored", "/plain/x"] {
        for _ in 0..3 {
            let mut body = tried.head(path).await.into_body();
            assert!(body.frame().await.is_some(), "it has begun");
        }
    }
    tried.server.set(Manner::Well);
    for _ in 0..3 {
        assert_eq!(tried.is_whole("/plain/x").await, Some(true));
    }
    tried.edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_probe_whose_body_breaks_off_or_drips_leaves_the_circuit_open_and_one_that_is_whole_closes_it() {
    let keys = "total-timeout = \"300ms\"\nbreaker = { failures = 2, open = \"10s\" }";
    let tried = Tried::start(Manner::Truncates, keys).await;
    for _ in 0..2 {
        assert_eq!(tried.is_whole("/plain/x").await, Some(false));
    }
    let mut seconds = 0;
    for (manner, open) in [(Manner::BadChunk, 10), (Manner::Stalls, 20), (Manner::Truncates, 40)] {
        tried.server.set(manner);
        seconds += open;
        tried.set_seconds(seconds);
        assert_eq!(tried.is_whole("/plain/x").await, Some(false), "{manner:?}: it is tried");
        assert_eq!(tried.is_whole("/plain/x").await, None, "{manner:?}: it is open again");
    }
    tried.server.set(Manner::Well);
    tried.set_seconds(seconds + 40);
    for _ in 0..5 {
        assert_eq!(tried.is_whole("/plain/x").await, Some(true), "it is closed");
    }
    tried.edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_probe_keeps_others_out_until_its_client_goes_away_or_it_has_had_its_time() {
    let tried = Tried::start(Manner::Truncates, BREAKER).await;
    for _ in 0..2 {
        assert_eq!(tried.is_whole("/plain/x").await, Some(false));
    }
    tried.server.set(Manner::Stalls);
    tried.set_seconds(10);
    let mut first = tried.head("/plain/x").await.into_body();
    let begun: Bytes = first.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(begun, "main");
    assert_eq!(tried.is_whole("/plain/x").await, None, "one tries it");
    tried.set_seconds(20);
    let second = tried.head("/plain/x").await;
    assert_eq!(second.status(), StatusCode::OK, "the first one has had its time");
    assert_eq!(tried.is_whole("/plain/x").await, None, "the second one tries it");
    tried.server.set(Manner::Well);
    drop(second);
    let answered = async { while tried.is_whole("/plain/x").await.is_none() {} };
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("the room is there again");
    assert_eq!(tried.is_whole("/plain/x").await, Some(true));
    drop(first);
    tried.edge.stop().await.unwrap();
}
