//! The access log: a line for each request, in a file.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use selvedge_core::engine::Engine;
use selvedge_core::log::Log;
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::read;
use selvedge_emulator::{AccessLog, EmulatorConfig, LogQuery, LogTarget, SampleRate};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{AnyBody, Edge, FILM_BYTES, Origin, connect, empty, info, policy, whole, with_host};

/// An edge that logs into a file.
struct Logging {
    edge: Edge,
    dir: tempfile::TempDir,
    origin: Origin,
}

impl Logging {
    async fn start(choose: impl FnOnce(&mut AccessLog)) -> Self {
        Self::allowing(Log::default(), choose).await
    }

    /// One whose policy allows this.
    async fn allowing(allowed: Log, choose: impl FnOnce(&mut AccessLog)) -> Self {
        let (dir, origin) = (tempfile::tempdir().unwrap(), Origin::start().await);
        let mut log = AccessLog::new(LogTarget::File(file(&dir)));
        choose(&mut log);
        let config = EmulatorConfig { access_log: Some(log), ..EmulatorConfig::default() };
        let policy = Policy { log: allowed, ..policy(origin.address) };
        Self { edge: Edge::start_with(policy, config).await, dir, origin }
    }

    async fn send(&self, request: http::request::Builder) -> Response<Bytes> {
        send(&self.edge, request.body(empty()).unwrap()).await
    }

