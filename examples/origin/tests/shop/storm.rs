//! PostgreSQL and Redis killed together, again and again, under the load of a program that is reached by its socket.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use selvedge_origin::{Origin, OriginConfig};
use serde_json::Value;
use sqlx::{AnyPool, Row as _};
use tokio::net::TcpListener;

use crate::client::{Remote, get};
use crate::operation::Program;
use crate::outages::PATIENCE;
use crate::servers::{Postgres, Redis};

const WRITERS: usize = 6;

/// How often both servers are killed.
const STORMS: u64 = 4;

/// Changes that are acknowledged between two kills.
const CALM: u64 = 40;

/// An edge that asks the origin again for what it is told of, and keeps the answer.
#[derive(Clone)]
struct KeepingEdge {
    origin: Remote,
    database: AnyPool,
    kept: Arc<Mutex<HashMap<String, String>>>,
    /// What it kept though there was a later version when it heard of a change.
    stale: Arc<Mutex<Vec<String>>>,
}

/// The version of a tag such as `"3-19a3f2b7c00"`.
fn version(etag: &str) -> i64 {
    etag.trim_matches('"').split('-').next().unwrap().parse().unwrap()
}

async fn hear(State(edge): State<KeepingEdge>, body: String) -> StatusCode {
    let told: Value = serde_json::from_str(&body).unwrap();
    let tags = told["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap());
    for id in tags.filter_map(|tag| tag.strip_prefix("product-")) {
        let committed = committed(&edge.database, id.parse().unwrap()).await;
        let read = edge.origin.insist(&format!("GET /api/products/{id}"), &[], "").await;
        assert_eq!(read.status, 200, "{read:?}");
        if version(read.header("etag")) < committed {
            edge.stale.lock().unwrap().push(format!("{committed} was committed: {read:?}"));
        }
        edge.kept.lock().unwrap().insert(format!("/api/products/{id}"), read.body);
    }
    StatusCode::OK
}

/// The version that the database has of a product, which no notice that has come can be beyond.
async fn committed(database: &AnyPool, id: i64) -> i64 {
    insist_on(database, &format!("SELECT version AS number FROM products WHERE id = {id}")).await
}

/// Asks the database itself until it answers.
async fn insist_on(database: &AnyPool, select: &str) -> i64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match sqlx::query(sqlx::AssertSqlSafe(select.to_owned())).fetch_one(database).await {
            Ok(row) => return row.get("number"),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was acknowledged of one record: where it is, how often it was written, and the last content.
struct Acknowledged {
    place: String,
    version: i64,
    body: String,
}

/// Creates a product and replaces it until the storm is over; reads each change back.
async fn write(
    origin: Remote,
    writer: usize,
    is_over: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> Acknowledged {
    let content = |price: i64| format!(r#"{{"name":"of {writer}","price_cents":{price}}}"#);
    let key = format!("create-{writer}");
    let mut last = origin.insist("POST /api/products", &[("idempotency-key", &key)], &content(1)).await;
    assert_eq!(last.status, 201, "{last:?}");
    let place = last.header("location").to_owned();
    let mut expected = 1;
    while !is_over.load(Ordering::Relaxed) {
        expected += 1;
        let key = format!("replace-{writer}-{expected}");
        let headers = [("idempotency-key", key.as_str()), ("if-match", last.header("etag"))];
        let replaced = origin.insist(&format!("PUT {place}"), &headers, &content(expected)).await;
        assert_eq!((replaced.status, version(replaced.header("etag"))), (200, expected), "{replaced:?}");
        let read = origin.insist(&format!("GET {place}"), &[], "").await;
        assert_eq!(read.body, replaced.body, "a read begins after the write has ended");
        count.fetch_add(1, Ordering::Relaxed);
        last = replaced;
    }
    Acknowledged { place, version: expected, body: last.body }
}

async fn until(is_so: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_killed_again_and_again_lose_nothing_and_leave_no_edge_behind() {
    let Some(mut postgres) = Postgres::start_if_installed() else { return };
    let Some(mut redis) = Redis::start_if_installed() else { return };
    let url = postgres.new_database_url();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge_url = format!("http://{}", listener.local_addr().unwrap());
    let options = ["--database-url", &url, "--cache-url", &redis.url_text(), "--edge", &edge_url];
    let (_program, address) = Program::start(&options, &[("SELVEDGE_PURGE_TOKEN", "s3cret")]);
    let (origin, database) = (Remote::new(address), AnyPool::connect_lazy(&url).unwrap());
    let edge = KeepingEdge {
        origin: origin.clone(),
        database: database.clone(),
        kept: Arc::default(),
        stale: Arc::default(),
    };
    let router = Router::new().route("/_selvedge/purge", post(hear)).with_state(edge.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (is_over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(origin.clone(), writer, Arc::clone(&is_over), Arc::clone(&count))))
        .collect();
    for _ in 0..STORMS {
        let before = count.load(Ordering::Relaxed);
        until(|| count.load(Ordering::Relaxed) >= before + CALM, "writers come on").await;
        (postgres, redis) = tokio::task::spawn_blocking(move || {
            redis.save();
            redis.kill();
            postgres.kill();
            postgres.start();
            redis.start();
            (postgres, redis)
        })
        .await
        .unwrap();
    }
    let before = count.load(Ordering::Relaxed);
    until(|| count.load(Ordering::Relaxed) >= before + CALM, "the origin recovers by itself").await;
    is_over.store(true, Ordering::Relaxed);
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.unwrap());
    }
    assert_nothing_is_lost(&url, &origin, &database, &written).await;
    while insist_on(&database, "SELECT COUNT(*) AS number FROM outbox").await > 0 {}
    assert_eq!(*edge.stale.lock().unwrap(), [""; 0]);
    for Acknowledged { place, body, .. } in &written {
        assert_eq!(
            edge.kept.lock().unwrap().get(place),
            Some(body),
            "what the edge has kept is the last of it"
        );
    }
}

/// Reads everything back: from the origin, from the database, and from an origin that begins with nothing else.
async fn assert_nothing_is_lost(url: &str, origin: &Remote, database: &AnyPool, written: &[Acknowledged]) {
    let config = OriginConfig { database_url: url.parse().unwrap(), ..OriginConfig::default() };
    let other = Origin::new(&config).await.unwrap();
    for Acknowledged { place, version, body } in written {
        let id = place.rsplit('/').next().unwrap().parse().unwrap();
        assert_eq!(committed(database, id).await, *version, "{place}: each change was made once");
        assert_eq!(&origin.insist(&format!("GET {place}"), &[], "").await.body, body);
        assert_eq!(&get(&other, place).await.body, body);
    }
    let count = insist_on(database, "SELECT COUNT(*) AS number FROM products").await;
    assert_eq!(usize::try_from(count).unwrap(), 3 + written.len(), "a key has created one product");
}
