//! The store.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Edge, Origin, connect, empty, policy, text, with_host};

#[tokio::test]
async fn a_response_is_stored_while_it_streams_and_answers_the_next_request() {
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    for (path, expected) in [("/static/whole", "answer 1"), ("/static/chunked", "one answer 2")] {
        let (first, second) = (edge.get(path).await, edge.get(path).await);
        assert_eq!((text(&first), text(&second)), (expected, expected), "{path}");
        let status = second.headers()["cache-status"].to_str().unwrap();
        assert!(status.contains("hit"), "{path}: {status}");
        assert_eq!(
            second.headers()["content-length"],
            expected.len().to_string(),
            "a stored body has a length"
        );
    }
    assert_eq!(origin.requests.load(Ordering::SeqCst), 2, "the backend was asked once for each");
}

#[tokio::test]
async fn a_broken_body_breaks_off_at_the_client_and_is_never_stored() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ];
    for head in heads {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let edge = Edge::start(policy(listener.local_addr().unwrap())).await;
        let backend = tokio::spawn(answer_raw(listener, head, 3));
        for path in ["/page", "/static/file", "/static/file"] {
            let request = with_host(Request::get(path).body(empty()).unwrap());
            let response = connect(edge.address).await.send_request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "the head was good");
            assert!(response.into_body().collect().await.is_err(), "{path}: {head:?} is truncated");
        }
        backend.await.expect("the backend is asked each time");
    }
}

/// Answers `times` connections with the same bytes, each closed at once.
async fn answer_raw(listener: TcpListener, answer: &'static str, times: usize) {
    for _ in 0..times {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_head_request_never_fills_the_store_with_an_empty_body() {
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    let request = with_host(Request::head("/static/b").body(empty()).unwrap());
    connect(edge.address).await.send_request(request).await.unwrap();
    let body = text(&edge.get("/static/b").await).to_owned();
    assert!(body.starts_with("answer "), "{body:?}");
}

#[tokio::test]
async fn a_body_over_the_bound_streams_through_without_being_stored() {
    let long = 8 * 1024 * 1024 + 1;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {long}\r\n\r\n{}", "x".repeat(long));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let edge = Edge::start(policy(listener.local_addr().unwrap())).await;
    let backend = tokio::spawn(answer_raw(listener, answer.leak(), 2));
    for _ in 0..2 {
        assert_eq!(edge.get("/static/long").await.body().len(), long);
    }
    backend.await.expect("the backend is asked both times");
}

#[tokio::test]
async fn a_stale_response_is_renewed_after_it_was_sent() {
    let mut policy = policy(Origin::start().await.address);
    for route in &mut policy.routes {
        route.cache.edge = Some(Duration::ZERO);
        route.cache.stale_while_revalidate = Some(Duration::from_secs(3600));
    }
    let edge = Edge::start(policy).await;
    assert_eq!(text(&edge.get("/static/a").await), "answer 1");
    assert_eq!(text(&edge.get("/static/a").await), "answer 1", "stale, while the backend is asked");
    let renewed = async { while text(&edge.get("/static/a").await) == "answer 1" {} };
    tokio::time::timeout(Duration::from_secs(10), renewed).await.expect("the store gets the new response");
}

/// Waits until so many requests are on their way through the edge, the question itself included.
async fn until_in_flight(edge: &Edge, count: u64) {
    for _ in 0..10_000 {
        let status = edge.get("/_selvedge/").await;
        let status: serde_json::Value = serde_json::from_str(text(&status)).unwrap();
        if status["in_flight"].as_u64() == Some(count) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("there were never {count} requests in flight");
}

#[tokio::test]
async fn requests_for_the_same_thing_wait_for_one_answer() {
    const CLIENTS: usize = 20;
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    let clients = futures_util::future::join_all((0..CLIENTS).map(|_| edge.get("/static/gate")));
    let answered = async {
        until_in_flight(&edge, CLIENTS as u64 + 1).await;
        origin.gate.notify_one();
    };
    let (responses, ()) = tokio::join!(clients, answered);
    assert_eq!(origin.requests.load(Ordering::SeqCst), 1, "one asks for all");
    let statuses: Vec<_> = responses.iter().map(|r| r.headers()["cache-status"].to_str().unwrap()).collect();
    assert!(responses.iter().all(|response| text(response) == "through the gate"));
    assert_eq!(statuses.iter().filter(|status| status.contains("stored")).count(), 1, "{statuses:?}");
    assert_eq!(
        statuses.iter().filter(|status| status.contains("collapsed")).count(),
        CLIENTS - 1,
        "{statuses:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_stored_lets_those_who_wait_go_at_once() {
    const CLIENTS: usize = 5;
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    let mut clients =
        pin!(futures_util::future::join_all((0..CLIENTS).map(|_| edge.get("/static/private-gate"))));
    let waiting = async {
        origin.arrived.notified().await;
        until_in_flight(&edge, CLIENTS as u64 + 1).await;
    };
    tokio::select! {
        _ = &mut clients => panic!("the gate is closed"),
        () = waiting => assert_eq!(origin.requests.load(Ordering::SeqCst), 1, "the others wait"),
    }
    let opening = async {
        loop {
            origin.gate.notify_one();
            tokio::task::yield_now().await;
        }
    };
    let responses = tokio::select! {
        responses = clients => responses,
        () = opening => unreachable!("the gate is opened for ever"),
    };
    let mut texts: Vec<_> = responses.iter().map(text).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), CLIENTS, "each has an answer of its own");
}
