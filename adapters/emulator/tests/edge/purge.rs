//! Purging over HTTP.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, Response};
use selvedge_core::time::Timestamp;
use selvedge_emulator::{Clock, EmulatorConfig, ManualClock, PurgeToken};
use sha2::Sha256;

use crate::support::{Edge, Origin, connect, full, policy, text, whole, with_host};

const TOKEN: &str = "let-me-purge";

async fn start(origin: &Origin) -> Edge {
    start_in(origin, None).await
}

async fn start_in(origin: &Origin, cache_dir: Option<PathBuf>) -> Edge {
    let purge_token = PurgeToken::new(TOKEN.to_owned());
    let config = EmulatorConfig { purge_token, cache_dir, ..EmulatorConfig::default() };
    Edge::start_with(policy(origin.address), config).await
}

async fn purge(edge: &Edge, method: &str, token: Option<&str>, content: String) -> Response<Bytes> {
    let mut request = Request::builder().method(method).uri("/_selvedge/purge").body(full(content)).unwrap();
    if let Some(token) = token {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    whole(connect(edge.address).await.send_request(with_host(request)).await.unwrap()).await
}

#[tokio::test]
async fn what_is_purged_is_asked_for_again_and_the_rest_is_not() {
    let origin = Origin::start().await;
    let edge = start(&origin).await;
    let host = with_host(Request::new(full(""))).headers()["host"].to_str().unwrap().to_owned();
    let purges = [
        (format!("{{\"urls\": [\"http://{host}/static/one\"]}}"), [true, false]),
        (format!("{{\"prefixes\": [\"http://{host}/static/t\"]}}"), [false, true]),
        ("{\"everything\": true}".to_owned(), [true, true]),
        ("{\"tags\": [\"nobody-has-it\"]}".to_owned(), [false, false]),
        ("{\"everything\": true, \"soft\": true}".to_owned(), [true, true]),
    ];
    for (content, concerns) in purges {
        let before = [edge.get("/static/one").await, edge.get("/static/two").await];
        let answer = purge(&edge, "POST", Some(TOKEN), content.clone()).await;
        assert_eq!((answer.status().as_u16(), text(&answer)), (200, "purged\n"), "{content}");
        let after = [edge.get("/static/one").await, edge.get("/static/two").await];
        for (at, concerned) in concerns.into_iter().enumerate() {
            assert_eq!(text(&before[at]) != text(&after[at]), concerned, "{content}: {at}");
        }
    }
}

#[tokio::test]
async fn what_was_purged_is_not_there_again_after_a_restart() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let edge = start_in(&origin, Some(dir.path().to_owned())).await;
    let paths = ["/static/film", "/static/film-in-parts"];
    for path in paths {
        edge.get(path).await;
    }
    let host = with_host(Request::new(full(""))).headers()["host"].to_str().unwrap().to_owned();
    let content = format!("{{\"urls\": [\"http://{host}{}\"]}}", paths[0]);
    assert_eq!(purge(&edge, "POST", Some(TOKEN), content).await.status(), 200);
    edge.stop().await.unwrap();
    let edge = start_in(&origin, Some(dir.path().to_owned())).await;
    for path in paths {
        edge.get(path).await;
    }
    assert_eq!(origin.requests.load(Ordering::SeqCst), 3, "only what was purged was asked for again");
}

#[tokio::test]
async fn a_response_on_its_way_is_purged_too() {
    let origin = Origin::start().await;
    let edge = start(&origin).await;
    let purged = async {
        origin.arrived.notified().await;
        purge(&edge, "POST", Some(TOKEN), "{\"everything\": true}".to_owned()).await;
        origin.gate.notify_one();
    };
    let (first, ()) = tokio::join!(edge.get("/static/gate"), purged);
    assert_eq!(text(&first), "through the gate", "it is still for who asked");
    origin.gate.notify_one();
    edge.get("/static/gate").await;
    assert_eq!(origin.requests.load(Ordering::SeqCst), 2, "and for nobody later");
}

