//! What the edge speaks.

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Edge, Origin, connect, empty, full, policy, text, whole, with_host};

async fn raw(edge: &Edge, request: &str) -> String {
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_answered_with_bodies_both_ways() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let stream = TokioIo::new(TcpStream::connect(edge.address).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://shop.example/echo").body(full("over two")).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(text(&whole(response).await), "over two");
    let request = Request::get("http://shop.example/address").body(empty()).unwrap();
    let address: Bytes = whole(client.send_request(request).await.unwrap()).await.into_body();
    assert_eq!(address, "127.0.0.1", "a second request of the same connection");
}

#[tokio::test]
async fn two_hosts_in_one_request_are_refused() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let answer = raw(&edge, "GET /page HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let mut client = connect(edge.address).await;
    for number in 1..=3 {
        let request = with_host(Request::get("/page").body(empty()).unwrap());
        let response = whole(client.send_request(request).await.unwrap()).await;
        assert_eq!(text(&response), format!("answer {number}"));
        client.ready().await.expect("the connection stays open");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_edge_lives_on() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let request = format!(
        "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n",
        "x".repeat(200 * 1024)
    );
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    // The edge may answer and close before everything is written.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(edge.get("/page").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn repeated_headers_stay_repeated_and_in_order() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let answer =
        raw(&edge, "GET /headers HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains(r#""x-a": "1", "x-a": "2""#), "{answer}");
}
