//! Each outage between the local edge and the reference origin, over real sockets: what clients get, and that every
//! answer is accounted for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use selvedge_core::engine::Engine;
use selvedge_core::policy::read::read;
use selvedge_emulator::{Emulator, EmulatorConfig, EngineHandle, PolicyInfo};
use selvedge_origin::{Origin, OriginConfig, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// How often each kind of request is sent.
const TIMES: usize = 6;
/// The deadline of the policy, and what a slow machine takes beyond it.
const LONGEST: Duration = Duration::from_secs(15);
/// What a truncating line lets through: a head, and the beginning of a body.
const TRUNCATED_BYTES: u64 = 1_500;

const PRODUCT: &str = "GET /api/products/1";
const STYLES: &str = "GET /static/site.css";
const HERO: &str = "GET /static/hero.jpg";
const NEW_USER: &str = "POST /api/users";

/// What is wrong on the way to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// Nobody listens.
    Dead,
    /// Its name is not found.
    NoSuchName,
    /// Connections are made and nothing comes back.
    HalfOpen,
    /// What comes back is no HTTP.
    Garbage,
    /// The origin itself takes longer than it may.
    Slow,
    /// The origin itself answers 503.
    Failing,
}

/// What a line to the origin does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Passes,
    Cuts,
    HalfOpen,
    Garbage,
    Truncates,
}

/// A line to the origin that can break.
struct Line {
    address: SocketAddr,
    manner: watch::Sender<Manner>,
}

impl Line {
    async fn start(manner: Manner, origin: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, (manner, current)) = (listener.local_addr().unwrap(), watch::channel(manner));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, origin, current.clone()));
            }
        });
        Self { address, manner }
    }
}

/// Treats a connection as the line does, until the line changes.
async fn pass(mut client: TcpStream, origin: SocketAddr, mut current: watch::Receiver<Manner>) {
    let manner = *current.borrow_and_update();
    let passing = async {
        if manner == Manner::Cuts {
            return;
        }
        let mut server = TcpStream::connect(origin).await.unwrap();
        // However a connection ends, what came of it is the edge's to tell.
        let _ = match manner {
            Manner::Passes => copy_bidirectional(&mut client, &mut server).await.map(drop),
            Manner::HalfOpen | Manner::Cuts => {
                tokio::io::copy(&mut client, &mut tokio::io::sink()).await.map(drop)
            }
            Manner::Garbage => garble(&mut client).await,
            Manner::Truncates => truncate(&mut client, &mut server).await,
        };
    };
    tokio::select! {
        () = passing => {}
        _ = current.changed() => {}
    }
}

async fn garble(client: &mut TcpStream) -> std::io::Result<()> {
    if client.read(&mut [0; 4096]).await? == 0 {
        return Ok(());
    }
    client.write_all(b"\x16\x03\x03 this is not HTTP\r\n\r\n").await
}

async fn truncate(client: &mut TcpStream, server: &mut TcpStream) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let mut beginning = from_server.take(TRUNCATED_BYTES);
    tokio::select! {
        up = tokio::io::copy(&mut from_client, &mut to_server) => up?,
        down = tokio::io::copy(&mut beginning, &mut to_client) => down?,
    };
    Ok(())
}

/// The reference origin on an address of its own.
async fn start_origin() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let origin = Origin::new(&OriginConfig::default()).await.unwrap();
    tokio::spawn(async move { serve(listener, &origin, std::future::pending()).await });
    address
}

/// A running edge, and what it has been asked.
struct Edge {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    /// Answers by the reason that they carry.
    told: BTreeMap<String, usize>,
    broken: usize,
}

/// An answer as the client sees it.
#[derive(Debug)]
struct Answer {
    status: u16,
    reason: String,
    /// Whether all came that was announced.
    is_whole: bool,
}