#[tokio::test]
async fn only_the_token_and_a_whole_request_purge() {
    let origin = Origin::start().await;
    let edge = start(&origin).await;
    edge.get("/static/one").await;
    let everything = "{\"everything\": true}";
    let rows = [
        ("POST", None, everything, 401),
        ("POST", Some("let-me"), everything, 401),
        ("GET", Some(TOKEN), "", 405),
        ("POST", Some(TOKEN), "", 400),
        ("POST", Some(TOKEN), "{}", 400),
        ("POST", Some(TOKEN), "{\"url\": [\"http://a.test/\"]}", 400),
        ("POST", Some(TOKEN), "{\"urls\": [\"/static/one\"]}", 400),
        ("POST", Some(TOKEN), &"x".repeat(65 * 1024), 413),
    ];
    for (method, token, content, status) in rows {
        let answer = purge(&edge, method, token, content.to_owned()).await;
        assert_eq!(answer.status(), status, "{method} {token:?} {}: {}", content.len(), text(&answer));
    }
    edge.get("/static/one").await;
    assert_eq!(origin.requests.load(Ordering::SeqCst), 1, "nothing was purged");
    let edge = Edge::start(policy(origin.address)).await;
    let answer = purge(&edge, "POST", Some(""), everything.to_owned()).await;
    assert_eq!(answer.status(), 404, "without a token there is no such page");
}

/// Milliseconds since 1970 at which the clock of the tests of signatures stands.
const NOW: u64 = 1_764_338_400_000;

async fn start_at(origin: &Origin, clock: &ManualClock) -> Edge {
    let purge_token = PurgeToken::new(TOKEN.to_owned());
    let config =
        EmulatorConfig { purge_token, clock: Clock::Manual(clock.clone()), ..EmulatorConfig::default() };
    Edge::start_with(policy(origin.address), config).await
}

fn signed(token: &str, seconds: u64, content: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).unwrap();
    let tag = mac.chain_update(format!("{seconds}.{content}")).finalize().into_bytes();
    format!("t={seconds}, v1={}", tag.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

async fn purge_signed(edge: &Edge, signature: &str, content: &str) -> u16 {
    let request = Request::post("/_selvedge/purge").header("selvedge-signature", signature);
    let request = request.body(full(content.to_owned())).unwrap();
    let answer = connect(edge.address).await.send_request(with_host(request)).await.unwrap();
    whole(answer).await.status().as_u16()
}

#[tokio::test]
async fn a_signature_purges_what_was_signed_and_only_for_its_time() {
    let (origin, clock) = (Origin::start().await, ManualClock::new(Timestamp::from_millis(NOW)));
    let edge = start_at(&origin, &clock).await;
    let (now, everything) = (NOW / 1000, "{\"everything\": true}");
    let rows = [
        ("another token", signed("let-me", now, everything), everything),
        ("another content", signed(TOKEN, now, "{\"tags\": [\"a\"]}"), everything),
        (
            "another time",
            signed(TOKEN, now, everything).replace(&now.to_string(), &(now + 1).to_string()),
            everything,
        ),
        ("a time that is over", signed(TOKEN, now - 301, everything), everything),
        ("a time to come", signed(TOKEN, now + 301, everything), everything),
        ("no signature", "t=, v1=".to_owned(), everything),
        ("the token in its place", TOKEN.to_owned(), everything),
    ];
    edge.get("/static/one").await;
    for (what, signature, content) in rows {
        assert_eq!(purge_signed(&edge, &signature, content).await, 401, "{what}");
    }
    edge.get("/static/one").await;
    assert_eq!(origin.requests.load(Ordering::SeqCst), 1, "nothing was purged");
    for age in [0, 300] {
        let signature = signed(TOKEN, now - age, everything);
        assert_eq!(purge_signed(&edge, &signature, everything).await, 200, "{age} seconds old");
    }
    edge.get("/static/one").await;
    assert_eq!(origin.requests.load(Ordering::SeqCst), 2, "it was purged");
}

#[tokio::test]
async fn a_notice_that_comes_again_purges_again_and_no_more() {
    let (origin, clock) = (Origin::start().await, ManualClock::new(Timestamp::from_millis(NOW)));
    let edge = start_at(&origin, &clock).await;
    let host = with_host(Request::new(full(""))).headers()["host"].to_str().unwrap().to_owned();
    let content = format!("{{\"urls\": [\"http://{host}/static/one\"]}}");
    let signature = signed(TOKEN, NOW / 1000, &content);
    for path in ["/static/one", "/static/two"] {
        edge.get(path).await;
    }
    for (requests, later) in [(3, 1_000), (4, 2_000)] {
        assert_eq!(purge_signed(&edge, &signature, &content).await, 200);
        // What is stored in the millisecond of a purge counts as purged.
        clock.set(Timestamp::from_millis(NOW + later));
        for path in ["/static/one", "/static/two", "/static/one"] {
            text(&edge.get(path).await);
        }
        assert_eq!(origin.requests.load(Ordering::SeqCst), requests, "one request more, for what was named");
    }
    clock.set(Timestamp::from_millis(NOW + 301_000));
    assert_eq!(purge_signed(&edge, &signature, &content).await, 401, "nobody keeps it for later");
}
