//! Whose fault it is when a request's body does not come.

use std::io::{BufReader, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::thread;

use super::client::{connect, read_head, send};
use super::edge::Edge;

/// Longer than what sockets and runtimes keep.
const LONG: usize = 10 * 1024 * 1024;

const HALVES: [(&str, &str); 2] =
    [("Content-Length: 4", "ab"), ("Transfer-Encoding: chunked", "2\r\nab\r\n")];

/// Sends a request with a part of its body, and perhaps ends it there; returns the answer's status.
fn send_part(edge: SocketAddr, field: &str, part: &str, ends: bool) -> u16 {
    let mut stream = connect(edge);
    write!(
        stream,
        "POST /uploads/read HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n{field}\r\n\r\n{part}"
    )
    .unwrap();
    if ends {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    read_head(&mut BufReader::new(stream)).unwrap().0
}

#[test]
fn a_body_that_its_client_sends_slowly_or_not_at_all_says_nothing_of_the_backend() {
    let edge = Edge::start();
    for (field, part) in HALVES {
        assert_eq!(send_part(edge.address(), field, part, false), 408, "{field}: its client is slow");
        assert_eq!(send_part(edge.address(), field, part, true), 400, "{field}: its client breaks it off");
    }
    let malformed = send_part(edge.address(), "Transfer-Encoding: chunked", "2\r\nab\r\nzz\r\n", false);
    assert_eq!(malformed, 400, "its client sends what is no chunk");
    let whole = send_part(edge.address(), "Content-Length: 4", "four", false);
    assert_eq!(whole, 200, "the circuit is closed");
}

#[test]
fn a_backend_that_is_late_with_a_body_in_its_hands_or_does_not_take_it_has_failed() {
    for path in ["/uploads/hangs", "/uploads/unread"] {
        let edge = Edge::start();
        let mut stream = connect(edge.address());
        let length = if path.ends_with("unread") { LONG } else { 4 };
        write!(stream, "POST {path} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {length}\r\n\r\n")
            .unwrap();
        let mut sending = stream.try_clone().unwrap();
        // It ends when the edge has answered and closes the connection.
        let sender = thread::spawn(move || sending.write_all(&vec![b'x'; length]));
        let (status, _) = read_head(&mut BufReader::new(stream)).unwrap();
        assert_eq!(status, 503, "{path}");
        let refused = send(edge.address(), "GET", "/uploads/other", &[]);
        assert_eq!((refused.status, refused.text()), (503, "sorry"), "{path}: its circuit is open");
        drop(edge);
        let _ = sender.join().unwrap();
    }
}