impl Edge {
    async fn start(main: &str, keys: &str, spare: Option<SocketAddr>) -> Self {
        let failover = if spare.is_some() { "failover = [\"spare\"]" } else { "" };
        let spare =
            spare.map(|spare| format!("[backends.spare]\nurl = \"http://{spare}\"\n")).unwrap_or_default();
        let policy = format!(
            "[limits]\ndeadline = \"5s\"\n[backends.main]\nurl = \"http://{main}\"\ntimeout = \"400ms\"\n\
             connect-timeout = \"300ms\"\n{failover}\n{keys}\n{spare}\
             [[routes]]\npath = \"/{{*rest}}\"\nbackend = \"main\"\ncache = {{ store = false }}\n"
        );
        let policy = read(&policy).unwrap_or_else(|errors| panic!("{errors}"));
        let engine = Arc::new(Engine::compile(policy).unwrap());
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = EmulatorConfig { listen, threads: Some(1), ..EmulatorConfig::default() };
        let info = PolicyInfo { name: "test".to_owned(), hash: String::new() };
        let emulator = Emulator::bind(config, EngineHandle::new(engine, info)).unwrap();
        let (address, (stop, stopped)) = (emulator.local_addr(), oneshot::channel::<()>());
        tokio::spawn(emulator.run(async move { drop(stopped.await) }));
        Self { address, stop, told: BTreeMap::new(), broken: 0 }
    }

