//! Requests whose end could be found in two ways: request smuggling.

use super::table::Expected::{Passes, Refused};
use super::table::{Pair, Row, row};

/// What is smuggled, where it can be.
const POISON: &str = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A `POST` with these further lines and this body, which a smuggled request follows.
fn post(clause: &'static str, lines: &str, body: &str, expected: super::table::Expected) -> Row {
    let lines = lines.replace('\n', "\r\n");
    let sent = format!("POST /x HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n\r\n{body}");
    let poison = if matches!(expected, Refused(_)) { POISON } else { "" };
    row(clause, sent + poison, expected)
}

#[tokio::test]
async fn a_length_is_one_number_or_the_request_is_refused() {
    const RULE_5: &str = "RFC 9112 6.3 rule 5";
    const GRAMMAR: &str = "RFC 9110 8.6";
    let rows = [
        post(RULE_5, "Content-Length: 5\nContent-Length: 6", "hello!", Refused(400)),
        post(RULE_5, "Content-Length: 6\nContent-Length: 5", "hello!", Refused(400)),
        post(RULE_5, "Content-Length: 5, 6", "hello!", Refused(400)),
        post(RULE_5, "Content-Length: 5, 5", "hello", Refused(400)),
        post(RULE_5, "Content-Length: 5\nContent-Length: 5", "hello", Passes("POST /x HTTP/1.1", "hello")),
        post(GRAMMAR, "Content-Length: +5", "hello", Refused(400)),
        post(GRAMMAR, "Content-Length: -5", "hello", Refused(400)),
        post(GRAMMAR, "Content-Length: 0x5", "hello", Refused(400)),
        post(GRAMMAR, "Content-Length: 5.0", "hello", Refused(400)),
        post(GRAMMAR, "Content-Length: 5 0", "hello", Refused(400)),
        post(GRAMMAR, "Content-Length: \"5\"", "hello", Refused(400)),
        post(GRAMMAR, "Content-Length:", "hello", Refused(400)),
        post(GRAMMAR, "Content-Length: 99999999999999999999", "hello", Refused(400)),
        post("RFC 9112 5", "Content-Length:\t5 ", "hello", Passes("POST /x HTTP/1.1", "hello")),
        post(
            "RFC 9110 7.6.1",
            "Content-Length: 5\nConnection: Content-Length",
            "hello",
            Passes("POST /x HTTP/1.1", "hello"),
        ),
    ];
    Pair::start().await.check(&rows).await;
}

