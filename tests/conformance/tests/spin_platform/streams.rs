//! Bodies go through as they come.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::app::App;
use super::client::{all, send};

const LENGTH: usize = 10 * 1024 * 1024;

/// Less than the bodies that stream at the same time have together.
const MEMORY: usize = 16 * 1024 * 1024;

const POLICY: &str = r#"
[backends.a]
url = "http://BACKEND"

[[routes]]
path = "/echo/{*rest}"
methods = ["POST"]
backend = "a"
cache = { store = false }

[[routes]]
path = "/{*rest}"
backend = "a"
"#;

#[test]
fn ten_mebibytes_stream_both_ways_in_a_memory_that_could_not_hold_them() {
    let app = App::with(POLICY, |config| {
        config.threads = 1;
        config.max_memory_bytes = MEMORY;
    });
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| echo(app.address()));
        }
    });
}

/// Sends a body and takes it back. The second half is sent when a part of the first one is back, so neither direction can wait for the
/// end of the other.
fn echo(to: SocketAddr) {
    let piece: Vec<u8> = (0..=250).cycle().take(LENGTH / 2).collect();
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut sending = stream.try_clone().unwrap();
    let (is_coming, came) = mpsc::channel();
    let sent = piece.clone();
    let sender = thread::spawn(move || {
        let head = "POST /echo/x HTTP/1.1\r\nhost: shop.test\r\nconnection: close";
        write!(sending, "{head}\r\ncontent-length: {LENGTH}\r\n\r\n").unwrap();
        sending.write_all(&sent).unwrap();
        came.recv().unwrap();
        sending.write_all(&sent).unwrap();
    });
    let mut back = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = stream.read(&mut chunk).unwrap();
        if length == 0 {
            break;
        }
        back.extend_from_slice(&chunk[..length]);
        if back.len() > LENGTH / 10 {
            // The sender listens once; to tell it again is no error.
            let _ = is_coming.send(());
        }
    }
    sender.join().unwrap();
    let head = back.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(back.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&back[..head]));
    let body = if String::from_utf8_lossy(&back[..head]).contains("chunked") {
        unchunked(&back[head..])
    } else {
        back.split_off(head)
    };
    assert!(body.len() == LENGTH && body == piece.repeat(2), "what comes back is what was sent");
}

/// Joins chunks ([RFC 9112 section 7.1](https://www.rfc-editor.org/rfc/rfc9112#section-7.1)).
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
}

#[test]
fn content_of_a_get_is_passed_on_where_its_length_is_announced() {
    let app = App::start(super::app::PROXY);
    let rows = [
        ("content-length: 5\r\n\r\nhello", true),
        ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false),
        ("\r\n", false),
    ];
    for (rest, has_content) in rows {
        let mut stream = TcpStream::connect(app.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = "GET /echo/x HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n";
        write!(stream, "{head}{rest}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{rest:?}: {head}");
        assert_eq!(body.contains("hello"), has_content, "{rest:?}: {body:?}");
    }
}

