//! Between the edge and its backends.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Edge, Fed, MAX_BODY_BYTES, Origin, connect, full, policy, text, whole, with_host};

#[tokio::test]
async fn each_chunk_passes_in_both_directions_before_the_next_one_is_sent() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let (feed, body) = Fed::channel();
    let request = with_host(Request::post("/echo").body(body).unwrap());
    let mut client = connect(edge.address).await;
    feed.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
    let mut response = client.send_request(request).await.unwrap().into_body();
    let mut feed = Some(feed);
    for expected in ["first", "second"] {
        let mut got = Vec::new();
        while got.len() < expected.len() {
            got.extend_from_slice(response.frame().await.unwrap().unwrap().data_ref().unwrap());
        }
        assert_eq!(got, expected.as_bytes(), "the echo comes while the request is still being sent");
        if let Some(feed) = feed.take() {
            feed.send(Ok(Bytes::from_static(b"second"))).await.unwrap();
        }
    }
    assert!(response.frame().await.is_none(), "the response ends with the request");
}

#[tokio::test]
async fn a_mebibyte_comes_back_byte_for_byte() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let content: Vec<u8> = (0..1024 * 1024_u32).map(|n| (n % 251) as u8).collect();
    let request = with_host(Request::post("/echo").body(full(content.clone())).unwrap());
    let response = whole(connect(edge.address).await.send_request(request).await.unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.body() == &content, "the content changed on its way");
}

#[tokio::test]
async fn requests_after_each_other_share_one_connection_to_the_backend() {
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    for number in 1..=5 {
        assert_eq!(text(&edge.get("/page").await), format!("answer {number}"));
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_backend_that_never_answers_is_a_timeout() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    assert_eq!(edge.get("/never").await.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_reason(&edge, "backend.timeout").await;
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_told_from_one_that_breaks() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let edge = Edge::start(policy(listener.local_addr().unwrap())).await;
    let hang_up = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
    });
    assert_eq!(edge.get("/page").await.status(), StatusCode::BAD_GATEWAY);
    assert_reason(&edge, "backend.protocol").await;
    hang_up.await.unwrap();
    assert_eq!(edge.get("/page").await.status(), StatusCode::BAD_GATEWAY);
    assert_reason(&edge, "backend.connect").await;
}

#[tokio::test]
async fn an_upload_is_stopped_once_it_is_longer_than_allowed() {
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    let chunk = Bytes::from(vec![0; 64 * 1024]);
    let (feed, body) = Fed::channel();
    let chunks = MAX_BODY_BYTES / chunk.len() as u64 + 16;
    let upload = tokio::spawn(async move {
        for _ in 0..chunks {
            feed.send(Ok(chunk.clone())).await.expect("what is over the limit is still taken off the wire");
        }
    });
    let mut client = connect(edge.address).await;
    // A path that answers only when told to, so that nothing but the limit can end the request.
    let request = with_host(Request::post("/gate").body(body).unwrap());
    let response = whole(client.send_request(request).await.unwrap()).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "the limit is {MAX_BODY_BYTES} bytes");
    upload.await.unwrap();
    assert_reason(&edge, "request.body-too-large").await;
}

#[tokio::test]
async fn a_client_whose_upload_nobody_reads_still_gets_its_answer_and_keeps_its_connection() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let mut client = connect(edge.address).await;
    for _ in 0..2 {
        let request = with_host(Request::post("/address").body(full(vec![0; 1024 * 1024])).unwrap());
        assert_eq!(text(&whole(client.send_request(request).await.unwrap()).await), "127.0.0.1");
        client.ready().await.unwrap();
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_looks_whole_to_the_backend() {
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwhat\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"what\r\n") {
        assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "the echo begins while the upload runs");
    }
    client.write_all(b"no chunk size\r\n").await.unwrap();
    let _ = client.read_to_end(&mut answer).await;
    assert!(!answer.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(text(&edge.get("/page").await), "answer 2", "the edge serves the next client");
}

#[tokio::test]
async fn an_https_backend_is_spoken_to_in_tls_only() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut policy = policy(listener.local_addr().unwrap());
    for backend in &mut policy.backends {
        backend.urls = vec![backend.urls[0].replace("http://", "https://")];
    }
    let edge = Edge::start(policy).await;
    let backend = tokio::spawn(async move {
        let mut hello = [0; 3];
        listener.accept().await.unwrap().0.read_exact(&mut hello).await.unwrap();
        hello
    });
    assert_eq!(edge.get("/page").await.status(), StatusCode::BAD_GATEWAY);
    // RFC 8446 section 5.1: a handshake record, whose legacy version is 3.1 at first.
    assert_eq!(backend.await.unwrap(), [22, 3, 1]);
    assert_reason(&edge, "backend.connect").await;
}

async fn assert_reason(edge: &Edge, code: &str) {
    let status = edge.get("/_selvedge/").await;
    let status: serde_json::Value = serde_json::from_slice(status.body()).unwrap();
    assert_eq!(status["requests"]["reason"][code], 1, "{status:#}");
}
