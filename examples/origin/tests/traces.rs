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

/// The header of a request that a sampled trace sends.
const TRACEPARENT: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The origin, killed when it is dropped.
struct Program {
    child: Child,
    address: String,
    lines: Receiver<String>,
}

impl Program {
    /// Starts an origin that sends its traces to a collector.
    fn start(endpoint: &str, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_selvedge-origin"))
            .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--otlp", endpoint])
            .args(options)
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .env("SELVEDGE_PURGE_TOKEN", "let-me-purge")
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines(child.stderr.take().unwrap());
        let mut program = Self { child, address: String::new(), lines };
        let started = line_with(&program.lines, "listening");
        let (_, address) = started.split_once(r#""address":""#).unwrap();
        program.address = address.split('"').next().unwrap().to_owned();
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request: its head in lower case, and its content.
struct Taken {
    head: String,
    content: Vec<u8>,
}

/// Starts a server that answers every request with 200 and hands it on: a collector, or an edge.
fn server() -> (String, Receiver<Taken>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (hand_on, got)) = (listener.local_addr().unwrap(), channel());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(taken) = take(&mut reader) {
                // The test may have seen enough.
                let _ = hand_on.send(taken);
                let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    (format!("http://{address}"), got)
}

fn take(reader: &mut BufReader<TcpStream>) -> Option<Taken> {
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
    Some(Taken { head, content })
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

/// Counts the spans of a name, which is the fifth field of a span.
fn spans(content: &[u8], name: &str) -> usize {
    let field = [&[5 << 3 | 2, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
    count(content, &field)
}

/// Takes what is exported until a span of each name is there.
fn exported(collected: &Receiver<Taken>, names: &[&str]) -> Vec<u8> {
    let (mut content, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while let Some(missing) = names.iter().find(|name| spans(&content, name) == 0) {
        let wait = deadline.saturating_duration_since(Instant::now());
        content.extend(collected.recv_timeout(wait).expect(missing).content);
    }
    content
}

/// Answers to a request on a connection of its own.
fn ask(address: &str, line: &str, headers: &[&str], body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let headers = headers.join("\r\n");
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_request_goes_on_with_its_senders_trace_and_a_query_is_a_part_of_it() {
    let (endpoint, collected) = server();
    let origin = Program::start(&endpoint, &[]);
    let answer = ask(&origin.address, "GET /api/users/1?token=s3cret", &[TRACEPARENT], "");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let line = line_with(&origin.lines, "/api/users/1");
    assert!(line.contains(r#""trace_id":"0af7651916cd43dd8448eb211c80319c""#), "{line}");
    assert!(!line.contains("s3cret"), "{line}");
    let content = exported(&collected, &["GET /api/users/{id}", "SELECT"]);
    assert_eq!(count(&content, &TRACE), 2, "the request and its query");
    assert_eq!(count(&content, &PARENT), 1, "the request is a part of its sender's");
    assert!(count(&content, b"selvedge-origin") > 0);
    assert_eq!(count(&content, b"s3cret"), 0, "a query may hold secrets");
}

#[test]
fn a_write_and_the_notice_of_it_are_parts_of_its_senders_trace() {
    let (endpoint, collected) = server();
    let (edge, noticed) = server();
    let origin = Program::start(&endpoint, &["--edge", &edge]);
    let mut changed = "/api/users".to_owned();
    let mut tag = String::new();
    let body = r#"{"name":"Eve","email":"eve@example.com"}"#;
    let rows = [
        ("POST", "POST /api/users", "INSERT", "HTTP/1.1 201 "),
        ("PUT", "PUT /api/users/{id}", "UPDATE", "HTTP/1.1 200 "),
        ("DELETE", "DELETE /api/users/{id}", "DELETE", "HTTP/1.1 204 "),
    ];
    for (method, request, statement, status) in rows {
        let if_match = format!("if-match: {tag}");
        let headers = [TRACEPARENT, "content-type: application/json", if_match.as_str()];
        let answer = ask(&origin.address, &format!("{method} {changed}"), &headers, body);
        assert!(answer.starts_with(status), "{answer}");
        let value = |name| answer.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        changed = value("location: ").unwrap_or(changed);
        tag = value("etag: ").unwrap_or_default();

        let notice = noticed.recv_timeout(PATIENCE).unwrap().head;
        let (_, traceparent) =
            notice.split_once("traceparent: 00-0af7651916cd43dd8448eb211c80319c-").unwrap();
        let part = u64::from_str_radix(&traceparent[..16], 16).unwrap().to_be_bytes();
        let content = exported(&collected, &[request, statement, "POST"]);
        let reads = spans(&content, "SELECT");
        assert_eq!(count(&content, &TRACE), reads + 3, "the request, the write and the notice");
        assert_eq!(count(&content, &PARENT), 1, "only the request is a part of its sender's itself");
        assert_eq!(count(&content, &part), 1, "the edge goes on with the notice");
    }
}

#[test]
fn a_notice_of_several_changes_is_a_part_of_the_first_ones_trace_and_linked_with_the_others() {
    let (endpoint, collected) = server();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let origin = Program::start(&endpoint, &["--edge", &format!("http://{away}")]);
    let other = format!("traceparent: 00-{}-b7ad6b7169203331-01", "e".repeat(32));
    for (traceparent, name) in [(TRACEPARENT, "Eve"), (other.as_str(), "Fay")] {
        let headers = [traceparent, "content-type: application/json"];
        let body = format!(r#"{{"name":"{name}","email":"{name}@example.com"}}"#);
        let answer = ask(&origin.address, "POST /api/users", &headers, &body);
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
    // A link is the thirteenth field of a span, and a trace's id the first of a link.
    let is_link = |part: &[u8]| {
        part[0] == (13 << 3 | 2)
            && part[2..4] == [1 << 3 | 2, 16]
            && part[4..].iter().all(|byte| *byte == 0xee)
    };
    let (mut content, deadline) = (Vec::<u8>::new(), Instant::now() + PATIENCE);
    while !content.windows(20).any(is_link) {
        let wait = deadline.saturating_duration_since(Instant::now());
        content.extend(collected.recv_timeout(wait).expect("a link").content);
    }
    let failed = [15 << 3 | 2, 2, 3 << 3, 2];
    assert!(count(&content, &failed) > 0, "the edge is away");
}
