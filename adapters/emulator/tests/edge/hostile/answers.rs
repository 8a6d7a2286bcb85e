//! Backends whose answers are malformed or ambiguous.

use std::net::{Ipv4Addr, SocketAddr};

use selvedge_emulator::EmulatorConfig;
use tokio::net::TcpListener;

use super::table::edge_before;
use super::wire::Wire;

/// How often one client asks: what a backend sends too much must never answer a later request.
const TIMES: usize = 5;

/// What the client gets.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// An error of the edge, and nothing of what the backend sent.
    Fails(u16),
    /// This status and this content, with one length that fits or in chunks.
    Passes(u16, &'static str),
}

use Expected::{Fails, Passes};

/// A backend that gives every request the same bytes, and keeps the connection.
async fn backend(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut wire = Wire::new(stream);
                while wire.head().await {
                    wire.send(&answer).await;
                }
            });
        }
    });
    address
}

/// Asks again and again on one connection.
async fn check(clause: &str, answer: &[u8], expected: Expected) {
    let what = format!("{clause}: {}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
    let backend = backend(answer.to_vec()).await;
    let edge = edge_before(backend, "timeout = \"500ms\"", EmulatorConfig::default()).await;
    let mut client = Wire::connect(edge.address).await;
    for _ in 0..TIMES {
        client.send(b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let got = client.answer().await.unwrap_or_else(|| panic!("{what}: there is an answer"));
        let said = format!("{got:?}");
        assert!(!said.contains("poison"), "{what}: {said}");
        match expected {
            Fails(status) => {
                assert_eq!(got.status(), status, "{what}: {said}");
                assert!(!said.contains("main"), "{what}: {said}");
            }
            Passes(status, content) => {
                assert_eq!((got.status(), got.content.as_str()), (status, content), "{what}: {said}");
            }
        }
    }
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_with_two_ends_is_none() {
    const RULE_5: &str = "RFC 9112 6.3 rule 5";
    const RULE_3: &str = "RFC 9112 6.3 rule 3: it ought to be handled as an error";
    const UNASKED: &str = "RFC 9112 7.4: no other coding was asked for";
    let chunks = "4\r\nmain\r\n0\r\n\r\n";
    let rows = [
        (RULE_5, "Content-Length: 4\r\nContent-Length: 5\r\n\r\nmain!", Fails(502)),
        (RULE_5, "Content-Length: 4, 5\r\n\r\nmain!", Fails(502)),
        (RULE_5, "Content-Length: +4\r\n\r\nmain", Fails(502)),
        (RULE_5, "Content-Length: 4\r\nContent-Length: 4\r\n\r\nmain", Passes(200, "main")),
        (RULE_5, "Content-Length: 4, 4\r\n\r\nmain", Passes(200, "main")),
        (
            "RFC 9112 6.3 rule 6",
            "Content-Length: 4\r\n\r\nmainHTTP/1.1 200 OK\r\n\r\npoison",
            Passes(200, "main"),
        ),
        ("RFC 9112 7.1", &format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"), Passes(200, "main")),
        (
            "RFC 9112 7.1.2: trailers may be dropped",
            "Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n4\r\nmain\r\n0\r\nA: poison\r\n\r\n",
            Passes(200, "main"),
        ),
        (RULE_3, &format!("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"), Fails(502)),
        (RULE_3, &format!("Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n{chunks}"), Fails(502)),
        (UNASKED, &format!("Transfer-Encoding: gzip, chunked\r\n\r\n{chunks}"), Fails(502)),
        (UNASKED, &format!("Transfer-Encoding: chunked, chunked\r\n\r\n{chunks}"), Fails(502)),
        (UNASKED, &format!("Transfer-Encoding: chunked, identity\r\n\r\n{chunks}"), Fails(502)),
    ];
    for (clause, rest, expected) in rows {
        check(clause, format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes(), expected).await;
    }
    let old = format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    check("RFC 9112 6.1: HTTP/1.0 has no codings", old.as_bytes(), Fails(502)).await;
    let without = b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison";
    check("RFC 9112 6.3 rule 1: 204 has no content", without, Passes(204, "")).await;
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_none() {
    const LINE: &str = "RFC 9112 4";
    const VALUE: &str = "RFC 9110 5.5";
    let end = "Content-Length: 4\r\n\r\nmain";
    let many: String = (0..5_000).map(|number| format!("A{number}: b\r\n")).collect();
    let rows = [
        (LINE, "main\r\n\r\n".to_owned(), Fails(502)),
        (LINE, "\x16\x03\x01\x02main\r\n\r\n".to_owned(), Fails(502)),
        (LINE, format!("HTTP/3.0 200 OK\r\n{end}"), Fails(502)),
        (LINE, format!("HTTP/1.1 abc OK\r\n{end}"), Fails(502)),
        (LINE, format!("HTTP/1.1 99 OK\r\n{end}"), Fails(502)),
        (LINE, format!("HTTP/1.1 2000 OK\r\n{end}"), Fails(502)),
        ("RFC 9112 5.2", format!("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n{end}"), Fails(502)),
        ("RFC 9112 5.1", format!("HTTP/1.1 200 OK\r\nA : b\r\n{end}"), Fails(502)),
        (VALUE, format!("HTTP/1.1 200 OK\r\nA: b\0\r\n{end}"), Fails(502)),
        (VALUE, format!("HTTP/1.1 200 OK\r\nA: b\rc\r\n{end}"), Fails(502)),
        ("more fields than the edge takes", format!("HTTP/1.1 200 OK\r\n{many}{end}"), Fails(502)),
        (
            "a field longer than the edge takes",
            format!("HTTP/1.1 200 OK\r\nA: {}\r\n{end}", "b".repeat(1_000_000)),
            Fails(502),
        ),
        (
            "RFC 9110 15.2.2: nobody asked for it",
            "HTTP/1.1 101 Switching Protocols\r\n\r\nmain".to_owned(),
            Fails(502),
        ),
        ("RFC 9110 15.2", "HTTP/1.1 100 Continue\r\n\r\n".repeat(2_000), Fails(504)),
        (
            "RFC 9110 15.2",
            format!("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n{end}"),
            Passes(200, "main"),
        ),
        (
            "RFC 9112 2.2: a line may end with LF alone",
            "HTTP/1.1 200 OK\nContent-Length: 4\n\nmain".to_owned(),
            Passes(200, "main"),
        ),
    ];
    for (clause, answer, expected) in rows {
        check(clause, answer.as_bytes(), expected).await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_after_its_head_is_broken_off() {
    for body in [
        "5\r\nmain\r\n0\r\n\r\n",
        "+4\r\nmain\r\n0\r\n\r\n",
        "4\r\nmain\r\n",
        "4\r\nmain\r\nfffffffffffffffff\r\n",
    ] {
        let answer =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let backend = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut wire = Wire::new(stream);
                if wire.head().await {
                    wire.send(answer.as_bytes()).await;
                }
            }
        });
        let edge = edge_before(backend, "", EmulatorConfig::default()).await;
        let mut client = Wire::connect(edge.address).await;
        client.send(b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let got = client.rest().await;
        // Nothing at all comes when the break is seen before the head has left.
        let is_refused = got.is_empty() || got.starts_with("HTTP/1.1 502 ");
        let is_broken_off = got.starts_with("HTTP/1.1 200 ") && !got.contains("\r\n0\r\n");
        assert!(is_refused || is_broken_off, "RFC 9112 8: {body:?} is never whole: {got:?}");
        edge.stop().await.unwrap();
    }
}
