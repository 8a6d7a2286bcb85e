//! Bodies go through as they come.

use std::io::{BufReader, Read as _, Write as _};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use super::client::{PATIENCE, connect, read_head, send};
use super::edge::{Edge, shared};

const LENGTH: usize = 10 * 1024 * 1024;

/// Rounds after which a process has taken the memory that it keeps for good: the allocator's pages, the sockets' buffers.
const WARM_UP: usize = 3;

#[test]
fn ten_mebibytes_stream_both_ways_and_memory_stays_flat() {
    let edge = Edge::start();
    let body: Arc<[u8]> = (0..LENGTH).map(|at| u8::try_from(at / 1024 % 251).unwrap()).collect();
    for _ in 0..WARM_UP {
        echo(&edge, &body);
    }
    let before = edge.resident_bytes();
    let grown = echo(&edge, &body).saturating_sub(before);
    assert!(grown < (LENGTH / 2) as u64, "{grown} bytes more were held than before a body of {LENGTH}");
}

/// Sends the body and takes it back; returns the most bytes that the edge held meanwhile.
///
/// The second half is sent when a part of the first one is back, so neither direction can wait for the end of the other.
fn echo(edge: &Edge, body: &Arc<[u8]>) -> u64 {
    let mut stream = connect(edge.address());
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (is_coming, came) = mpsc::channel();
    let sent = Arc::clone(body);
    let sender = thread::spawn(move || {
        write!(stream, "POST /echo HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {LENGTH}\r\n\r\n").unwrap();
        stream.write_all(&sent[..LENGTH / 2]).unwrap();
        came.recv().unwrap();
        stream.write_all(&sent[LENGTH / 2..]).unwrap();
    });
    let (status, fields) = read_head(&mut reader).unwrap();
    assert_eq!(status, 200);
    assert!(fields.contains(&("content-length".to_owned(), LENGTH.to_string())), "{fields:?}");
    let (mut back, mut most, mut piece) = (Vec::new(), 0, vec![0; 64 * 1024]);
    while back.len() < LENGTH {
        let length = reader.read(&mut piece).unwrap();
        assert_ne!(length, 0, "the body ends after {} bytes", back.len());
        back.extend_from_slice(&piece[..length]);
        most = most.max(edge.resident_bytes());
        if back.len() > LENGTH / 10 {
            // The sender listens once; to tell it again is no error.
            let _ = is_coming.send(());
        }
    }
    assert!(back[..] == body[..], "what comes back is what was sent");
    sender.join().unwrap();
    most
}

#[test]
fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    let edge = shared();
    for path in ["/breaks", "/breaks-chunked"] {
        let answer = send(edge.address(), "GET", path, &[]);
        assert!(!answer.is_whole, "{path}: {answer:?}");
        assert_eq!(answer.status, 200, "{path}: the head had been sent before");
    }
}

#[test]
fn a_body_that_takes_longer_than_its_backend_may_is_broken_off_and_counts_as_a_failure() {
    for kind in ["length", "chunked"] {
        // The circuit that opens is one of its own.
        let edge = Edge::start();
        let in_time = send(edge.address(), "GET", &format!("/in-time/{kind}"), &[]);
        assert_eq!((in_time.is_whole, in_time.text()), (true, "partpast"), "{kind}");
        let cut = send(edge.address(), "GET", &format!("/stalls/{kind}"), &[]);
        assert_eq!((cut.status, cut.is_whole), (200, false), "{kind}: {cut:?}");
        let refused = send(edge.address(), "GET", &format!("/stalls/{kind}"), &[]);
        assert_eq!((refused.status, refused.text()), (503, "sorry"), "{kind}: its circuit is open");
    }
}

#[test]
fn a_body_that_its_backend_breaks_off_counts_as_a_failure_and_one_that_its_client_leaves_does_not() {
    for kind in ["length", "chunked"] {
        let edge = Edge::start();
        let mut leaving = connect(edge.address());
        write!(leaving, "GET /breaks-off/client HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
        leaving.read_exact(&mut [0; 8]).unwrap();
        drop(leaving);
        for _ in 0..2 {
            let whole = send(edge.address(), "GET", "/breaks-off/halves", &[]);
            assert_eq!((whole.is_whole, whole.text()), (true, "partpast"), "{kind}");
        }
        let broken = send(edge.address(), "GET", &format!("/breaks-off/{kind}"), &[]);
        assert_eq!((broken.status, broken.is_whole), (200, false), "{kind}: {broken:?}");
        let refused = send(edge.address(), "GET", "/breaks-off/halves", &[]);
        assert_eq!((refused.status, refused.text()), (503, "sorry"), "{kind}: its circuit is open");
    }
}

#[test]
fn a_client_that_leaves_a_body_which_the_runtime_passes_on_is_no_failure_of_the_backend() {
    let edge = Edge::start_behind(include_str!("waiting.mjs"), "");
    let mut leaving = connect(edge.address());
    write!(leaving, "GET /breaks-off/leaves HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
    leaving.read_exact(&mut [0; 8]).unwrap();
    drop(leaving);
    let began = Instant::now();
    while send(edge.address(), "GET", "/left", &[]).text() == "0" {
        assert!(began.elapsed() < PATIENCE, "the backend still sends");
    }
    let whole = send(edge.address(), "GET", "/breaks-off/halves", &[]);
    assert_eq!((whole.status, whole.text()), (200, "partpast"), "its circuit is closed");
}

#[test]
fn a_probe_is_no_success_until_its_body_is_whole() {
    let edge = Edge::start();
    let tried = |what: &str| loop {
        let answer = send(edge.address(), "GET", &format!("/tried/{what}"), &[]);
        if answer.status != 503 {
            return answer;
        }
    };
    for what in ["breaks", "breaks", "stalls"] {
        assert!(!tried(what).is_whole, "{what}");
        let refused = send(edge.address(), "GET", "/tried/well", &[]);
        assert_eq!((refused.status, refused.text()), (503, "sorry"), "{what}: its circuit is open");
    }
    for _ in 0..3 {
        let whole = tried("well");
        assert_eq!((whole.is_whole, whole.text()), (true, "hello"));
    }
    let answers = [(); 3].map(|()| send(edge.address(), "GET", "/tried/well", &[]).status);
    assert_eq!(answers, [200; 3], "its circuit is closed");
}

#[test]
fn a_backend_that_closes_without_an_answer_makes_the_fallback_answer() {
    let edge = shared();
    let answer = send(edge.address(), "GET", "/gone", &[]);
    assert_eq!((answer.status, answer.text()), (503, "sorry"));
}
