//! Header fields of any bytes, and repeated ones.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::app::{App, PROXY};
use super::client::{all, send, text};

#[test]
fn a_response_keeps_bytes_that_are_no_text_and_repeated_fields() {
    let app = App::start(PROXY);
    let answer = send(app.address(), "GET", "/latin/x", &[]);
    let latin: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "x-latin").collect();
    assert_eq!(latin, [&("x-latin".to_owned(), b"caf\xe9".to_vec())]);
    assert_eq!(all(&answer, "link"), ["</a>", "</b>"]);
}

#[test]
fn a_backend_is_sent_repeated_fields_in_order() {
    let app = App::start(PROXY);
    let answer =
        send(app.address(), "GET", "/fields/x", &[("x-many", "b"), ("x-many", "a, c"), ("x-many", "")]);
    assert_eq!(text(&answer), "b|a, c|");
}

#[test]
fn spin_refuses_a_request_whose_values_are_no_text() {
    let app = App::start(PROXY);
    let mut stream = TcpStream::connect(app.address()).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\nx-name: caf\xe9\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert_eq!(send(app.address(), "GET", "/x", &[("x-name", "caf\u{e9}")]).status, 200, "UTF-8 is text");
}
