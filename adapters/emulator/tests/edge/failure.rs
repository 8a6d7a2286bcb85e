//! Backends that fail, over real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use selvedge_core::engine::Engine;
use selvedge_core::policy::read::read;
use selvedge_core::time::Timestamp;
use selvedge_emulator::{Clock, Emulator, EmulatorConfig, EngineHandle, ManualClock};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::misbehaving::{Manner, Server};
use crate::support::{Edge, Origin, connect, empty, info, text, with_host};

/// An edge before a backend `main` with these keys, and `spare` behind it where there is one.
async fn start(main: &str, keys: &str, spare: Option<SocketAddr>) -> Edge {
    let failover = if spare.is_some() { "failover = [\"spare\"]" } else { "" };
    let spare =
        spare.map(|spare| format!("[backends.spare]\nurl = \"http://{spare}\"\n")).unwrap_or_default();
    let policy = format!(
        "[limits]\ndeadline = \"5s\"\n[backends.main]\nurl = \"{main}\"\nconnect-timeout = \"200ms\"\n\
         {failover}\n{keys}\n{spare}[[routes]]\npath = \"/{{*rest}}\"\nbackend = \"main\"\n"
    );
    Edge::start(read(&policy).unwrap_or_else(|errors| panic!("{errors}"))).await
}

fn detail(response: &Response<Bytes>) -> &str {
    let status = response.headers()["cache-status"].to_str().unwrap();
    status.rsplit_once("detail=").map_or("", |(_, detail)| detail)
}

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn whatever_a_backend_does_before_its_head_the_next_one_answers() {
    let origin = Origin::start().await;
    let mut urls = vec![
        ("refused".to_owned(), format!("http://{}", nobody().await)),
        ("no such name".to_owned(), "http://no-such-name.invalid".to_owned()),
    ];
    for manner in [
        Manner::Unavailable,
        Manner::Closes,
        Manner::Silent,
        Manner::Garbage,
        Manner::HalfHead,
        Manner::TwoLengths,
    ] {
        urls.push((format!("{manner:?}"), format!("http://{}", Server::start(manner).await.address)));
    }
    for (what, url) in urls {
        let edge = start(
            &url,
            "timeout = \"300ms\"\nbreaker = { failures = 2, open = \"5m\" }",
            Some(origin.address),
        )
        .await;
        for _ in 0..5 {
            let began = Instant::now();
            let response = edge.get("/x").await;
            assert!(text(&response).starts_with("answer "), "{what}");
            assert!(began.elapsed() < Duration::from_secs(5), "{what}: within the deadline");
        }
        edge.stop().await.unwrap();
    }
    assert_eq!(origin.requests.load(Ordering::SeqCst), 8 * 5, "every request is answered once");
}

