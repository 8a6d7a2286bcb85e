//! The real binary behind Lambda's runtime API: limits, streams, batches and what goes wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use selvedge_core::policy::{blob, read::read};
use selvedge_emulator::Clock;
use selvedge_emulator::runtime::lambda::{Failure, Function, FunctionConfig, MAX_PAYLOAD_BYTES};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A function with its backend.
struct Running {
    function: Function,
    output: PathBuf,
    _folder: TempDir,
}

/// An answer of the function URL.
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Whether the body came to its end.
    is_whole: bool,
}

/// Longest wait for what comes a little later.
const PATIENCE: Duration = Duration::from_secs(20);

const ROUTES: &str = "
[[routes]]
path = \"/panic\"
handler = \"panic\"
[[routes]]
path = \"/{*rest}\"
backend = \"a\"
[queues.orders]
backend = \"a\"
path = \"/jobs\"
store = \"platform\"
[queues.failing]
handler = \"fail\"
store = \"platform\"
";

fn start(streams: bool) -> Running {
    start_logging(streams, None)
}

/// The same with a share of requests that have a record in the log.
fn start_logging(streams: bool, share: Option<&str>) -> Running {
    let backend = backend();
    let policy = format!(
        "[log]\nquery = \"names\"\nuser-agent = true\n[backends.a]\nurl = \"http://{backend}\"\ntimeout = \"5s\"\n{ROUTES}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.bin"), blob::encode(&read(&policy).unwrap())).unwrap();
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "1768478400000").unwrap();
    let clock = (selvedge_conformance::lambda::CLOCK.to_owned(), clock.to_string_lossy().into_owned());
    let share = share.map(|share| ("SELVEDGE_ACCESS_LOG".to_owned(), share.to_owned()));
    let environment = [clock].into_iter().chain(share).collect();
    let output = folder.path().join("output");
    let config = FunctionConfig {
        program: PathBuf::from(env!("CARGO_BIN_EXE_conformance-lambda")),
        folder: folder.path().to_owned(),
        environment,
        queues: vec!["orders".to_owned(), "failing".to_owned()],
        delivers: false,
        streams,
        environments: 1,
        timeout: Duration::from_secs(20),
        clock: Clock::System,
        output: Some(File::create(&output).unwrap()),
    };
    Running { function: Function::start(config).unwrap(), output, _folder: folder }
}

/// A backend that answers by path: with much, with less than it announces, with chunks that do not end, or with `hello`.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || respond(stream));
        }
    });
    address
}

fn respond(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let target = lines.next().unwrap_or_default();
    for line in lines.by_ref() {
        if line.is_empty() {
            break;
        }
    }
    let body = if target.contains("/large") { vec![b'x'; 7 * 1024 * 1024] } else { b"hello".to_vec() };
    let announced = if target.contains("/cut") { 100 } else { body.len() };
    if target.contains("/part") {
        let part = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let _ = stream.write_all(part.as_bytes());
        return;
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {announced}\r\nconnection: close\r\n\r\n");
    // Whoever asked may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

impl Running {
    fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: h.example\r\nconnection: close\r\n\r\n"), &[])
    }

    fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.function.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // The answer may come before the end of a body that is too large.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
        let rest = bytes.split_off(at + 4);
        let status = head[9..12].parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let is_whole = match length {
            Some(length) => rest.len() == length.parse::<usize>().unwrap(),
            None => !head.contains("transfer-encoding: chunked") || rest.ends_with(b"0\r\n\r\n"),
        };
        Answer { status, body: rest, is_whole }
    }

    /// Waits for so many lines about requests in the log: those of responses that stream come a little after them.
    fn requests(&self, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let log = std::fs::read_to_string(&self.output).unwrap();
            let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let lines = whole.map(|line| serde_json::from_str::<Value>(line).unwrap());
            let lines: Vec<_> = lines.filter(|line| line["_aws"].is_object()).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(begun.elapsed() < PATIENCE, "{log}");
            thread::yield_now();
        }
    }

    fn invoke(&self, event: &Value) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(self.function.invoke(event.to_string().into()))?;
        Ok(serde_json::from_slice(&result).unwrap())
    }

    fn failed(&self, event: &Value) -> Vec<String> {
        let result = self.invoke(event).unwrap();
        let failures = result["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }
}

fn record(id: &str, queue: &str) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": id,
        "body": "x",
        "attributes": { "ApproximateReceiveCount": "1" },
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{queue}"),
    })
}

