//! Connections that change to another protocol.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{Edge, policy};

pub(crate) const HANDSHAKE: &str = "GET /socket HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub(crate) const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A backend that takes one connection, answers its first head with `answer` and sends back what comes then.
///
/// The task returns the head.
pub(crate) async fn backend(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let head = read_head(&mut stream).await;
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        // The client may close before everything is back.
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        head
    });
    (address, task)
}

/// Sends `request` to an edge before `backend` and reads the head of the answer.
async fn ask(backend: SocketAddr, request: &str) -> (Edge, BufReader<TcpStream>, String) {
    let edge = Edge::start(policy(backend)).await;
    let mut stream = BufReader::new(TcpStream::connect(edge.address).await.unwrap());
    stream.get_mut().write_all(request.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    (edge, stream, head)
}

pub(crate) async fn read_head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "the head ends early: {head}");
    }
    head.to_ascii_lowercase()
}

fn has(head: &str, field: &str) -> bool {
    head.lines().any(|line| line == field)
}

#[tokio::test]
async fn a_web_socket_is_handed_through_with_its_handshake() {
    let (address, asked) = backend(ACCEPTED).await;
    let (_edge, mut stream, head) = ask(address, HANDSHAKE).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for field in
        ["connection: upgrade", "upgrade: websocket", "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="]
    {
        assert!(has(&head, field), "{field} is not in {head}");
    }
    for message in ["\u{1}hello", "GET / HTTP/1.1\r\n\r\n"] {
        stream.get_mut().write_all(message.as_bytes()).await.unwrap();
        let mut back = vec![0; message.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, message.as_bytes(), "bytes pass as they are, whatever they look like");
    }
    drop(stream);
    let asked = asked.await.unwrap();
    for field in ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"] {
        assert!(has(&asked, field), "{field} is not in {asked}");
    }
    assert!(asked.contains("sec-websocket-key: dghlihnhbxbszsbub25jzq=="), "{asked}");
}

#[tokio::test]
async fn a_backend_that_refuses_a_web_socket_answers_as_for_any_request() {
    let (address, _asked) = backend("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let (_edge, mut stream, head) = ask(address, HANDSHAKE).await;
    assert!(head.starts_with("http/1.1 403 ") && !head.contains("upgrade"), "{head}");
    let mut body = [0; 2];
    stream.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"no");
}

#[tokio::test]
async fn another_protocol_is_not_asked_for() {
    let (address, asked) = backend("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let request = HANDSHAKE.replace("websocket\r\n", "h2c\r\n");
    let (_edge, stream, head) = ask(address, &request).await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    drop(stream);
    let asked = asked.await.unwrap();
    assert!(!asked.contains("upgrade"), "{asked}");
}

#[tokio::test]
async fn a_backend_that_changes_the_protocol_unasked_is_a_bad_gateway() {
    let (address, _asked) = backend(ACCEPTED).await;
    let (_edge, _stream, head) = ask(address, "GET /socket HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 502 "), "{head}");
}
