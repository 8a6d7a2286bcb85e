//! What becomes of the shop when PostgreSQL keeps its connections and answers nobody.

use std::time::Duration;

use selvedge_origin::{Origin, OriginConfig};
use sqlx::{AnyPool, Executor as _, Row as _};

use crate::client::{Answer, get, send};
use crate::outages::{ADA, PATIENCE, insist};
use crate::servers::Postgres;

/// Longer than an operation may take, on a slow machine, and shorter than a request may.
const SOON: Duration = Duration::from_secs(20);

const LOVELACE: &str = r#"{"name":"Ada Lovelace","email":"ada@example.com"}"#;

/// Waits until somebody waits for a lock.
async fn until_locked(database: &AnyPool) {
    let waiting = "SELECT COUNT(*) AS waiting FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    while sqlx::query(waiting).fetch_one(database).await.unwrap().get::<i64, _>("waiting") == 0 {}
}

fn assert_away(answer: &Answer) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_one_that_is_away() {
    let Some(mut postgres) = Postgres::start_if_installed() else { return };
    let url = postgres.new_database_url();
    let config = OriginConfig { database_url: url.parse().unwrap(), ..OriginConfig::default() };
    let origin = Origin::new(&config).await.unwrap();
    let other = AnyPool::connect(&url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    lock.execute("UPDATE users SET email = email WHERE id = 1").await.unwrap();
    let replace = |origin: Origin| async move {
        send(&origin, &format!("PUT {ADA}"), &[("if-match", "*")], LOVELACE).await
    };
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
    let mut lock = other.begin().await.unwrap();
    lock.execute("UPDATE users SET email = email WHERE id = 1").await.unwrap();
    let replacing = tokio::spawn(replace(origin.clone()));
    until_locked(&other).await;
    postgres.pause();
    tokio::time::timeout(SOON, origin.close()).await.expect("an origin that is told to stop stops");
    assert_away(&tokio::time::timeout(SOON, replacing).await.expect("an answer in time").unwrap());
    postgres.go_on();
    drop(lock);
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_any_more_ends() {
    let Some(postgres) = Postgres::start_if_installed() else { return };
    let url = postgres.new_database_url();
    let config = OriginConfig { database_url: url.parse().unwrap(), ..OriginConfig::default() };
    let origin = Origin::new(&config).await.unwrap();
    let other = AnyPool::connect(&url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    lock.execute("UPDATE users SET email = email WHERE id = 1").await.unwrap();
    let answer = send(&origin, &format!("PUT {ADA}"), &[("if-match", "*")], LOVELACE).await;
    assert_away(&answer);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let waiting = "SELECT COUNT(*) AS waiting FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    while sqlx::query(waiting).fetch_one(&other).await.unwrap().get::<i64, _>("waiting") > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the server gives it up");
    }
    lock.rollback().await.unwrap();
}
