//! From start to stop, and a new policy in between.

use std::time::Duration;

use http::{Request, StatusCode};
use selvedge_core::policy::Policy;
use selvedge_emulator::EmulatorConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Edge, Origin, connect, empty, engine, info, policy, respond, text, whole, with_host};

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_edge_ends() {
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    let address = edge.address;
    let idle = connect(address).await;
    let mut client = connect(address).await;
    let request = with_host(Request::get("/gate").body(empty()).unwrap());
    let response = tokio::spawn(async move { whole(client.send_request(request).await.unwrap()).await });
    origin.arrived.notified().await;
    let stopped = edge.stop();
    origin.gate.notify_one();
    assert_eq!(text(&response.await.unwrap()), "through the gate");
    stopped.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    drop(idle);
}

#[tokio::test]
async fn a_request_that_takes_longer_than_the_grace_is_broken_off() {
    let origin = Origin::start().await;
    let config = EmulatorConfig { shutdown_grace: Duration::from_millis(10), ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(origin.address), config).await;
    let mut client = connect(edge.address).await;
    let request = with_host(Request::get("/gate").body(empty()).unwrap());
    let response = tokio::spawn(async move { client.send_request(request).await });
    origin.arrived.notified().await;
    edge.stop().await.unwrap();
    assert!(response.await.unwrap().is_err());
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_let_go_and_one_that_waits_for_its_answer_is_not() {
    let origin = Origin::start().await;
    let config =
        EmulatorConfig { header_read_timeout: Duration::from_millis(20), ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(origin.address), config).await;
    let mut waiting = connect(edge.address).await;
    let request = with_host(Request::get("/gate").body(empty()).unwrap());
    let response = tokio::spawn(async move { whole(waiting.send_request(request).await.unwrap()).await });
    origin.arrived.notified().await;
    let http2_preface_but_for_its_end = "PRI * HTTP/2.0\r\n\r\nSM\r\n";
    for beginning in ["", "GET / HT", http2_preface_but_for_its_end] {
        let mut silent = TcpStream::connect(edge.address).await.unwrap();
        silent.write_all(beginning.as_bytes()).await.unwrap();
        let end = tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "the edge closes the connection after {beginning:?}");
    }
    origin.gate.notify_one();
    assert_eq!(text(&response.await.unwrap()), "through the gate");
}

#[tokio::test]
async fn a_new_policy_answers_while_requests_keep_coming() {
    let one = |body| Policy { routes: vec![respond("/", body)], ..Policy::default() };
    let edge = Edge::start(one("a")).await;
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(ask_until(edge.address, "b"))).collect();
    let mut client = connect(edge.address).await;
    let request = with_host(Request::get("/").body(empty()).unwrap());
    assert_eq!(text(&whole(client.send_request(request).await.unwrap()).await), "a");
    edge.engine.replace(engine(one("b")), info("second"));
    for client in clients {
        let answers = client.await.unwrap();
        assert!(answers.iter().all(|answer| answer == "a" || answer == "b"), "{answers:?}");
        assert!(answers.is_sorted(), "the old policy never comes back");
    }
    let status = edge.get("/_selvedge/").await;
    assert_eq!(status.status(), StatusCode::OK);
    assert!(text(&status).contains("\"second\""), "the status names the new policy");
}

async fn ask_until(address: std::net::SocketAddr, last: &str) -> Vec<String> {
    let mut client = connect(address).await;
    let mut answers: Vec<String> = Vec::new();
    while answers.last().is_none_or(|answer| answer != last) {
        let request = with_host(Request::get("/").body(empty()).unwrap());
        answers.push(text(&whole(client.send_request(request).await.unwrap()).await).to_owned());
        client.ready().await.unwrap();
    }
    answers
}
