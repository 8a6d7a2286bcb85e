//! The origin's part of a trace, as a collector gets it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const TRACE: [u8; 16] =
    [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c];
const PARENT: [u8; 8] = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The origin, killed when it is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a collector, which hands on the content of what it is sent.
fn collector() -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (hand_on, got)) = (listener.local_addr().unwrap(), channel());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(content) = take(&mut reader) {
                // The test may have seen enough.
                let _ = hand_on.send(content);
                let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    (format!("http://{address}"), got)
}

fn take(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    head.make_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut content = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut content).ok()?;
    Some(content)
}

/// The lines of a log as they come.
fn lines(log: ChildStderr) -> Receiver<String> {
    let (hand_on, got) = channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // The test may have seen enough.
            let _ = hand_on.send(line);
        }
    });
    got
}

/// Waits for a line that has a part.
fn line_with(lines: &Receiver<String>, part: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).expect(part);
        if line.contains(part) {
            return line;
        }
    }
}

fn count(content: &[u8], part: &[u8]) -> usize {
    content.windows(part.len()).filter(|window| *window == part).count()
}

/// Answers to a request on a connection of its own.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_request_goes_on_with_its_senders_trace_and_a_query_is_a_part_of_it() {
    let (endpoint, exported) = collector();
    let child = Command::new(env!("CARGO_BIN_EXE_selvedge-origin"))
        .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--otlp", &endpoint])
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut origin = Program(child);
    let lines = lines(origin.0.stderr.take().unwrap());
    let started = line_with(&lines, "listening");
    let (_, address) = started.split_once(r#""address":""#).unwrap();
    let address = address.split('"').next().unwrap();
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = ask(
        address,
        &format!(
            "GET /api/users/1?token=s3cret HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{parent}\r\n\r\n"
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let line = line_with(&lines, "/api/users/1");
    assert!(line.contains(r#""trace_id":"0af7651916cd43dd8448eb211c80319c""#), "{line}");
    assert!(!line.contains("s3cret"), "{line}");
    let (mut content, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while count(&content, b"GET /api/users/{id}") == 0 {
        content.extend(exported.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap());
    }
    assert_eq!(count(&content, &TRACE), 2, "the request and its query");
    assert_eq!(count(&content, &PARENT), 1, "the request is a part of its sender's");
    assert!(count(&content, b"SELECT") > 0 && count(&content, b"selvedge-origin") > 0);
    assert_eq!(count(&content, b"s3cret"), 0, "a query may hold secrets");
}
