//! Handlers that panic: what goes down with them, and what does not.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use selvedge_emulator::runtime::spin::SpinConfig;

use super::app::{App, PROXY};
use super::client::{send, text};

/// Instances that are there at the same time are far fewer.
const MAX_PANICS: usize = 50;

const PANICS: &str = r#"
[[routes]]
path = "/panic"
handler = "panic"

[[routes]]
path = "/late-panic"
handler = "late-panic"
"#;

fn start(change: impl FnOnce(&mut SpinConfig)) -> App {
    App::with(&format!("{PROXY}{PANICS}"), change)
}

#[test]
fn a_panic_is_answered_by_the_host_and_the_next_request_as_ever() {
    let app = start(|_| {});
    for path in ["/panic", "/late-panic"] {
        assert_eq!(send(app.address(), "GET", path, &[]).status, 500, "{path}");
        let next = send(app.address(), "GET", "/x", &[]);
        assert_eq!((next.status, text(&next)), (200, "hello"), "after {path}");
    }
    assert!(app.log().contains("panic"), "the log says why: {}", app.log());
}

#[test]
fn a_panic_ends_no_request_of_another_instance() {
    let app = start(|config| config.reuse.at_once = 1);
    let mut beside = TcpStream::connect(app.address()).unwrap();
    write!(beside, "GET /hang/x HTTP/1.1\r\nhost: shop.test\r\n\r\n").unwrap();
    assert_eq!(text(&send(app.address(), "GET", "/x", &[])), "hello");
    assert_eq!(send(app.address(), "GET", "/panic", &[]).status, 500);
    assert_eq!(text(&send(app.address(), "GET", "/x", &[])), "hello");
    beside.set_nonblocking(true).unwrap();
    let read = beside.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(read, Err(ErrorKind::WouldBlock), "it goes on");
}

#[test]
fn a_panic_ends_the_requests_beside_it_at_once() {
    let app = start(|config| config.threads = 1);
    let mut beside = TcpStream::connect(app.address()).unwrap();
    write!(beside, "GET /hang/x HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // Whichever instance it is in, a panic is sent there sooner or later.
    for _ in 0..MAX_PANICS {
        if !answer.is_empty() {
            break;
        }
        assert_eq!(send(app.address(), "GET", "/panic", &[]).status, 500);
        beside.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let _ = beside.read_to_string(&mut answer);
    }
    assert!(
        answer.starts_with("HTTP/1.1 500 "),
        "it is told, and does not wait for its time to end: {answer}"
    );
}