    async fn ask(&mut self, line: &str) -> Answer {
        let body = if line == NEW_USER { r#"{"name":"Anni","email":"anni@example.com"}"# } else { "" };
        let began = Instant::now();
        let answer = talk(self.address, line, body).await;
        assert!(began.elapsed() < LONGEST, "{line}: within the deadline");
        let (head, content) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: {answer:?}"));
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let (_, reason) = field("cache-status: ").unwrap().rsplit_once("detail=").unwrap();
        let length = field("content-length: ").map(|length| length.parse().unwrap());
        let is_whole =
            length.map_or(head.contains("chunked"), |length: usize| content.chars().count() == length);
        *self.told.entry(reason.to_owned()).or_default() += 1;
        self.broken += usize::from(!is_whole);
        Answer { status: head[9..12].parse().unwrap(), reason: reason.to_owned(), is_whole }
    }

    /// Compares what was answered with what the edge says of itself, and stops it.
    async fn accounts_for_all(self, what: &str) {
        let deadline = Instant::now() + LONGEST;
        loop {
            let page = talk(self.address, "GET /_selvedge/metrics", "").await;
            let counted = |name: &str| -> usize {
                page.lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                    .map_or(0, |count| count.parse().unwrap())
            };
            let by_reason: BTreeMap<_, _> = page
                .lines()
                .filter_map(|line| line.strip_prefix("selvedge_requests_total{reason=\"")?.split_once("\"} "))
                .map(|(reason, count)| (reason.to_owned(), count.parse::<usize>().unwrap()))
                .collect();
            assert_eq!(by_reason, self.told, "{what}: each answer is counted by its reason");
            // What is counted at a response's end comes a little after it.
            let is_settled = counted("selvedge_aborted_total") == self.broken
                && counted("selvedge_requests_in_flight") == 1
                && counted("selvedge_background_tasks") == 0;
            if is_settled {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: {} broke off, nothing is in flight: {page}",
                self.broken
            );
        }
        self.stop.send(()).unwrap();
    }
}

/// Sends one request on a connection of its own and returns all that comes.
async fn talk(server: SocketAddr, line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // One that breaks off is an answer, too.
    let _ = tokio::time::timeout(LONGEST, stream.read_to_end(&mut answer)).await.unwrap();
    answer.iter().map(|byte| char::from(*byte)).collect()
}

/// Brings an outage about; returns where the origin is to be found.
async fn break_down(outage: Outage) -> (String, Option<Line>) {
    let origin = start_origin().await;
    let line = async |manner| {
        let line = Line::start(manner, origin).await;
        (line.address.to_string(), Some(line))
    };
    let switch = async |switch: &str| {
        let answer = talk(origin, "PUT /_switch", switch).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    };
    match outage {
        Outage::Dead => {
            let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            (nobody.local_addr().unwrap().to_string(), None)
        }
        Outage::NoSuchName => ("no-such-name.invalid:8788".to_owned(), None),
        Outage::HalfOpen => line(Manner::HalfOpen).await,
        Outage::Garbage => line(Manner::Garbage).await,
        Outage::Slow => {
            switch(r#"{"delay_ms": 20000}"#).await;
            line(Manner::Passes).await
        }
        Outage::Failing => {
            switch(r#"{"fail": 503}"#).await;
            line(Manner::Passes).await
        }
    }
}

/// An outage, what a client gets without another backend, and what a `POST` gets with one: its body streams, so it is sent once.
type Row = (Outage, u16, &'static str, u16);

const ROWS: [Row; 6] = [
    (Outage::Dead, 502, "backend.connect", 502),
    (Outage::NoSuchName, 502, "backend.connect", 502),
    (Outage::HalfOpen, 504, "backend.timeout", 504),
    (Outage::Garbage, 502, "backend.protocol", 502),
    (Outage::Slow, 504, "backend.timeout", 504),
    (Outage::Failing, 503, "backend.error-status", 503),
];

#[tokio::test]
async fn without_another_backend_every_request_is_told_what_is_wrong() {
    for (outage, status, reason, _) in ROWS {
        let (main, _line) = break_down(outage).await;
        let mut edge = Edge::start(&main, "", None).await;
        for line in [PRODUCT, STYLES, NEW_USER].into_iter().cycle().take(3 * TIMES) {
            let answer = edge.ask(line).await;
            assert_eq!((answer.status, answer.reason.as_str()), (status, reason), "{outage:?}: {line}");
            assert!(answer.is_whole, "{outage:?}: {answer:?}");
        }
        edge.accounts_for_all(&format!("{outage:?}")).await;
    }
}

#[tokio::test]
async fn with_another_backend_every_request_that_can_be_repeated_is_answered() {
    for (outage, _, reason, post) in ROWS {
        let (main, _line) = break_down(outage).await;
        let mut edge =
            Edge::start(&main, "breaker = { failures = 3, open = \"1m\" }", Some(start_origin().await)).await;
        // The first three find out that nobody is there; the rest are not even sent there.
        let first = edge.ask(NEW_USER).await;
        assert_eq!(first.status, post, "{outage:?}: {first:?}, after {reason}");
        for line in [PRODUCT, STYLES].into_iter().cycle().take(2 * TIMES) {
            let answer = edge.ask(line).await;
            assert_eq!((answer.status, answer.is_whole), (200, true), "{outage:?}: {line}: {answer:?}");
        }
        let last = edge.ask(NEW_USER).await;
        assert_eq!(last.status, 201, "{outage:?}: what is not sent costs nothing: {last:?}");
        edge.accounts_for_all(&format!("{outage:?} and another backend")).await;
    }
}

#[tokio::test]
async fn a_line_that_comes_and_goes_costs_no_request_that_can_be_repeated() {
    let line = Line::start(Manner::Passes, start_origin().await).await;
    let mut edge = Edge::start(&line.address.to_string(), "", Some(start_origin().await)).await;
    for flap in 0..4 * TIMES {
        line.manner.send_replace(if flap % 2 == 0 { Manner::Cuts } else { Manner::Passes });
        for asked in [PRODUCT, STYLES] {
            let answer = edge.ask(asked).await;
            assert_eq!((answer.status, answer.is_whole), (200, true), "{flap}: {asked}: {answer:?}");
        }
        let answer = edge.ask(NEW_USER).await;
        assert!(matches!(answer.status, 201 | 502), "it is sent once: {answer:?}");
    }
    edge.accounts_for_all("flapping").await;
}

#[tokio::test]
async fn a_truncated_body_is_broken_off_and_counted() {
    let line = Line::start(Manner::Truncates, start_origin().await).await;
    let mut edge = Edge::start(&line.address.to_string(), "", Some(start_origin().await)).await;
    for _ in 0..TIMES {
        let answer = edge.ask(HERO).await;
        assert_eq!((answer.status, answer.is_whole), (200, false), "{answer:?}");
    }
    line.manner.send_replace(Manner::Passes);
    let answer = edge.ask(HERO).await;
    assert_eq!((answer.status, answer.is_whole), (200, true), "{answer:?}");
    edge.accounts_for_all("truncated").await;
}