#[test]
fn of_a_body_that_its_client_leaves_nothing_is_stored() {
    let app = App::start(POLICY);
    let mut stream = TcpStream::connect(app.address()).unwrap();
    write!(stream, "GET /large/1 HTTP/1.1\r\nhost: shop.test\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 1024]).unwrap();
    drop(stream);
    app.settle();
    let first = send(app.address(), "GET", "/large/1", &[]);
    app.settle();
    let second = send(app.address(), "GET", "/large/1", &[]);
    assert_eq!((first.body.len(), second.body.len()), (3 << 20, 3 << 20));
    let [first, second] = [&first, &second].map(|answer| all(answer, "cache-status").concat());
    assert!(first.contains("fwd=uri-miss") && second.contains("hit"), "{first}, then {second}");
}

#[test]
fn a_body_that_takes_longer_than_its_backend_may_is_broken_off_and_counts_as_a_failure() {
    for kind in ["length", "chunked"] {
        let app = watched("total-timeout = \"2s\"", "5m");
        let cut = whole(app.address(), &format!("/stalls/{kind}"));
        let (head, body) = cut.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{kind}: {head}");
        assert!(body.contains("part") && body.len() < 8 + 4, "{kind}: {body:?}");
        assert!(!body.ends_with("0\r\n\r\n"), "{kind}: {body:?} says that it is whole");
        let refused = whole(app.address(), &format!("/stalls/{kind}"));
        assert!(refused.starts_with("HTTP/1.1 503 "), "{kind}: {refused}: its circuit is open");
    }
}

/// One place, that may have a total-timeout, whose circuit opens with a failure.
const WATCHED: &str = r#"
[backends.a]
url = "http://BACKEND"
timeout = "2s"
TOTAL
breaker = { failures = 1, open = "OPEN" }

[[routes]]
path = "/{*rest}"
methods = ["GET", "POST"]
backend = "a"
cache = { store = false }

[fallback]
page = { status = 503, body = "sorry" }
"#;

/// One instance, whose circuit is that of all requests.
fn watched(total: &str, open: &str) -> App {
    App::with(&WATCHED.replace("TOTAL", total).replace("OPEN", open), |config| config.threads = 1)
}

#[test]
fn a_body_that_breaks_off_counts_where_it_has_a_time_and_one_that_its_client_leaves_does_not() {
    let rows = [
        ("length", "total-timeout = \"20s\"", "503"),
        ("chunked", "total-timeout = \"20s\"", "503"),
        // Spin passes it on by itself.
        ("length", "", "200"),
        ("chunked", "", "200"),
    ];
    for (kind, total, then) in rows {
        let app = watched(total, "5m");
        let mut leaving = TcpStream::connect(app.address()).unwrap();
        write!(leaving, "GET /large/1 HTTP/1.1\r\nhost: shop.test\r\n\r\n").unwrap();
        leaving.read_exact(&mut [0; 1024]).unwrap();
        drop(leaving);
        app.settle();
        for _ in 0..2 {
            let answer = whole(app.address(), "/page/x");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{kind}: {answer}");
        }
        let broken = whole(app.address(), &format!("/breaks/{kind}"));
        assert!(broken.starts_with("HTTP/1.1 200 "), "{kind}: {broken}");
        assert!(!broken.ends_with("0\r\n\r\n"), "{kind}: {broken:?} says that it is whole");
        app.settle();
        let answer = whole(app.address(), "/page/x");
        assert!(answer.starts_with(&format!("HTTP/1.1 {then} ")), "{kind} {total}: {answer}");
    }
}

#[test]
fn a_probe_is_no_success_until_its_body_is_whole() {
    let app = watched("total-timeout = \"2s\"", "500ms");
    let is_refused = |answer: &str| answer.starts_with("HTTP/1.1 503 ");
    let tried = |path: &str| loop {
        let answer = whole(app.address(), path);
        if !is_refused(&answer) {
            return answer;
        }
    };
    for path in ["/breaks/length", "/breaks/chunked", "/stalls/length"] {
        let answer = tried(path);
        assert!(answer.contains("part"), "{path}: {answer}");
        let refused = whole(app.address(), "/hello");
        assert!(is_refused(&refused), "{path}: {refused}: its circuit is open");
    }
    assert!(tried("/hello").ends_with("hello"));
    for _ in 0..3 {
        let answer = whole(app.address(), "/hello");
        assert!(answer.ends_with("hello"), "{answer}: its circuit is closed");
    }
}

/// What a server sends until the connection's end.
fn whole(to: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n").unwrap();
    let mut sent = Vec::new();
    // A connection that is reset ends an answer too.
    let _ = stream.read_to_end(&mut sent);
    String::from_utf8(sent).unwrap()
}

#[test]
fn a_body_that_its_client_sends_slowly_or_breaks_off_says_nothing_of_a_backend_that_is_watched() {
    let app = watched("", "5m");
    let fields = ["content-length: 4\r\n\r\nab", "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n"];
    for rest in fields {
        let slow = post(app.address(), "/read/x", rest, false);
        assert!(slow.starts_with("HTTP/1.1 408 "), "{rest:?}: {slow}");
        let broken = post(app.address(), "/read/x", rest, true);
        assert!(broken.starts_with("HTTP/1.1 400 "), "{rest:?}: {broken}");
    }
    let whole = post(app.address(), "/read/x", "content-length: 4\r\n\r\nfour", false);
    assert!(whole.starts_with("HTTP/1.1 200 "), "{whole}: the circuit is closed");
}

#[test]
fn a_backend_that_is_late_with_a_whole_body_in_its_hands_has_failed() {
    let app = watched("", "5m");
    let late = post(app.address(), "/hang/x", "content-length: 4\r\n\r\nfour", false);
    assert!(late.starts_with("HTTP/1.1 503 "), "{late}");
    let refused = whole(app.address(), "/page/x");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}: the circuit is open");
}

/// Sends a request with a part of its body or all of it, and perhaps ends the connection's sending half behind it; returns what comes back.
fn post(to: SocketAddr, path: &str, rest: &str, ends: bool) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "POST {path} HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n{rest}").unwrap();
    if ends {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut sent = Vec::new();
    // A connection that is reset ends an answer too.
    let _ = stream.read_to_end(&mut sent);
    String::from_utf8(sent).unwrap()
}