#[test]
fn a_response_that_breaks_off_is_never_whole() {
    let streaming = start(true);
    let cut = streaming.get("/cut");
    assert_eq!((cut.status, cut.is_whole), (200, false), "it had begun");
    let body = String::from_utf8_lossy(&cut.body);
    assert!(
        !body.to_ascii_lowercase().contains("lambda-runtime"),
        "no error's text is taken for content: {body}"
    );
    let next = streaming.get("/");
    assert_eq!((next.status, next.is_whole), (200, true), "the process goes on");
    let buffering = start(false);
    assert_eq!(buffering.get("/cut").status, 500, "the policy's fallback answers");
    assert_eq!(buffering.get("/part").status, 500, "the policy's fallback answers");
    assert_eq!(buffering.get("/").body, b"hello");
}

#[test]
fn a_large_response_streams_and_is_not_buffered() {
    let large = start(true).get("/large");
    assert!(large.is_whole && large.body.len() >= 7 * 1024 * 1024, "{} bytes", large.body.len());
    let buffering = start(false);
    assert_eq!(buffering.get("/large").status, 500, "more than 6 MB: the policy's fallback answers");
    assert_eq!(buffering.get("/").status, 200);
}

#[test]
fn a_large_request_is_refused_by_the_function_url() {
    let running = start(false);
    let body = vec![b'x'; MAX_PAYLOAD_BYTES + 1];
    let head = format!(
        "POST / HTTP/1.1\r\nhost: h.example\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    assert_eq!(running.send(&head, &body).status, 413);
}

#[test]
fn of_a_batch_only_what_failed_comes_again() {
    let running = start(false);
    let batch = json!({ "Records": [
        record("done", "orders"), record("failed", "failing"), record("lost", "unknown"), record("too", "orders"),
    ] });
    let mut failed = running.failed(&batch);
    failed.sort();
    assert_eq!(failed, ["failed", "lost"]);
    assert_eq!(running.function.take_delays().len(), 1, "what failed is put off");
    assert_eq!(running.failed(&json!({ "Records": [] })), [""; 0]);
}

#[test]
fn an_event_that_cannot_be_answered_is_an_error_and_the_next_one_is_answered() {
    let running = start(false);
    let rows = [
        (json!({ "Records": [{ "cf": { "config": {}, "request": {} } }] }), "Selvedge.UnknownEvent"),
        (json!({ "Records": [{ "eventSource": "aws:s3" }] }), "Selvedge.UnknownEvent"),
        (json!({ "selvedge-schedule": "nightly" }), "Selvedge.UnknownSchedule"),
        (json!({}), "Selvedge.UnknownEvent"),
        (json!([1]), "Selvedge.UnknownEvent"),
        (json!({ "rawPath": "/", "requestContext": { "http": { "method": "G T" } } }), "Selvedge.BadRequest"),
    ];
    for (event, code) in rows {
        let failure = running.invoke(&event).unwrap_err().to_string();
        assert!(failure.starts_with(code), "{event}: {failure}");
    }
    assert_eq!(running.get("/panic").status, 500, "a handler that panics is answered by the fallback");
    assert_eq!(running.get("/").body, b"hello");
}

#[test]
fn what_a_policy_does_at_cloudfronts_edge_can_be_tried_trigger_by_trigger() {
    let running = start(false);
    let event = |trigger: &str, request: &Value, response: Option<&Value>| {
        let mut cf =
            json!({ "config": { "distributionId": "E1", "eventType": trigger }, "request": request });
        if let Some(response) = response {
            cf["response"] = response.clone();
        }
        running.invoke(&json!({ "Records": [{ "cf": cf }] })).unwrap()
    };
    let viewer = json!({
        "clientIp": "203.0.113.9", "method": "GET", "uri": "/a", "querystring": "b=c",
        "headers": { "host": [{ "key": "Host", "value": "shop.example.com" }], "accept": [{ "value": "*/*" }] },
    });
    let forwarded = event("viewer-request", &viewer, None);
    assert_eq!(forwarded["headers"]["host"], viewer["headers"]["host"], "the request goes on");
    assert!(forwarded["headers"]["selvedge-state"].is_array());
    let sent = event("origin-request", &forwarded, None);
    assert!(sent["headers"]["selvedge-key"].is_null(), "it is for the cache alone");
    let mut panics = viewer.clone();
    panics["uri"] = "/panic".into();
    let panicked = event("origin-request", &event("viewer-request", &panics, None), None);
    assert_eq!(panicked["status"], "500", "a handler that panics is answered by the fallback");
}

#[test]
fn each_request_has_its_metrics_and_its_record_in_the_log() {
    for streams in [false, true] {
        let logging = start_logging(streams, Some("1"));
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for path in ["/a?token=s3cret", "/cut", "/panic"] {
            let fields = format!(
                "host: h.example\r\nuser-agent: agent\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01"
            );
            logging.send(&format!("GET {path} HTTP/1.1\r\n{fields}\r\nconnection: close\r\n\r\n"), &[]);
        }
        let mut lines = logging.requests(3);
        lines.sort_by_key(|line| line["path"].to_string());
        let [whole, cut, panicked] = lines.as_slice() else { panic!("{lines:#?}") };
        let record = |line: &Value, names: [&str; 4]| names.map(|name| line[name].clone());
        let names = ["status", "bytes_out", "aborted", "outcome"];
        assert_eq!(record(whole, names), [json!(200), json!(5), json!(false), json!("backend.responded")]);
        // One that streams had begun; one in memory is answered in its place.
        let expected =
            if streams { [json!(200), json!(true), json!(0)] } else { [json!(500), json!(false), json!(1)] };
        assert_eq!([&cut["status"], &cut["aborted"], &cut["5xx"]], expected.each_ref(), "{cut}");
        assert_eq!(
            record(panicked, ["status", "4xx", "5xx", "route"]),
            [json!(500), json!(0), json!(1), json!("/panic")]
        );
        for line in &lines {
            assert_eq!((&line["selvedge"], &line["host"]), (&json!("access"), &json!("h.example")), "{line}");
            assert!(line["duration_ms"].as_f64() > Some(0.0) && line["policy"].is_string(), "{line}");
            assert!(!line.to_string().contains("s3cret") && line.get("address").is_none(), "{line}");
            assert_eq!((&line["trace_id"], &line["user_agent"]), (&json!(trace), &json!("agent")), "{line}");
        }
        assert_eq!(
            (&whole["query"], panicked.get("query")),
            (&json!("token"), None),
            "the policy allows names"
        );
        assert!(whole["origin_ms"].as_f64() > Some(0.0) && panicked.get("origin_ms").is_none(), "{lines:#?}");
    }
}

#[test]
fn outside_the_sample_are_the_metrics_alone_and_without_the_variable_nothing() {
    let sampled = start_logging(false, Some("0"));
    sampled.get("/a");
    sampled.get("/panic");
    let lines = sampled.requests(2);
    let found: Vec<_> = lines.iter().map(|line| (line["path"].as_str(), line["5xx"].as_u64())).collect();
    assert_eq!(found, [(None, Some(0)), (Some("/panic"), Some(1))], "{lines:#?}");
    let silent = start(false);
    assert_eq!(silent.get("/a").status, 200);
    assert_eq!(silent.requests(0), Vec::<Value>::new());
}
