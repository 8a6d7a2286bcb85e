//! What nobody waits for any more takes nothing from others.

use std::io::{BufReader, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use super::client::{PATIENCE, connect, read_head, send};
use super::edge::Edge;

const FRONT: &str = include_str!("waiting.mjs");

#[test]
fn a_client_that_leaves_before_the_head_gives_its_place_at_the_backend_back() {
    // A runtime that tells of it, and a backend that never answers; and one that does not, and a backend's time that is soon over.
    for (edge, path) in [(Edge::start(), "held"), (Edge::start_untold(), "brief")] {
        let edge = edge.address();
        let other = format!("/{path}/other");
        leave(edge, &format!("/{path}/hangs"), &other);
        let began = Instant::now();
        while send(edge, "GET", &other, &[]).status != 200 {
            assert!(began.elapsed() < PATIENCE, "{path}: its place is taken for good");
        }
    }
}

/// Asks for what hangs, and resets the connection when that has its backend's only place, so that others get no answer.
fn leave(edge: SocketAddr, path: &str, other: &str) {
    let mut stream = connect(edge);
    // A connection is reset where there is an answer that was never read.
    write!(
        stream,
        "GET /length HTTP/1.1\r\nHost: shop.test\r\n\r\nGET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n"
    )
    .unwrap();
    stream.peek(&mut [0]).unwrap();
    while send(edge, "GET", other, &[]).status != 503 {}
    drop(stream);
}

#[test]
fn an_effect_of_any_kind_that_its_handler_gives_up_is_not_waited_for() {
    let edge = Edge::start_behind(FRONT, "");
    for what in ["body", "value"] {
        let mut stream = connect(edge.address());
        let head = "HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\nContent-Length: 4";
        write!(stream, "POST /impatient/{what} {head}\r\n\r\n").unwrap();
        let (status, _) = read_head(&mut BufReader::new(stream.try_clone().unwrap())).unwrap();
        assert_eq!(status, 200, "{what}");
        assert_eq!(send(edge.address(), "GET", "/waiting", &[]).text(), "0", "{what}");
    }
}
