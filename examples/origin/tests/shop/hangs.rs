//! What becomes of the shop when PostgreSQL keeps its connections and answers nobody.

use std::time::Duration;

use selvedge_origin::{Origin, OriginConfig};
use sqlx::{Any, AnyPool, Executor as _, Row as _, Transaction};

use crate::client::{Answer, get, send};
use crate::outages::{ADA, PATIENCE, insist};
use crate::servers::Postgres;

/// Longer than an operation may take, on a slow machine, and shorter than a request may.
const SOON: Duration = Duration::from_secs(20);

const LOVELACE: &str = r#"{"name":"Ada Lovelace","email":"ada@example.com"}"#;

/// How many wait for a lock.
async fn waiting(database: &AnyPool) -> i64 {
    let waiting = "SELECT COUNT(*) AS waiting FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    sqlx::query(waiting).fetch_one(database).await.unwrap().get("waiting")
}

/// Waits until somebody waits for a lock.
async fn until_locked(database: &AnyPool) {
    while waiting(database).await == 0 {}
}

/// Holds the lock that replacing Ada needs.
async fn lock_ada(database: &AnyPool) -> Transaction<'static, Any> {
    let mut lock = database.begin().await.unwrap();
    lock.execute("UPDATE users SET email = email WHERE id = 1").await.unwrap();
    lock
}

/// Starts an origin at a new database of `postgres`, with another's connections to it.
async fn start(postgres: &Postgres) -> (Origin, AnyPool) {
    let url = postgres.new_database_url();
    let config = OriginConfig { database_url: url.parse().unwrap(), ..OriginConfig::default() };
    (Origin::new(&config).await.unwrap(), AnyPool::connect(&url).await.unwrap())
}

async fn replace_ada(origin: &Origin) -> Answer {
    send(origin, &format!("PUT {ADA}"), &[("if-match", "*")], LOVELACE).await
}

fn assert_away(answer: &Answer) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_one_that_is_away() {
    let Some(mut postgres) = Postgres::start_if_installed() else { return };
    let (origin, other) = start(&postgres).await;
    let lock = lock_ada(&other).await;
    let replace = |origin: Origin| async move { replace_ada(&origin).await };
    let replacing = tokio::spawn(replace(origin.clone()));
    until_locked(&other).await;
    postgres.pause();
    let reading = ["/api/users/2", "/api/users", "/products", "/ready"].map(|target| {
        let origin = origin.clone();
        tokio::spawn(async move { get(&origin, target).await })
    });
    for waiting in reading.into_iter().chain([replacing]) {
        assert_away(&tokio::time::timeout(SOON, waiting).await.expect("an answer in time").unwrap());
    }
    postgres.go_on();
    lock.rollback().await.unwrap();
    let user = insist(&origin, "GET /api/users/2", &[], "").await;
    assert_eq!(user.json()["name"], "Bela Spinner");
    let replaced = insist(&origin, &format!("PUT {ADA}"), &[("if-match", "*")], LOVELACE).await;
    assert_eq!(replaced.status, 200, "every connection is of use again: {replaced:?}");
    let lock = lock_ada(&other).await;
    let mut replacing = tokio::spawn(replace(origin.clone()));
    until_locked(&other).await;
    postgres.pause();
    tokio::time::timeout(SOON, origin.close()).await.expect("an origin that is told to stop stops");
    let still = tokio::time::timeout(Duration::from_secs(1), &mut replacing).await;
    still.expect_err("it does not wait for who waits for the server");
    assert_away(&tokio::time::timeout(SOON, replacing).await.expect("an answer in time").unwrap());
    postgres.go_on();
    drop(lock);
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_any_more_ends() {
    let Some(postgres) = Postgres::start_if_installed() else { return };
    let (origin, other) = start(&postgres).await;
    let lock = lock_ada(&other).await;
    assert_away(&replace_ada(&origin).await);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while waiting(&other).await > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the server gives it up");
    }
    lock.rollback().await.unwrap();
}
