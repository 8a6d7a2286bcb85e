//! Heads of requests that are malformed, ambiguous or too large.

use selvedge_emulator::EmulatorConfig;

use super::table::Expected::{Declined, Passes, Refused};
use super::table::{Pair, edge_before, row};
use super::wire::{Recorder, Wire};

/// How many requests come at once in the test of pipelining.
const PIPELINED: usize = 60;

#[tokio::test]
async fn lines_and_fields_are_read_in_one_way_and_written_anew() {
    const FOLD: &str = "RFC 9112 5.2: a folded line is refused";
    const COLON: &str = "RFC 9112 5.1: nothing stands between name and colon";
    const VALUE: &str = "RFC 9110 5.5: CR, LF and NUL are no part of a value";
    const LF: &str = "RFC 9112 2.2: a line may end with LF alone";
    const START: &str = "RFC 9112 2.2: nothing stands before the first field";
    let passes = Passes("GET /x HTTP/1.1", "");
    let rows = [
        row(FOLD, "GET /x HTTP/1.1\r\nHost: a.example\r\nA: b\r\n c\r\n\r\n", Refused(400)),
        row(FOLD, "GET /x HTTP/1.1\r\nHost: a.example\r\nA: b\r\n\tContent-Length: 5\r\n\r\n", Refused(400)),
        row(START, "GET /x HTTP/1.1\r\n Host: a.example\r\nHost: a.example\r\n\r\n", Refused(400)),
        row(COLON, "GET /x HTTP/1.1\r\nHost : a.example\r\n\r\n", Refused(400)),
        row(COLON, "GET /x HTTP/1.1\r\nHost: a.example\r\nContent-Length\t: 5\r\n\r\n", Refused(400)),
        row("RFC 9110 5.1", "GET /x HTTP/1.1\r\nHost: a.example\r\n: b\r\n\r\n", Refused(400)),
        row("RFC 9110 5.1", "GET /x HTTP/1.1\r\nHost: a.example\r\nno field\r\n\r\n", Refused(400)),
        row("RFC 9110 5.1", "GET /x HTTP/1.1\r\nHost: a.example\r\nA\0: b\r\n\r\n", Refused(400)),
        row(VALUE, "GET /x HTTP/1.1\r\nHost: a.example\r\nA: b\rc\r\n\r\n", Refused(400)),
        row(VALUE, "GET /x HTTP/1.1\r\nHost: a.example\r\nA: b\0c\r\n\r\n", Refused(400)),
        row(VALUE, "GET /x HTTP/1.1\r\nHost: a.example\r\nA: b\x7fc\r\n\r\n", Refused(400)),
        row("RFC 9112 2.2: a bare CR ends no line", "GET /x HTTP/1.1\rHost: a.example\r\n\r\n", Refused(400)),
        row(LF, "GET /x HTTP/1.1\nHost: a.example\n\n", passes),
        row(LF, "GET /x HTTP/1.1\r\nHost: a.example\nA: b\n\r\n", passes),
        row(
            "RFC 9112 2.2: an empty line may come first",
            "\r\nGET /x HTTP/1.1\r\nHost: a.example\r\n\r\n",
            passes,
        ),
    ];
    Pair::start().await.check(&rows).await;
}

