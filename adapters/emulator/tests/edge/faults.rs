//! Faults that are set on purpose, over real sockets.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use selvedge_core::health::CircuitState;
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::read;
use selvedge_core::time::Timestamp;
use selvedge_emulator::{Clock, EmulatorConfig, Fault, Faults, ManualClock, PurgeToken};

use crate::support::{Edge, Origin, connect, full, text, whole, with_host};

const TOKEN: &str = "let-me-break-it";

/// A backend `main` with a circuit that opens for ten seconds after two failures, and one behind it.
fn policy(main: SocketAddr, spare: SocketAddr) -> Policy {
    let policy = format!(
        "[backends.main]\nurl = \"http://{main}\"\nfailover = [\"spare\"]\ntimeout = \"5s\"\n\
         breaker = {{ failures = 2, open = \"10s\" }}\n[backends.spare]\nurl = \"http://{spare}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\nbackend = \"main\"\n"
    );
    read(&policy).unwrap_or_else(|errors| panic!("{errors}"))
}

fn circuit(edge: &Edge) -> Option<CircuitState> {
    edge.console.snapshot().backends[0].places[0].circuit
}

#[tokio::test]
async fn a_backend_that_is_made_to_fail_is_failed_over_from_until_it_is_healed() {
    let (main, spare) = (Origin::start().await, Origin::start().await);
    let (faults, clock) = (Faults::default(), ManualClock::new(Timestamp::from_millis(0)));
    let config = EmulatorConfig {
        faults: faults.clone(),
        clock: Clock::Manual(clock.clone()),
        ..EmulatorConfig::default()
    };
    let edge = Edge::start_with(policy(main.address, spare.address), config).await;
    let asked = || [&main, &spare].map(|origin| origin.requests.load(Ordering::SeqCst));

    edge.get("/x").await;
    assert_eq!((asked(), circuit(&edge)), ([1, 0], Some(CircuitState::Closed)));
    faults.set("main", Fault::Fail);
    for _ in 0..2 {
        assert_eq!(edge.get("/x").await.status(), StatusCode::OK, "the next backend answers");
    }
    assert_eq!(asked(), [1, 2], "no request came through");
    let backends = edge.console.snapshot().backends;
    assert_eq!((backends[0].requests, backends[0].failures, backends[1].failures), (3, 2, 0));
    assert_eq!((backends[0].fault, backends[1].fault), (Some(Fault::Fail), None));
    let open = Some(CircuitState::Open(Duration::from_secs(10)));
    assert_eq!(backends[0].places[0].circuit, open);

    faults.heal("main");
    edge.get("/x").await;
    assert_eq!((asked(), circuit(&edge)), ([1, 3], open), "the circuit outlives the fault");
    clock.set(Timestamp::from_millis(10_000));
    assert_eq!(circuit(&edge), Some(CircuitState::HalfOpen));
    edge.get("/x").await;
    assert_eq!(asked(), [2, 3], "it is asked again");
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_backend_that_is_made_slow_takes_so_much_longer() {
    let (main, spare) = (Origin::start().await, Origin::start().await);
    let faults = Faults::default();
    let config = EmulatorConfig { faults: faults.clone(), ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(main.address, spare.address), config).await;
    let delay = Duration::from_millis(200);
    faults.set("main", Fault::Slow(delay));
    let began = Instant::now();
    assert!(text(&edge.get("/x").await).starts_with("answer "));
    assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
    assert_eq!(main.requests.load(Ordering::SeqCst), 1, "it answers all the same");
    faults.set("main", Fault::Slow(Duration::from_secs(600)));
    let waiting = async { edge.get("/x").await };
    let looking = async {
        while edge.console.snapshot().backends[0].in_flight == 0 {
            tokio::task::yield_now().await;
        }
    };
    // Whoever looks first ends the wait: the client goes away, and nothing is in flight any more.
    tokio::select! { _ = waiting => panic!("it is slow"), () = looking => {} }
    let given_up = async {
        while edge.console.snapshot().backends[0].in_flight > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), given_up).await.expect("what is given up is not in flight");
    edge.stop().await.unwrap();
}

async fn set(
    edge: &Edge,
    method: &str,
    backend: &str,
    token: Option<&str>,
    content: &str,
) -> Response<Bytes> {
    let uri = format!("/_selvedge/faults/{backend}");
    let mut request = Request::builder().method(method).uri(uri).body(full(content.to_owned())).unwrap();
    if let Some(token) = token {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    whole(connect(edge.address).await.send_request(with_host(request)).await.unwrap()).await
}

#[tokio::test]
async fn whoever_has_the_token_sets_faults_over_http_and_nobody_else() {
    let (main, spare) = (Origin::start().await, Origin::start().await);
    let policy = || policy(main.address, spare.address);
    let config =
        EmulatorConfig { purge_token: PurgeToken::new(TOKEN.to_owned()), ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(), config).await;
    let fault = || edge.console.snapshot().backends[0].fault;
    let fail = r#"{"kind": "fail"}"#;
    let refused = [
        ("POST", "main", None, fail, 401),
        ("POST", "main", Some("let-me"), fail, 401),
        ("GET", "main", Some(TOKEN), "", 405),
        ("POST", "mian", Some(TOKEN), fail, 404),
        ("POST", "", Some(TOKEN), fail, 404),
        ("POST", "main", Some(TOKEN), r#"{"kind": "broken"}"#, 400),
        ("POST", "main", Some(TOKEN), &"x".repeat(2048), 413),
    ];
    for (method, backend, token, content, status) in refused {
        let answer = set(&edge, method, backend, token, content).await;
        assert_eq!(answer.status(), status, "{method} {backend} {token:?}: {}", text(&answer));
        assert_eq!(fault(), None, "{method} {backend} {token:?}");
    }
    let slow = Fault::Slow(Duration::from_millis(1500));
    let rows = [
        (fail, Some(Fault::Fail)),
        (r#"{"kind": "slow", "delay-ms": 1500}"#, Some(slow)),
        (r#"{"kind": "none"}"#, None),
    ];
    for (content, expected) in rows {
        let answer = set(&edge, "POST", "main", Some(TOKEN), content).await;
        assert_eq!((answer.status().as_u16(), text(&answer)), (200, "set\n"), "{content}");
        assert_eq!(fault(), expected, "{content}");
    }
    edge.stop().await.unwrap();
    let edge = Edge::start(policy()).await;
    let answer = set(&edge, "POST", "main", Some(""), fail).await;
    assert_eq!(answer.status(), 404, "without a token there is no such page");
    edge.stop().await.unwrap();
}