    /// Stops the edge, which writes the last lines, and returns all.
    async fn lines(self) -> Vec<Value> {
        self.edge.stop().await.unwrap();
        let text = std::fs::read_to_string(file(&self.dir)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("access.log")
}

async fn send(edge: &Edge, request: Request<AnyBody>) -> Response<Bytes> {
    whole(connect(edge.address).await.send_request(with_host(request)).await.unwrap()).await
}

#[tokio::test]
async fn a_line_tells_what_came_of_a_request_and_nothing_of_its_secrets() {
    let logging = Logging::start(|_| {}).await;
    for _ in 0..2 {
        let request = Request::get("/static/a?token=s3cret")
            .header("cookie", "session=s3cret")
            .header("user-agent", "s3cret agent");
        assert_eq!(logging.send(request).await.status(), StatusCode::OK);
    }
    let authorized = Request::get("/page").header("authorization", "Bearer s3cret");
    assert_eq!(logging.send(authorized).await.status(), StatusCode::OK);
    assert_eq!(logging.edge.get("/_selvedge/").await.status(), StatusCode::OK);
    let text_length = "answer 1".len();
    let lines = logging.lines().await;
    assert_eq!(lines.len(), 3, "the edge's own pages are not logged: {lines:#?}");
    let [miss, hit] = [&lines[0], &lines[1]];
    for (name, expected) in [
        ("selvedge", "access"),
        ("method", "GET"),
        ("host", "shop.example"),
        ("path", "/static/a"),
        ("protocol", "HTTP/1.1"),
        ("route", "/static/{*rest}"),
        ("device", "unknown"),
    ] {
        assert_eq!((&miss[name], &hit[name]), (&expected.into(), &expected.into()), "{name}");
    }
    assert_eq!(
        (&hit["status"], &hit["bytes_out"], &hit["aborted"]),
        (&200.into(), &text_length.into(), &false.into())
    );
    assert!(hit["time"].as_str().unwrap().ends_with('Z'), "{hit}");
    assert_eq!((&miss["cache"], &hit["cache"]), (&"cache.miss".into(), &"cache.hit".into()));
    assert_eq!((&miss["outcome"], &hit["outcome"]), (&"backend.responded".into(), &"cache.hit".into()));
    assert_eq!(
        (&miss["backend"], hit.get("origin_ms")),
        (&"origin".into(), None),
        "a hit waits for no backend"
    );
    assert!(hit["cache_status"].as_str().unwrap().starts_with("Selvedge;hit"), "{hit}");
    assert!(hit["cache_ms"].is_number() && miss["cache_ms"].is_number(), "the store was asked: {hit}");
    assert_eq!(lines[2].get("cache_ms"), None, "it was not: {}", lines[2]);
    let times = ["origin_ms", "head_ms", "duration_ms"].map(|name| miss[name].as_f64().unwrap());
    assert!(times[0] > 0.0 && times.is_sorted(), "{times:?}");
    assert_eq!(hit["request_id"].as_str().unwrap().len(), 32);
    assert_ne!(hit["request_id"], miss["request_id"]);
    for line in lines {
        let line = line.to_string();
        assert!(!line.contains("s3cret") && !line.contains("127.0.0.1"), "{line}");
    }
}

#[tokio::test]
async fn queries_and_addresses_are_there_for_who_wants_them() {
    for (query, expected) in [(LogQuery::Names, "page&token"), (LogQuery::Whole, "page=2&token=x")] {
        let logging = Logging::start(|log| (log.query, log.address) = (query, true)).await;
        logging.edge.get("/address?page=2&token=x").await;
        let posed = Request::get("/address").header("selvedge-client-ip", "203.0.113.9");
        logging.send(posed).await;
        let lines = logging.lines().await;
        assert_eq!((&lines[0]["query"], &lines[0]["address"]), (&expected.into(), &"127.0.0.1".into()));
        assert_eq!((lines[1].get("query"), &lines[1]["address"]), (None, &"203.0.113.9".into()));
    }
}

#[tokio::test]
async fn what_the_policy_allows_is_in_the_line_too() {
    let (names, whole) = (LogQuery::Names, LogQuery::Whole);
    let rows = [
        (Log { query: names, ..Log::default() }, LogQuery::Omit, [Some("page"), None, None]),
        (Log { query: names, ..Log::default() }, whole, [Some("page=2"), None, None]),
        (Log { query: whole, ..Log::default() }, names, [Some("page=2"), None, None]),
        (Log { client_address: true, ..Log::default() }, LogQuery::Omit, [None, Some("127.0.0.1"), None]),
        (Log { user_agent: true, ..Log::default() }, LogQuery::Omit, [None, None, Some("agent")]),
    ];
    for (allowed, query, expected) in rows {
        let logging = Logging::allowing(allowed, |log| log.query = query).await;
        logging.send(Request::get("/address?page=2").header("user-agent", "agent")).await;
        let line = &logging.lines().await[0];
        let told = ["query", "address", "user_agent"].map(|name| line.get(name).and_then(Value::as_str));
        assert_eq!(told, expected, "{allowed:?} and {query:?}");
    }
}

#[tokio::test]
async fn what_failed_before_another_backend_answered_is_in_the_line() {
    let logging = Logging::start(|_| {}).await;
    let text = format!(
        "[backends.dead]\nurl = \"http://127.0.0.1:9\"\nfailover = [\"origin\"]\n\
         breaker = {{ failures = 1, open = \"5m\" }}\n[backends.origin]\nurl = \"http://{}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\nbackend = \"dead\"\ncache = {{ store = false }}\n",
        logging.origin.address
    );
    let policy = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
    logging.edge.engine.replace(Arc::new(Engine::compile(policy).unwrap()), info("failover"));
    for _ in 0..2 {
        assert_eq!(logging.edge.get("/page").await.status(), StatusCode::OK);
    }
    let lines = logging.lines().await;
    let told =
        |line: &Value| ["outcome", "backend", "failed_over", "attempts"].map(|name| line[name].clone());
    let answered = |why: &str, attempts| ["backend.responded".into(), "origin".into(), why.into(), attempts];
    assert_eq!(told(&lines[0]), answered("backend.connect", 2.into()));
    assert_eq!(told(&lines[1]), answered("backend.circuit-open", Value::Null));
    let times = ["origin_ms", "head_ms"].map(|name| lines[0][name].as_f64().unwrap());
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn a_sample_has_every_failure_of_the_edge() {
    let logging = Logging::start(|log| log.sample = SampleRate::new(0.0).unwrap()).await;
    for path in ["/address", "/never", "/page"] {
        logging.edge.get(path).await;
    }
    let lines = logging.lines().await;
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let line = &lines[0];
    assert_eq!(
        (&line["path"], &line["status"], &line["outcome"]),
        (&"/never".into(), &504.into(), &"backend.timeout".into())
    );
    assert_eq!((&line["backend"], &line["aborted"]), (&"impatient".into(), &false.into()));
}

#[tokio::test]
async fn a_client_that_goes_away_is_in_the_log() {
    let logging = Logging::start(|_| {}).await;
    // In the middle of the body.
    let mut client = connect(logging.edge.address).await;
    let request = with_host(Request::get("/static/zeros/1000000000").body(empty()).unwrap());
    let mut response = client.send_request(request).await.unwrap();
    response.frame().await.unwrap().unwrap();
    drop((response, client));
    // Before there is a head.
    let mut client = TcpStream::connect(logging.edge.address).await.unwrap();
    client.write_all(b"GET /gate HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
    logging.origin.arrived.notified().await;
    drop(client);
    let lines = logging.lines().await;
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    let cut = of("/static/zeros/1000000000");
    assert_eq!((&cut["aborted"], &cut["status"]), (&true.into(), &200.into()));
    let bytes = cut["bytes_out"].as_u64().unwrap();
    assert!((1..1_000_000_000).contains(&bytes), "{bytes}");
    let early = of("/gate");
    assert_eq!((&early["aborted"], early.get("status"), early.get("outcome")), (&true.into(), None, None));
}

#[tokio::test]
async fn a_body_that_its_source_breaks_off_is_aborted_and_a_whole_one_is_not() {
    let logging = Logging::start(|_| {}).await;
    let mut client = connect(logging.edge.address).await;
    let request = with_host(Request::get("/static/broken-once").body(empty()).unwrap());
    let broken = client.send_request(request).await.unwrap().into_body().collect().await;
    assert!(broken.is_err(), "it breaks off at the client, too");
    let mut expected = vec![("GET", "/static/broken-once", true, None)];
    for (method, path, bytes) in [
        ("GET", "/static/film", FILM_BYTES),
        ("GET", "/static/film-in-parts", FILM_BYTES),
        ("HEAD", "/static/film", 0),
        ("HEAD", "/address", 0),
        ("GET", "/address", 9),
    ] {
        let request = Request::builder().method(method).uri(path);
        assert_eq!(logging.send(request).await.status(), StatusCode::OK, "{method} {path}");
        expected.push((method, path, false, Some(bytes)));
    }
    let lines = logging.lines().await;
    assert_eq!(lines.len(), expected.len());
    for (line, (method, path, is_aborted, bytes)) in lines.iter().zip(expected) {
        assert_eq!((&line["method"], &line["path"]), (&method.into(), &path.into()), "lines come in order");
        assert_eq!(line["aborted"], is_aborted, "{line}");
        if let Some(bytes) = bytes {
            assert_eq!(line["bytes_out"], bytes, "{line}");
        }
    }
}

#[tokio::test]
async fn what_a_client_writes_stays_within_its_line_and_its_bounds() {
    let logging = Logging::allowing(Log { user_agent: true, ..Log::default() }, |_| {}).await;
    let mut client = TcpStream::connect(logging.edge.address).await.unwrap();
    let line = format!("GET /{} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n", "x".repeat(5000));
    client.write_all(line.as_bytes()).await.unwrap();
    client.write_all(b"User-Agent: \"},\xc3\x28\t{\"a\":\"\xc2\x9b31m\xe2\x80\xae\r\n\r\n").await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    logging.edge.stop().await.unwrap();
    let text = std::fs::read_to_string(file(&logging.dir)).unwrap();
    let is_obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!text.contains(is_obeyed), "a terminal that shows it obeys nothing of it: {text:?}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0]["user_agent"].as_str().unwrap().ends_with("\u{9b}31m\u{202e}"), "{}", lines[0]);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["path"].as_str().unwrap().len(), 2048, "{}", lines[0]["status"]);
    assert!(lines[0]["user_agent"].as_str().unwrap().starts_with("\"},"), "{}", lines[0]);
}

#[tokio::test]
async fn credentials_in_an_address_are_no_part_of_the_host() {
    let logging = Logging::start(|_| {}).await;
    for target in ["http://ada:s3cret@shop.example:80/address", "/address"] {
        let mut client = TcpStream::connect(logging.edge.address).await.unwrap();
        let head =
            format!("GET {target} HTTP/1.1\r\nHost: ada:s3cret@shop.example:80\r\nConnection: close\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    }
    let lines = logging.lines().await;
    let hosts: Vec<&Value> = lines.iter().map(|line| &line["host"]).collect();
    assert_eq!(hosts, ["shop.example:80", "shop.example:80"], "{lines:#?}");
}

#[tokio::test]
async fn variations_bot_and_country_are_in_the_line() {
    let policy = "[backends.a]\nurl = \"http://127.0.0.1:9\"\n\
        [experiments.hero]\npaths = \"/\"\nsticky = { cookie = \"hero\", max-age = \"30d\" }\n\
        force-query = \"hero\"\ninclude-bots = true\n\
        variations = [{ name = \"plain\", weight = 1 }, { name = \"bold\", weight = 1 }]\n\
        [[routes]]\npath = \"/{*rest}\"\nrespond = { body = \"hello\" }\n";
    let policy = read(policy).unwrap_or_else(|errors| panic!("{errors}"));
    let logging = Logging::start(|_| {}).await;
    logging.edge.engine.replace(Arc::new(Engine::compile(policy).unwrap()), info("second"));
    let request = Request::get("/?hero=bold")
        .header("user-agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148");
    assert_eq!(logging.send(request).await.status(), StatusCode::OK);
    let lines = logging.lines().await;
    assert_eq!(lines[0]["variations"], serde_json::json!({ "hero": "bold" }), "{}", lines[0]);
    assert_eq!(lines[0]["device"], "mobile");
    assert!(lines[0]["bot"].is_string(), "{}", lines[0]);
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_keeps_the_edge_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let access_log = Some(AccessLog::new(LogTarget::File(dir.path().join("none/access.log"))));
    let listen = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    let config = EmulatorConfig { access_log, listen, ..EmulatorConfig::default() };
    let engine = crate::support::engine(policy(listen));
    let error =
        selvedge_emulator::Emulator::bind(config, selvedge_emulator::EngineHandle::new(engine, info("a")));
    let message = format!("{:#}", error.unwrap_err());
    assert!(message.contains("none/access.log"), "{message}");
}
