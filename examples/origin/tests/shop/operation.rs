//! The origin as a program and as a server.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use selvedge_origin::{Edge, Origin, OriginConfig, Secret, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::client::{create, get};

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends bytes and reads until the server has no more to say.
async fn talk(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that cuts the connection off has said what it had to say.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_origin_is_live_and_ready() {
    let origin = Origin::new(&OriginConfig::default()).await.unwrap();
    assert_eq!(get(&origin, "/health").await.body, r#"{"status":"ok"}"#);
    assert_eq!(get(&origin, "/ready").await.body, r#"{"status":"ready"}"#);
    origin.close().await;
    let away = get(&origin, "/ready").await;
    assert_eq!((away.status, away.header("content-type")), (503, "application/problem+json"));
    for target in ["/products", "/api/user?id=1", "/api/users/1", "/api/products"] {
        let away = get(&origin, target).await;
        assert_eq!((away.status, away.header("retry-after")), (503, "1"), "{target}: {away:?}");
        assert_eq!(away.header("content-type"), "application/problem+json", "{target}");
    }
    assert_eq!(get(&origin, "/health").await.status, 200, "an origin without a database still lives");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_503() {
    let config = OriginConfig { request_timeout: Duration::from_millis(100), ..OriginConfig::default() };
    let origin = Origin::new(&config).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener, &origin, std::future::pending()).await });
    let request = "POST /api/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\nconnection: close\r\n\r\nhalf";
    let answer = talk(address, request).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("the request took too long"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_say_what_it_wants_is_let_go() {
    let config = OriginConfig { header_timeout: Duration::from_millis(100), ..OriginConfig::default() };
    let origin = Origin::new(&config).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener, &origin, std::future::pending()).await });
    for begun in ["", "P", "PRI * HTTP/2.0\r\n", "PUT", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        assert_eq!(talk(address, begun).await, "", "{begun:?}");
    }
    let slow = "POST /api/echo HTTP/1.1\r\nhost: a\r\nx-origin-delay: 300ms\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert!(talk(address, slow).await.starts_with("HTTP/1.1 200 "), "an answer may take longer than that");
}

#[tokio::test]
async fn requests_in_flight_end_before_the_origin_does_unless_they_exceed_the_limit() {
    let request = |delay_ms: u32| {
        format!(
            "GET /api/user?id=1 HTTP/1.1\r\nhost: a\r\nx-origin-delay: {delay_ms}ms\r\nconnection: close\r\n\r\n"
        )
    };
    for (delay_ms, drain_limit, is_answered) in
        [(300, Duration::from_secs(20), true), (60_000, Duration::from_millis(100), false)]
    {
        let origin = Origin::new(&OriginConfig { drain_limit, ..OriginConfig::default() }).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let counting = origin.clone();
        let serving =
            tokio::spawn(async move { serve(listener, &origin, async { drop(stopped.await) }).await });
        let request = request(delay_ms);
        let answer = tokio::spawn(async move { talk(address, &request).await });
        while !get(&counting, "/_requests").await.body.contains("/api/user") {
            tokio::task::yield_now().await;
        }
        assert_eq!(get(&counting, "/ready").await.status, 200);
        stop.send(()).unwrap();
        while get(&counting, "/ready").await.status != 503 {
            assert!(!serving.is_finished(), "it is not ready before it has ended");
            tokio::task::yield_now().await;
        }
        tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
        if is_answered {
            assert!(answer.await.unwrap().contains("Ada Weaver"), "the request was in flight");
        } else {
            assert!(!answer.is_finished(), "nobody waits a minute");
        }
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start() {
    let edge: Edge = "http://127.0.0.1:1".parse().unwrap();
    let default = OriginConfig::default;
    let rows = [
        (OriginConfig { edges: vec![edge], ..default() }, "SELVEDGE_PURGE_TOKEN"),
        (
            OriginConfig { database_url: Secret::new("mysql://a:hunter2@b/c"), ..default() },
            "sqlite: or postgres:",
        ),
        (OriginConfig { cache_url: Some(Secret::new("http://a:hunter2@b")), ..default() }, "none of Redis"),
    ];
    for (config, message) in rows {
        let error = format!("{:#}", Origin::new(&config).await.expect_err(message));
        assert!(error.contains(message) && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_file_keeps_the_shop_from_one_run_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let config = OriginConfig::default().with_database_file(&folder.path().join("a shop?#%.db"));
    let first = Origin::new(&config).await.unwrap();
    let place = create(&first, "/api/users", r#"{"name":"Anni","email":"anni@example.com"}"#).await;
    first.close().await;
    let second = Origin::new(&config).await.unwrap();
    assert_eq!(get(&second, &place).await.json()["name"], "Anni");
    assert!(folder.path().join("a shop?#%.db").exists(), "the file has the name that was asked for");
}

/// The program, killed when it is dropped.
pub(crate) struct Program(Child);

impl Program {
    /// Starts the program on a port of its own, and waits until it listens.
    pub(crate) fn start(options: &[&str], environment: &[(&str, &str)]) -> (Self, SocketAddr) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-origin"));
        command
            .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(options)
            .env("RUST_LOG", "info");
        command.envs(environment.iter().copied()).stderr(Stdio::piped());
        let mut program = Self(command.spawn().unwrap());
        let mut lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
        let address = loop {
            let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            if line_says(&line, "listening") {
                break line["address"].as_str().unwrap().parse().unwrap();
            }
        };
        // Whoever writes to a pipe that nobody reads waits.
        std::thread::spawn(move || lines.for_each(drop));
        (program, address)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_program_logs_json_and_ends_at_either_signal() {
    for signal in ["-INT", "-TERM"] {
        let (mut program, address) = Program::start(&[], &[]);
        assert!(address.port() > 0, "{address}");
        let process = program.0.id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = program.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{signal} ends the program");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{signal}: {status}");
    }
}

#[tokio::test]
async fn the_program_fails_on_demand_only_when_it_is_told_to() {
    for (options, statuses) in [(&[] as &[&str], ["200", "404"]), (&["--faults"], ["418", "200"])] {
        let (_program, address) = Program::start(options, &[]);
        for (request, status) in
            ["/about HTTP/1.1\r\nx-origin-fail: 418", "/_switch HTTP/1.1"].iter().zip(statuses)
        {
            let answer =
                talk(address, &format!("GET {request}\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{options:?} {request}: {answer}");
        }
    }
}

fn line_says(line: &serde_json::Value, message: &str) -> bool {
    line["message"] == message
}