#[tokio::test]
async fn a_request_line_has_three_parts_and_a_host_that_is_said_once() {
    const LINE: &str = "RFC 9112 3";
    const VERSION: &str = "RFC 9112 2.3";
    const HOST: &str = "RFC 9112 3.2";
    const FORM: &str = "RFC 9112 3.2.2: the target's authority wins over Host";
    const TARGET: &str = "RFC 3986 2";
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let rows = [
        row(LINE, "GET  /x HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
        row(LINE, "GET /x  HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
        row(LINE, "GET\t/x HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
        row(LINE, "GET /x y HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
        row(LINE, "GET /x\r\n\r\n", Refused(400)),
        row(LINE, "G(T /x HTTP/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
        row(LINE, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\r\n\r\n".as_slice(), Refused(400)),
        row(VERSION, "GET /x HTTP/1.2\r\nHost: a.example\r\n\r\n", Refused(400)),
        row(VERSION, "GET /x HTTP/2.0\r\nHost: a.example\r\n\r\n", Refused(400)),
        row(VERSION, "GET /x http/1.1\r\nHost: a.example\r\n\r\n", Refused(400)),
        row(TARGET, get("/x\x01"), Refused(400)),
        row(TARGET, get("/x\x7f"), Refused(400)),
        row(TARGET, get("/x\0"), Refused(400)),
        row(TARGET, b"GET /\xff HTTP/1.1\r\nHost: a.example\r\n\r\n".as_slice(), Refused(400)),
        row(TARGET, get("/x%00"), Declined(400)),
        row(TARGET, get("/x%0d%0aHost:%20b"), Declined(400)),
        row(TARGET, get("/x%zz"), Declined(400)),
        row(HOST, "GET /x HTTP/1.1\r\n\r\n", Declined(400)),
        row(HOST, "GET /x HTTP/1.1\r\nHost:\r\n\r\n", Declined(400)),
        row(HOST, "GET /x HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", Declined(400)),
        row(HOST, "GET /x HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", Declined(400)),
        row(HOST, "GET /x HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", Declined(400)),
        row(HOST, "GET /x HTTP/1.1\r\nHost: a.example/b\r\n\r\n", Declined(400)),
        row(HOST, "GET /x HTTP/1.1\r\nHost: u@a.example\r\n\r\n", Declined(400)),
        row(FORM, get("http://b.example/x"), Passes("GET /x HTTP/1.1", "")),
        row(FORM, get("http://u@b.example/x"), Declined(400)),
        row(FORM, get("ftp://b.example/x"), Declined(400)),
        row("RFC 9112 3.2.3: only CONNECT has an authority alone", get("b.example:80"), Declined(400)),
        row("RFC 9110 9.1", "get /x HTTP/1.1\r\nHost: a.example\r\n\r\n", Declined(501)),
        row("RFC 9110 9.3.8", "TRACE /x HTTP/1.1\r\nHost: a.example\r\n\r\n", Declined(501)),
    ];
    Pair::start().await.check(&rows).await;
}

#[tokio::test]
async fn the_host_is_that_of_the_target_and_the_other_is_forgotten() {
    let backend = Recorder::start().await;
    let edge = edge_before(backend.address, "host = \"client\"", EmulatorConfig::default()).await;
    let mut client = Wire::connect(edge.address).await;
    client.send(b"GET http://b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status(), 200);
    let seen = backend.take();
    let [Ok(request)] = seen.as_slice() else { panic!("one request in {seen:?}") };
    assert_eq!(request.values("host"), ["b.example"], "RFC 9112 3.2.2");
    assert_eq!(request.values("x-forwarded-host"), ["b.example"]);
    let told = format!("{:?}", request.fields);
    assert!(!told.contains("a.example"), "the other host goes nowhere: {told}");
}

#[tokio::test]
async fn what_a_connection_may_become_stays_at_the_edge() {
    let backend = Recorder::start().await;
    let edge = edge_before(backend.address, "", EmulatorConfig::default()).await;
    let mut client = Wire::connect(edge.address).await;
    let upgrade = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings, Hop\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nHop: 1\r\nTE: trailers\r\n\
                   Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n";
    client.send(upgrade.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status(), 200, "RFC 9110 7.8: an upgrade may be ignored");
    let seen = backend.take();
    let [Ok(request)] = seen.as_slice() else { panic!("one request in {seen:?}") };
    for name in ["upgrade", "http2-settings", "hop", "te", "proxy-connection", "keep-alive", "connection"] {
        assert!(request.values(name).is_empty(), "RFC 9110 7.6.1: {name} ends here: {request:?}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431() {
    const STATUS: &str = "RFC 6585 5";
    let fields = |count: usize| {
        let fields: String = (0..count).map(|number| format!("A{number}: b\r\n")).collect();
        format!("GET /x HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
    };
    let value =
        |length: usize| format!("GET /x HTTP/1.1\r\nHost: a.example\r\nA: {}\r\n\r\n", "b".repeat(length));
    let lines = |length: usize| {
        let lines = format!("A: {}\r\n", "b".repeat(1000)).repeat(length / 1000);
        format!("GET /x HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n")
    };
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n", "x".repeat(length));
    let name = format!("GET /x HTTP/1.1\r\nHost: a.example\r\n{}: b\r\n\r\n", "a".repeat(70_000));
    let rows = [
        row(STATUS, fields(99), Passes("GET /x HTTP/1.1", "")),
        row(STATUS, fields(100), Refused(431)),
        row(STATUS, fields(5_000), Refused(431)),
        row(STATUS, value(30_000), Passes("GET /x HTTP/1.1", "")),
        row("the policy's own limit, of a head that was read", value(40_000), Declined(431)),
        row("the policy's own limit, of a head that was read", lines(40_000), Declined(431)),
        row(STATUS, value(70_000), Refused(431)),
        row(STATUS, value(1_000_000), Refused(431)),
        row(STATUS, lines(70_000), Refused(431)),
        row(STATUS, name, Refused(431)),
        row("RFC 9110 15.5.15", target(9_000), Declined(414)),
        row(STATUS, target(70_000), Refused(431)),
    ];
    Pair::start().await.check(&rows).await;
}

#[tokio::test]
async fn pipelined_requests_are_all_answered_in_order() {
    let backend = Recorder::start().await;
    let edge = edge_before(backend.address, "", EmulatorConfig::default()).await;
    let mut client = Wire::connect(edge.address).await;
    let request = |number: usize| match number % 3 {
        0 => format!("GET /{number} HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        1 => format!("POST /{number} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello"),
        _ => format!(
            "PUT /{number} HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        ),
    };
    let sent: String = (0..PIPELINED).map(request).collect();
    client.send(sent.as_bytes()).await;
    for number in 0..PIPELINED {
        let answer = client.answer().await.expect("RFC 9112 9.3.2: all of them");
        assert_eq!(answer.content, format!("/{number}"), "RFC 9112 9.3.2: in the order of the requests");
    }
    let seen: Vec<_> = backend.take().into_iter().map(|request| request.unwrap()).collect();
    assert_eq!(seen.len(), PIPELINED, "each is one request");
    for (number, request) in seen.iter().enumerate() {
        assert_eq!(request.line.split(' ').nth(1).unwrap(), format!("/{number}"));
        assert_eq!(request.content, if number % 3 == 0 { "" } else { "hello" }, "{request:?}");
    }
}
