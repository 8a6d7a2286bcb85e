//! Clients that are slow on purpose.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt as _;
use selvedge_emulator::{EmulatorConfig, PurgeToken};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::table::edge_before;
use super::wire::{PATIENCE, Recorder, Wire};
use crate::support::{Edge, Origin, connect, empty, policy, text, with_host};

/// Slow clients of one kind.
const CROWD: usize = 50;
/// Length of an answer that no buffers between the two ends hold.
const LONG_BYTES: usize = 20_000_000;
/// The wait before each byte of who drips.
const DRIP: Duration = Duration::from_millis(10);

/// Sends a byte at a time, without end, and returns what it is told until the connection is closed.
async fn drip(mut stream: TcpStream) -> String {
    let mut told = Vec::new();
    loop {
        tokio::select! {
            read = stream.read_buf(&mut told) => {
                if read.is_ok_and(|bytes| bytes > 0) {
                    continue;
                }
                return String::from_utf8_lossy(&told).into_owned();
            }
            () = tokio::time::sleep(DRIP) => {
                // Who cannot write reads the end next.
                let _ = stream.write_all(b"a").await;
            }
        }
    }
}

/// Asks on connections of their own as long as some of the slow clients are there, and returns what those were told.
async fn others_are_answered(edge: &Edge, mut slow: JoinSet<String>) -> Vec<String> {
    let (deadline, mut told) = (Instant::now() + PATIENCE, Vec::new());
    while !slow.is_empty() {
        let asked = Instant::now();
        assert_eq!(text(&edge.get("/other").await), "/other");
        assert!(asked.elapsed() < PATIENCE / 4, "nobody waits for the slow ones");
        assert!(Instant::now() < deadline, "{} slow clients are let go", slow.len());
        while let Some(end) = slow.try_join_next() {
            told.push(end.unwrap());
        }
    }
    told
}

#[tokio::test]
async fn a_head_that_drips_is_given_up_however_steadily_it_comes() {
    let backend = Recorder::start().await;
    let config =
        EmulatorConfig { header_read_timeout: Duration::from_millis(300), ..EmulatorConfig::default() };
    let edge = edge_before(backend.address, "", config).await;
    let mut slow = JoinSet::new();
    for number in 0..CROWD {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"GET /first HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
        }
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a.example\r\nA: ").await.unwrap();
        slow.spawn(drip(stream));
    }
    let told = others_are_answered(&edge, slow).await;
    let answered = told.iter().filter(|told| told.contains("/first")).count();
    assert_eq!(answered, CROWD / 2, "who has asked before is answered, and then given up");
    let seen = backend.take();
    assert!(!format!("{seen:?}").contains("/slow"), "the backend hears of whole requests only");
}

#[tokio::test]
async fn a_body_that_drips_ends_with_the_time_that_its_backend_has_and_is_not_its_failure() {
    let backend = Recorder::start().await;
    let keys = "timeout = \"400ms\"\nbreaker = { failures = 1 }";
    let edge = edge_before(backend.address, keys, EmulatorConfig::default()).await;
    let mut slow = JoinSet::new();
    for _ in 0..CROWD {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        let head = b"POST /slow HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        slow.spawn(drip(stream));
    }
    for told in others_are_answered(&edge, slow).await {
        assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    }
    let seen = backend.take();
    assert!(!format!("{seen:?}").contains("/slow"), "the backend hears of whole requests only");
}

#[tokio::test]
async fn who_goes_away_in_the_middle_of_a_request_has_sent_none() {
    let backend = Recorder::start().await;
    let edge = edge_before(backend.address, "", EmulatorConfig::default()).await;
    for sent in [
        "GET /slow HT",
        "GET /slow HTTP/1.1\r\nHost: a.example\r\n",
        "POST /slow HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhello",
        "POST /slow HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "POST /slow HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let mut client = Wire::connect(edge.address).await;
        client.send(sent.as_bytes()).await;
        drop(client);
        connections_are(edge.address, 1).await;
    }
    let seen = backend.take();
    assert!(!format!("{seen:?}").contains("/slow"), "{seen:?}");
    edge.stop().await.unwrap();
}

/// Waits until so many connections are open, that of the question among them.
async fn connections_are(edge: SocketAddr, count: usize) {
    let expected = format!("selvedge_connections {count}\n");
    let reached = async {
        loop {
            let mut client = Wire::connect(edge).await;
            client.send(b"GET /_selvedge/metrics HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
            if client.answer().await.unwrap().content.contains(&expected) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{count} connections are open"));
}

/// Asks for a long answer on a connection that takes little at once.
async fn ask_for_much(edge: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(edge).await.unwrap();
    stream.write_all(b"GET /static/zeros/20000000 HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_stops_nobody_and_is_let_go() {
    let origin = Origin::start().await;
    let config = EmulatorConfig { client_stall_timeout: Duration::from_secs(1), ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(origin.address), config).await;
    let mut stalled = Vec::new();
    for _ in 0..10 {
        stalled.push(ask_for_much(edge.address).await);
    }
    let request = with_host(Request::get("/static/zeros/20000000").body(empty()).unwrap());
    let whole = connect(edge.address).await.send_request(request).await.unwrap().into_body();
    assert_eq!(whole.collect().await.unwrap().to_bytes().len(), LONG_BYTES, "another client has it all");
    connections_are(edge.address, 1).await;
    for mut stream in stalled {
        let mut got = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await.unwrap();
        assert!(got.len() < LONG_BYTES, "it was broken off");
    }
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn who_takes_a_little_now_and_then_has_all_of_it_at_last() {
    let origin = Origin::start().await;
    let config = EmulatorConfig { client_stall_timeout: Duration::from_secs(2), ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(origin.address), config).await;
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    stream.write_all(b"GET /static/zeros/20000000 HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    let (mut got, began, mut part) = (0, Instant::now(), vec![0; 64 * 1024]);
    while got < LONG_BYTES {
        if began.elapsed() < Duration::from_secs(3) {
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut part)).await.unwrap().unwrap();
        assert!(read > 0, "it is whole, not broken off after {got} bytes");
        got += read;
    }
    assert!(began.elapsed() > Duration::from_secs(3), "it took longer than the edge waits for one byte");
    assert_eq!(origin.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_never_ends_a_content_for_the_edges_own_pages_is_let_go() {
    let backend = Recorder::start().await;
    let purge_token = PurgeToken::new("s3cret".to_owned());
    let config = EmulatorConfig { purge_token, ..EmulatorConfig::default() };
    let edge =
        edge_before(backend.address, "[schedules.nightly]\ncron = \"0 3 * * *\"\nbackend = \"main\"", config)
            .await;
    let mut slow = JoinSet::new();
    for page in ["purge", "faults/main", "jobs/schedule/nightly"] {
        let head = format!(
            "POST /_selvedge/{page} HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer s3cret\r\n\
             Content-Length: 100\r\n\r\n{{"
        );
        let mut client = Wire::connect(edge.address).await;
        client.send(head.as_bytes()).await;
        slow.spawn(async move { (page, client.rest().await) });
    }
    for (page, told) in slow.join_all().await {
        assert!(told.starts_with("HTTP/1.1 408 "), "{page}: {told}");
    }
    edge.stop().await.unwrap();
}