#[tokio::test]
async fn chunked_is_the_only_coding_or_the_request_is_refused() {
    const SAID: &str = "RFC 9112 6.1: what the recipient does not know is 501";
    const FINAL: &str = "RFC 9112 6.3 rule 4: chunked is not the last coding";
    const TWICE: &str = "RFC 9112 7.1: chunked is applied once";
    const BOTH: &str = "RFC 9112 6.3 rule 3: the coding wins, and the connection is closed";
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let passes = Passes("POST /x HTTP/1.1", "hello");
    let lines = |lines: &str| format!("POST /x HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n\r\n{body}{POISON}");
    let old = format!("POST /x HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let old_too = old.replace("Transfer", "Content-Length: 15\r\nTransfer");
    let rows = [
        post("RFC 9112 7.1", "Transfer-Encoding: chunked", body, passes),
        post("RFC 9112 7", "Transfer-Encoding: Chunked", body, passes),
        post("RFC 9112 5", "Transfer-Encoding:\tchunked ", body, passes),
        post(FINAL, "Transfer-Encoding: xchunked", body, Refused(400)),
        post(FINAL, "Transfer-Encoding: identity", body, Refused(400)),
        post(FINAL, "Transfer-Encoding: chunked, identity", body, Refused(400)),
        post(FINAL, "Transfer-Encoding: chunked\nTransfer-Encoding: identity", body, Refused(400)),
        post(FINAL, "Transfer-Encoding: chunked;a=b", body, Refused(400)),
        post(FINAL, "Transfer-Encoding: \"chunked\"", body, Refused(400)),
        post(FINAL, "Transfer-Encoding:", body, Refused(400)),
        post("RFC 9110 5.5", "Transfer-Encoding: \x0bchunked", body, Refused(400)),
        post("RFC 9112 5.1", "Transfer-Encoding : chunked", body, Refused(400)),
        post(SAID, "Transfer-Encoding: gzip, chunked", body, Refused(501)),
        post(SAID, "Transfer-Encoding: identity, chunked", body, Refused(501)),
        post(SAID, "Transfer-Encoding: gzip\nTransfer-Encoding: chunked", body, Refused(501)),
        post(TWICE, "Transfer-Encoding: chunked, chunked", body, Refused(400)),
        post(TWICE, "Transfer-Encoding: chunked\nTransfer-Encoding: chunked", body, Refused(400)),
        row(BOTH, lines("Content-Length: 6\r\nTransfer-Encoding: chunked"), passes),
        row(BOTH, lines("Transfer-Encoding: chunked\r\nContent-Length: 6"), passes),
        row(BOTH, lines("Transfer-Encoding: chunked\r\nContent-Length: nonsense"), passes),
        row("RFC 9112 6.1: HTTP/1.0 has no codings", old, Refused(400)),
        row("RFC 9112 6.1: HTTP/1.0 has no codings", old_too, Refused(400)),
    ];
    Pair::start().await.check(&rows).await;
}

#[tokio::test]
async fn chunks_are_read_in_one_way_and_written_anew() {
    const SIZE: &str = "RFC 9112 7.1";
    const EXTENSION: &str = "RFC 9112 7.1.1: extensions go no further";
    const TRAILERS: &str = "RFC 9112 7.1.2: trailers may be dropped, and are never merged";
    let long = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "b".repeat(17 * 1024));
    let many = format!("5\r\nhello\r\n0\r\nA: {}\r\n\r\n", "b".repeat(70 * 1024));
    let rows = [
        (SIZE, "+5\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, "-5\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, "0x5\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, " 5\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, "5 5\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, "g\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, "\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, "10000000000000005\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, "fffffffffffffffff\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, "5\nhello\n0\n\n", None),
        (SIZE, "5\r\nhello\n0\r\n\r\n", None),
        (SIZE, "3\r\nhello\r\n0\r\n\r\n", None),
        (SIZE, "5\r\rhello\r\n0\r\n\r\n", None),
        (SIZE, "00005\r\nhello\r\n000\r\n\r\n", Some("hello")),
        (SIZE, "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", Some("hello")),
        (EXTENSION, "5 \r\nhello\r\n0\r\n\r\n", Some("hello")),
        (EXTENSION, "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", Some("hello")),
        (EXTENSION, "5\t;a=b\r\nhello\r\n0\r\n\r\n", Some("hello")),
        (EXTENSION, "5;a\nhello\r\n0\r\n\r\n", None),
        (EXTENSION, "5;a\rb\r\nhello\r\n0\r\n\r\n", None),
        (EXTENSION, long.as_str(), None),
        (TRAILERS, "5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 99\r\nHost: b\r\n\r\n", Some("hello")),
        (TRAILERS, "5\r\nhello\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n", Some("hello")),
        (TRAILERS, "5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n", None),
        (TRAILERS, "5\r\nhello\r\n0\r\nA : b\r\n\r\n", None),
        (TRAILERS, "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n", None),
        (TRAILERS, many.as_str(), None),
    ];
    let rows = rows.map(|(clause, body, content)| {
        let expected = content.map_or(Refused(400), |content| Passes("POST /x HTTP/1.1", content));
        post(clause, "Transfer-Encoding: chunked\nTrailer: A", body, expected)
    });
    Pair::start().await.check(&rows).await;
}