#[tokio::test]
async fn a_backend_that_never_agrees_on_tls_costs_no_more_than_the_time_to_connect() {
    let (main, spare) = (Server::start(Manner::Silent).await, Origin::start().await);
    let edge = start(&format!("https://{}", main.address), "timeout = \"1m\"", Some(spare.address)).await;
    let request = with_host(Request::post("/x").body(empty()).unwrap());
    let response = connect(edge.address).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "nothing was sent, so that the next one may have it");
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn no_answer_waits_for_work_that_is_done_after_others() {
    let server = Server::start(Manner::Well).await;
    let policy = format!(
        "[backends.main]\nurl = \"http://{}\"\ntimeout = \"1m\"\n[[routes]]\npath = \"/{{*rest}}\"\nbackend = \"main\"\n\
         cache = {{ edge = \"1s\", stale-while-revalidate = \"1h\" }}\n",
        server.address
    );
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let config = EmulatorConfig {
        clock: Clock::Manual(clock.clone()),
        background_tasks: 2,
        shutdown_grace: Duration::ZERO,
        ..EmulatorConfig::default()
    };
    let edge = Edge::start_with(read(&policy).unwrap_or_else(|errors| panic!("{errors}")), config).await;
    for (millis, manner) in [(0, Manner::Well), (10_000, Manner::Silent)] {
        clock.set(Timestamp::from_millis(millis));
        server.set(manner);
        for path in ["/a", "/b", "/c", "/d"] {
            let answered = tokio::time::timeout(Duration::from_secs(20), edge.get(path)).await;
            let response = answered.unwrap_or_else(|_| panic!("{path} is answered at once"));
            assert_eq!(text(&response), "main");
        }
    }
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_takes_a_truncated_body_for_a_whole_one() {
    let server = Server::start(Manner::Truncates).await;
    let edge = start(&format!("http://{}", server.address), "", None).await;
    let request = with_host(Request::get("/x").body(empty()).unwrap());
    let response = connect(edge.address).await.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "400");
    response.into_body().collect().await.expect_err("the body breaks off");
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_that_takes_too_long_breaks_off_is_not_stored_and_counts_as_a_failure() {
    let server = Server::start(Manner::Stalls).await;
    let keys = "total-timeout = \"300ms\"\nbreaker = { failures = 2, open = \"5m\" }";
    let edge = start(&format!("http://{}", server.address), keys, None).await;
    for _ in 0..2 {
        let began = Instant::now();
        let request = with_host(Request::get("/x").body(empty()).unwrap());
        let response = connect(edge.address).await.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()["cache-status"],
            "Selvedge;fwd=uri-miss;stored;detail=backend.responded"
        );
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "main", "what is there comes at once");
        body.collect().await.expect_err("the body breaks off");
        assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&began.elapsed()));
    }
    let refused = edge.get("/x").await;
    assert_eq!(
        (refused.status(), detail(&refused)),
        (StatusCode::SERVICE_UNAVAILABLE, "backend.circuit-open")
    );
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_backend_that_is_slow_is_overtaken_by_the_next_one() {
    let (main, spare) = (Server::start(Manner::Silent).await, Origin::start().await);
    let keys = "timeout = \"4s\"\nhedge = { min = \"50ms\" }";
    let edge = start(&format!("http://{}", main.address), keys, Some(spare.address)).await;
    for answered in 1..=3 {
        let began = Instant::now();
        let response = edge.get("/x").await;
        assert!(text(&response).starts_with("answer "), "the spare one's");
        let waited = began.elapsed();
        assert!((Duration::from_millis(50)..Duration::from_secs(3)).contains(&waited), "{waited:?}");
        assert_eq!(spare.requests.load(Ordering::SeqCst), answered, "it is asked once for each");
    }
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_backend_that_fails_its_checks_is_not_asked_until_it_passes_them() {
    let server = Server::start(Manner::Unavailable).await;
    let check = "check = { path = \"/health\", every = \"100ms\", unhealthy = 2, healthy = 2 }";
    let edge = start(&format!("http://{}", server.address), check, None).await;
    let until = async |expected: &str| loop {
        let response = edge.get("/x").await;
        if detail(&response) == expected {
            return response;
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(20), until("backend.unhealthy")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    server.set(Manner::Well);
    let answer = tokio::time::timeout(Duration::from_secs(20), until("backend.responded")).await.unwrap();
    assert_eq!(text(&answer), "main");
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_for_which_there_is_no_room_is_refused_at_once() {
    let origin = Origin::start().await;
    let main = format!("http://{}", origin.address);
    let edge = start(&main, "max-concurrent = 1\ntimeout = \"20s\"", None).await;
    let second = async {
        origin.arrived.notified().await;
        let refused = edge.get("/x").await;
        origin.gate.notify_one();
        refused
    };
    let (first, second) = tokio::join!(edge.get("/gate"), second);
    assert_eq!(text(&first), "through the gate");
    assert_eq!((second.status(), detail(&second)), (StatusCode::SERVICE_UNAVAILABLE, "backend.busy"));
    assert_eq!(second.headers()["retry-after"], "1");
    assert!(text(&edge.get("/x").await).starts_with("answer "), "the room is there again");
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn who_goes_away_leaves_its_room_to_others() {
    let origin = Origin::start().await;
    let main = format!("http://{}", origin.address);
    let edge = start(&main, "max-concurrent = 1\ntimeout = \"20s\"", None).await;
    let mut connection = connect(edge.address).await;
    let request = with_host(Request::get("/gate").body(empty()).unwrap());
    let waiting = tokio::spawn(async move { connection.send_request(request).await });
    origin.arrived.notified().await;
    waiting.abort();
    let answered = async { while edge.get("/x").await.status() != StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("the room is there again");
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_handler_that_never_returns_is_given_up_at_the_deadline() {
    let policy = "[limits]\ndeadline = \"200ms\"\n[[routes]]\npath = \"/{*rest}\"\nhandler = \"stuck\"\n";
    let policy = read(policy).unwrap_or_else(|errors| panic!("{errors}"));
    let engine = Engine::builder(policy).handler("stuck", |_| std::future::pending()).compile().unwrap();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = EmulatorConfig { listen, threads: Some(1), ..EmulatorConfig::default() };
    let emulator = Emulator::bind(config, EngineHandle::new(Arc::new(engine), info("first"))).unwrap();
    let (address, (stop, stopped)) = (emulator.local_addr(), oneshot::channel::<()>());
    let running = tokio::spawn(emulator.run(async move { drop(stopped.await) }));
    let request = with_host(Request::get("/x").body(empty()).unwrap());
    let response = connect(address).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response.headers()["cache-status"].to_str().unwrap().ends_with("handler.failed"));
    drop(stop);
    running.await.unwrap().unwrap();
}
