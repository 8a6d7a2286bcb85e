//! HTTP/2 frame by frame: what RFC 9113 calls malformed never becomes a request to a backend, and who gives no window is let go.

use std::net::SocketAddr;
use std::time::Duration;

use selvedge_emulator::EmulatorConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::table::edge_before;
use super::wire::{PATIENCE, Recorder};
use crate::support::{Edge, Origin, policy};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames ([RFC 9113 section 6](https://www.rfc-editor.org/rfc/rfc9113#section-6)).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

const INITIAL_WINDOW_SIZE: u16 = 4;

/// `:status` as a response begins with it ([RFC 7541 appendix A](https://www.rfc-editor.org/rfc/rfc7541#appendix-A)).
const STATUS_200: u8 = 0x88;

/// A connection of a client that checks nothing.
struct Client {
    stream: TcpStream,
}

#[derive(Debug)]
struct Received {
    kind: u8,
    flags: u8,
    payload: Vec<u8>,
}

impl Client {
    async fn connect(edge: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut stream = TcpStream::connect(edge).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(PREFACE).await.unwrap();
        let mut client = Self { stream };
        let settings = settings.iter().flat_map(|(name, value)| {
            [name.to_be_bytes().as_slice(), value.to_be_bytes().as_slice()].concat()
        });
        client.send(SETTINGS, 0, 0, &settings.collect::<Vec<_>>()).await;
        client
    }

    /// Sends a frame, if the other end still takes it.
    async fn send(&mut self, kind: u8, flags: u8, on: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &on.to_be_bytes()].concat();
        let _ = self.stream.write_all(&[&head, payload].concat()).await;
    }

    /// Sends a request on the first stream.
    async fn ask(&mut self, fields: &[(&str, &str)], content: Option<&[u8]>) {
        let flags = END_HEADERS | if content.is_none() { END_STREAM } else { 0 };
        self.send(HEADERS, flags, 1, &block(fields)).await;
        if let Some(content) = content {
            self.send(DATA, END_STREAM, 1, content).await;
        }
    }

    /// Reads a frame and answers what asks for an answer; `None` at the end of the connection.
    async fn receive(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut head))
            .await
            .expect("the edge says something")
            .ok()?;
        let [first, second, third, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, first, second, third]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        match (kind, flags & ACK) {
            (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, &[]).await,
            (PING, 0) => self.send(PING, ACK, 0, &payload).await,
            _ => {}
        }
        Some(Received { kind, flags, payload })
    }

    /// Reads up to the end of the first stream, and returns the first byte of its response's head; `None` when it is reset, or the
    /// connection given up, before.
    async fn response(&mut self) -> Option<u8> {
        loop {
            let Received { kind, payload, .. } = self.receive().await?;
            match kind {
                HEADERS => return payload.first().copied(),
                RST_STREAM | GOAWAY => return None,
                _ => {}
            }
        }
    }
}

/// A block of header fields, none of them indexed or compressed
/// ([RFC 7541 section 6.2.2](https://www.rfc-editor.org/rfc/rfc7541#section-6.2.2)).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap();
        [&[length], text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A request's fields with others after them.
fn get<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let first = [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/x")];
    [&first, more].concat()
}

/// The same with another value of one of its fields.
fn with<'a>(name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let change = |(own, old): (&'a str, &'a str)| (own, if own == name { value } else { old });
    get(&[]).into_iter().map(change).collect()
}

