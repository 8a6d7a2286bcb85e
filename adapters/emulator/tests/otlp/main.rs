//! Traces as a collector gets them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod messages;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use prost::Message as _;
use selvedge_core::engine::Engine;
use selvedge_core::policy::read::read;
use selvedge_emulator::otlp::Otlp;
use selvedge_emulator::{Emulator, EmulatorConfig, EngineHandle, PolicyInfo, SpanSink as _};

use messages::{ExportTraceServiceRequest, Span, attribute};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Kinds of spans.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// Longest wait for what comes a little later.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the exporter waits for a collector by itself.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A request as a server of these tests gets it.
struct Got {
    head: String,
    body: Vec<u8>,
}

/// Starts a server that takes what comes, answers each with this and hands it on.
fn serve(answer: &'static str) -> (SocketAddr, Receiver<Got>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, (hand_on, got)) = (listener.local_addr().unwrap(), channel());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let hand_on = hand_on.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while let Some(request) = take(&mut reader) {
                    // The test may have seen enough.
                    let _ = hand_on.send(request);
                    let _ = (&stream).write_all(answer.as_bytes());
                }
            });
        }
    });
    (address, got)
}

fn take(reader: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    head.make_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Got { head, body })
}

/// Sends a request by a policy of one backend, lets the edge end, and returns the answer.
fn ask(otlp: Otlp, backend: SocketAddr, head: &str) -> String {
    let text = format!(
        "[backends.shop]\nurl = \"http://{backend}\"\n[[routes]]\npath = \"/a/{{id}}\"\nbackend = \"shop\"\n"
    );
    let policy = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let info = PolicyInfo { name: "test".to_owned(), hash: "first".to_owned() };
    let engine = EngineHandle::new(Arc::new(Engine::compile(policy).unwrap()), info);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config =
        EmulatorConfig { listen, threads: Some(1), spans: Some(Arc::new(otlp)), ..EmulatorConfig::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let emulator = Emulator::bind(config, engine).unwrap();
    let address = emulator.local_addr();
    let head = head.to_owned();
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    runtime
        .block_on(emulator.run(async {
            while !client.is_finished() {
                tokio::task::yield_now().await;
            }
        }))
        .unwrap();
    client.join().unwrap()
}

fn request(flags: &str) -> String {
    format!(
        "GET /a/1?token=s3cret HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nUser-Agent: agent\r\n\
         traceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: a=1\r\n\r\n"
    )
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_collector_gets_the_request_and_its_attempt_with_the_conventions_names() {
    let (collector, exported) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let (backend, asked) = serve("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let otlp = Otlp::start(Some(&format!("http://{collector}/"))).unwrap();
    let answer = ask(otlp, backend, &request("01"));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    let export = exported.recv_timeout(PATIENCE).unwrap();
    assert!(export.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", export.head);
    assert!(export.head.contains("content-type: application/x-protobuf"), "{}", export.head);
    let message = ExportTraceServiceRequest::decode(export.body.as_slice()).unwrap();
    let [resource] = message.resource_spans.as_slice() else { panic!("{message:#?}") };
    let service = attribute(&resource.resource.as_ref().unwrap().attributes, "service.name");
    assert_eq!(service.as_deref(), Some("selvedge"));
    let spans: Vec<&Span> = resource.scope_spans.iter().flat_map(|scope| &scope.spans).collect();
    let of_kind = |kind| spans.iter().find(|span| span.kind == kind).copied().unwrap();
    let (server, client) = (of_kind(SERVER), of_kind(CLIENT));
    assert_eq!(spans.len(), 2, "{spans:#?}");
    for span in [server, client] {
        assert_eq!((hex(&span.trace_id).as_str(), span.trace_state.as_str()), (TRACE, "a=1"));
        assert!(span.start_time_unix_nano > 0 && span.start_time_unix_nano <= span.end_time_unix_nano);
        assert_eq!(span.status.as_ref().map_or(0, |status| status.code), 0, "{span:#?}");
    }
    assert_eq!((hex(&server.parent_span_id).as_str(), &client.parent_span_id), (PARENT, &server.span_id));
    assert_eq!((server.name.as_str(), client.name.as_str()), ("GET /a/{id}", "GET"));
    let expected = [
        (server, "url.path", "/a/1"),
        (server, "http.request.method", "GET"),
        (server, "http.response.status_code", "200"),
        (server, "server.address", "shop.example"),
        (server, "selvedge.reason", "backend.responded"),
        (server, "selvedge.aborted", "false"),
        (client, "http.response.status_code", "200"),
        (client, "server.address", "127.0.0.1"),
        (client, "selvedge.backend", "shop"),
    ];
    for (span, name, value) in expected {
        assert_eq!(attribute(&span.attributes, name).as_deref(), Some(value), "{name}");
    }
    assert!(!format!("{message:?}").contains("s3cret"), "no query leaves the edge");
    let told = format!("traceparent: 00-{TRACE}-{}-01", hex(&client.span_id));
    assert!(
        asked.recv_timeout(PATIENCE).unwrap().head.contains(&told),
        "the backend's parent is the attempt"
    );
}

#[test]
fn what_is_not_sampled_is_not_sent() {
    let (collector, exported) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let (backend, _asked) = serve("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let otlp = Otlp::start(Some(&format!("http://{collector}"))).unwrap();
    ask(otlp, backend, &request("00"));
    assert!(exported.try_recv().is_err(), "the edge has ended, and with it what would have been sent");
}

#[test]
fn a_collector_that_does_not_answer_keeps_nobody_waiting() {
    // It listens, and takes no connection.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let otlp = Otlp::start(Some(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    let (backend, _asked) = serve("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let begun = Instant::now();
    let answer = ask(otlp, backend, &request("01"));
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(begun.elapsed() < EXPORT_TIMEOUT, "the edge ends before that: {:?}", begun.elapsed());
}

#[test]
fn what_is_no_url_is_refused_at_the_start() {
    assert!(Otlp::start(Some("no url")).is_err());
}

#[test]
fn spans_that_no_collector_takes_are_counted() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let otlp = Otlp::start(Some(&format!("http://{nobody}"))).unwrap();
    let span = selvedge_emulator::Span {
        trace_id: 1,
        id: 2,
        parent: None,
        state: None,
        kind: selvedge_emulator::SpanKind::Server,
        name: "GET".to_owned(),
        started: SystemTime::UNIX_EPOCH,
        ended: SystemTime::UNIX_EPOCH,
        attributes: Vec::new(),
        is_error: false,
    };
    assert_eq!(otlp.lost(), 0);
    // More than may wait.
    for _ in 0..3000 {
        otlp.take(span.clone());
    }
    let began = Instant::now();
    while otlp.lost() < 3000 - 2048 {
        assert!(began.elapsed() < PATIENCE, "{} are lost", otlp.lost());
        thread::yield_now();
    }
}