#[tokio::test]
async fn what_is_malformed_never_reaches_a_backend() {
    struct Row {
        clause: &'static str,
        fields: Vec<(&'static str, &'static str)>,
        content: Option<&'static [u8]>,
    }
    let row = |clause, fields| Row { clause, fields, content: None };
    let rows = [
        row("8.2.2: connection-specific", get(&[("transfer-encoding", "chunked")])),
        row("8.2.2: connection-specific", get(&[("connection", "close")])),
        row("8.2.2: connection-specific", get(&[("keep-alive", "timeout=5")])),
        row("8.2.2: connection-specific", get(&[("proxy-connection", "close")])),
        row("8.2.2: connection-specific", get(&[("upgrade", "h2c")])),
        row("8.2.2: `te` says `trailers` or nothing", get(&[("te", "gzip")])),
        row("8.2: names are in lower case", get(&[("X-Up", "1")])),
        row("8.2.1: names", get(&[("x smuggled", "1")])),
        row("8.2.1: names", get(&[("x:y", "1")])),
        row("8.2.1: names", get(&[("x\r\ny", "1")])),
        row("8.2.1: values", get(&[("x", "1\r\nhost: b.example")])),
        row("8.2.1: values", get(&[("x", "1\ny: 2")])),
        row("8.2.1: values", get(&[("x", "1\0")])),
        row("8.3: no pseudo-field after a field", [get(&[("x", "1")]), vec![(":path", "/y")]].concat()),
        row("8.3.1: exactly one", [vec![(":path", "/y")], get(&[])].concat()),
        row("8.3.1: exactly one", get(&[])[..3].to_vec()),
        row("8.3: unknown", [vec![(":status", "200")], get(&[])].concat()),
        row("8.3.1: a path is no more than one", with(":path", "/x HTTP/1.1\r\nhost: b.example\r\n\r\n")),
        row("8.3.1: a path is no more than one", with(":path", "/x HTTP/1.1")),
        row("8.3.1: a path is not empty", with(":path", "")),
        row("8.3.1: a method is a token", with(":method", "GET /y HTTP/1.1\r\nhost: b.example\r\n\r\nGET")),
        row("8.3.1: an authority has no more than host and port", with(":authority", "a.example\r\nx: 1")),
        row("8.3.1: an authority has no user", with(":authority", "user@a.example")),
        row("8.3.1: `host` is that of `:authority`", get(&[("host", "b.example")])),
        Row {
            clause: "8.1.1: a length that is not that of the content",
            fields: get(&[("content-length", "9")]),
            content: Some(b"hello"),
        },
        Row {
            clause: "8.1.1: a length that is not that of the content",
            fields: get(&[("content-length", "2")]),
            content: Some(b"hello"),
        },
        Row {
            clause: "8.1.1: lengths that differ",
            fields: get(&[("content-length", "5"), ("content-length", "6")]),
            content: Some(b"hello"),
        },
    ];
    let backend = Recorder::start().await;
    let edge = edge_before(backend.address, "", EmulatorConfig::default()).await;
    for Row { clause, fields, content } in rows {
        let mut client = Client::connect(edge.address, &[]).await;
        client.ask(&fields, content).await;
        let status = client.response().await;
        assert_ne!(status, Some(STATUS_200), "{clause}: {fields:?} is answered");
        assert_eq!(backend.take(), [], "{clause}: {fields:?} reaches the backend");
    }
    for (fields, content) in [
        (get(&[("te", "trailers")]), None),
        (get(&[("host", "a.example")]), None),
        (get(&[("content-length", "5")]), Some(b"hello".as_slice())),
    ] {
        let mut client = Client::connect(edge.address, &[]).await;
        client.ask(&fields, content).await;
        assert_eq!(client.response().await, Some(STATUS_200), "{fields:?} is a request");
        assert_eq!(backend.take().len(), 1, "{fields:?}");
    }
}

#[tokio::test]
async fn who_gives_an_answer_no_window_is_let_go_though_it_answers_pings() {
    let origin = Origin::start().await;
    let config = EmulatorConfig { client_stall_timeout: Duration::from_secs(1), ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(origin.address), config).await;
    let mut client = Client::connect(edge.address, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let long = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", "/static/zeros/20000000"),
    ];
    client.ask(&long, None).await;
    assert_eq!(client.response().await, Some(STATUS_200));
    client.send(PING, 0, 0, b"is alive").await;
    let mut has_pong = false;
    while let Some(Received { kind, flags, .. }) = client.receive().await {
        assert_ne!(kind, DATA, "there is no window for it");
        has_pong |= kind == PING && flags & ACK != 0;
    }
    assert!(has_pong, "the connection was alive until it was closed");
    edge.stop().await.unwrap();
}
