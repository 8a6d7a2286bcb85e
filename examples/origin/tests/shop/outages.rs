//! What becomes of the shop when its servers are killed under load.

use std::time::{Duration, Instant};

use selvedge_origin::{Origin, OriginConfig};
use sqlx::{AnyPool, Executor as _};

use crate::client::{Answer, get, send};
use crate::servers::{Postgres, Redis};

pub(crate) const ADA: &str = "/api/users/1";

const WRITERS: usize = 6;
const ROUNDS: usize = 60;

/// How long a request is repeated before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Asks until the database is there again.
pub(crate) async fn insist(origin: &Origin, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = send(origin, line, headers, body).await;
        if answer.status != 503 || Instant::now() > deadline {
            return answer;
        }
        assert_eq!(answer.header("retry-after"), "1", "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Creates a user, then changes it again and again and reads each change back; returns where it is and its last name.
///
/// A change whose answer was lost may hold all the same: then its tag fails, and the record is what was asked for.
async fn write_and_read(origin: Origin, writer: usize) -> (String, String) {
    let key = format!("writer-{writer}");
    let body = |round: usize| format!(r#"{{"name":"{writer} {round}","email":"a@example.com"}}"#);
    let created = insist(&origin, "POST /api/users", &[("idempotency-key", &key)], &body(0)).await;
    assert_eq!(created.status, 201, "{created:?}");
    let place = created.header("location").to_owned();
    let mut etag = created.header("etag").to_owned();
    for round in 1..=ROUNDS {
        let replaced = insist(&origin, &format!("PUT {place}"), &[("if-match", &etag)], &body(round)).await;
        assert!(matches!(replaced.status, 200 | 412), "{replaced:?}");
        let read = insist(&origin, &format!("GET {place}"), &[], "").await;
        assert_eq!(
            read.json()["name"],
            format!("{writer} {round}"),
            "a read begins after the write has ended"
        );
        etag = read.header("etag").to_owned();
    }
    (place, format!("{writer} {ROUNDS}"))
}

/// Runs the writers; after a third of the time that they take undisturbed, `disturb` has its way.
async fn under_load(origin: &Origin, disturb: impl FnOnce() + Send + 'static) -> Vec<(String, String)> {
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write_and_read(origin.clone(), writer))).collect();
    let deadline = Instant::now() + PATIENCE;
    let is_under_way = async || {
        let users = get(origin, "/api/users?limit=100").await.json();
        users["items"].as_array().unwrap().iter().any(|user| user["name"].as_str().unwrap().ends_with(" 10"))
    };
    while !is_under_way().await {
        assert!(Instant::now() < deadline, "the writers come to their tenth round");
    }
    tokio::task::spawn_blocking(disturb).await.unwrap();
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.unwrap());
    }
    written
}

/// Reads everything back, here and at an origin that begins with nothing but the database.
async fn assert_nothing_is_lost(origin: &Origin, config: &OriginConfig, written: &[(String, String)]) {
    let other = Origin::new(&OriginConfig { cache_url: None, ..config.clone() }).await.unwrap();
    for origin in [origin, &other] {
        for (place, name) in written {
            assert_eq!(&get(origin, place).await.json()["name"], name.as_str(), "{place}");
        }
        let users = get(origin, "/api/users?limit=100").await.json();
        assert_eq!(users["items"].as_array().unwrap().len(), 4 + written.len(), "a key has created one user");
    }
    assert_eq!(other.counts().database_reads, written.len() as u64, "it has read them from the database");
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_killed_under_load_loses_nothing_that_was_acknowledged() {
    let Some(mut postgres) = Postgres::start_if_installed() else { return };
    let config = OriginConfig { database_url: postgres.new_database(), ..OriginConfig::default() };
    let origin = Origin::new(&config).await.unwrap();
    let (sender, killed) = std::sync::mpsc::channel();
    let written = under_load(&origin, move || {
        postgres.kill();
        postgres.start();
        sender.send(postgres).unwrap();
    });
    let written = written.await;
    assert_nothing_is_lost(&origin, &config, &written).await;
    assert_eq!(get(&origin, "/ready").await.status, 200);
    let mut postgres = killed.recv().unwrap();
    postgres.kill();
    let away = get(&origin, "/ready").await;
    assert_eq!((away.status, get(&origin, "/health").await.status), (503, 200), "{away:?}");
    let cached = get(&origin, &written[0].0).await;
    assert_eq!(cached.status, 200, "what is cached is served without the database");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_under_load_makes_no_read_fail_or_stale() {
    let Some(mut redis) = Redis::start_if_installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = OriginConfig { cache_url: Some(redis.url()), ..OriginConfig::default() };
    let config = config.with_database_file(&folder.path().join("shop.db"));
    let origin = Origin::new(&config).await.unwrap();
    let (sender, killed) = std::sync::mpsc::channel();
    let written = under_load(&origin, move || {
        redis.save();
        redis.kill();
        redis.start();
        sender.send(redis).unwrap();
    });
    let written = written.await;
    assert_nothing_is_lost(&origin, &config, &written).await;
    assert!(origin.counts().cache_failures > 0, "the outage is counted");
    let _redis = killed.recv().unwrap();
    read_until_cached(&origin, &written[0].0).await;
}

/// Reads until Redis has the answer, and returns it; reads before that are the database's and must be the same.
pub(crate) async fn read_until_cached(origin: &Origin, target: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    let first = get(origin, target).await.body;
    loop {
        let before = origin.counts().database_reads;
        assert_eq!(get(origin, target).await.body, first, "{target}");
        if origin.counts().database_reads == before {
            return first;
        }
        assert!(Instant::now() < deadline, "Redis is used");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn rename_ada(origin: &Origin, name: &str) {
    let etag = get(origin, ADA).await.header("etag").to_owned();
    let body = format!(r#"{{"name":"{name}","email":"ada@example.com"}}"#);
    let replaced = send(origin, &format!("PUT {ADA}"), &[("if-match", &etag)], &body).await;
    assert_eq!(replaced.status, 200, "{replaced:?}");
}

#[tokio::test]
async fn what_redis_had_saved_before_it_died_is_not_believed() {
    let Some(mut redis) = Redis::start_if_installed() else { return };
    let config = OriginConfig { cache_url: Some(redis.url()), ..OriginConfig::default() };
    let origin = Origin::new(&config).await.unwrap();
    read_until_cached(&origin, ADA).await;
    redis.save();
    rename_ada(&origin, "Ada Lovelace").await;
    read_until_cached(&origin, ADA).await;
    redis.kill();
    redis.start();
    assert!(read_until_cached(&origin, ADA).await.contains("Ada Lovelace"));
}

#[tokio::test]
async fn what_has_expired_in_redis_is_not_read_again() {
    let Some(redis) = Redis::start_if_installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let alone = OriginConfig::default().with_database_file(&folder.path().join("shop.db"));
    let origin = Origin::new(&OriginConfig { cache_url: Some(redis.url()), ..alone.clone() }).await.unwrap();
    read_until_cached(&origin, ADA).await;
    let unaware = Origin::new(&alone).await.unwrap();
    rename_ada(&unaware, "Ada Lovelace").await;
    assert!(get(&origin, ADA).await.body.contains("Ada Weaver"), "nobody has told Redis");
    redis.expire("*:user-1");
    assert!(get(&origin, ADA).await.body.contains("Ada Lovelace"), "the database is asked after the expiry");
    assert!(read_until_cached(&origin, ADA).await.contains("Ada Lovelace"));
}

#[tokio::test]
async fn a_change_that_fails_leaves_redis_what_it_keeps() {
    let Some(redis) = Redis::start_if_installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = OriginConfig { cache_url: Some(redis.url()), ..OriginConfig::default() };
    let config = config.with_database_file(&folder.path().join("shop.db"));
    let origin = Origin::new(&config).await.unwrap();
    let ada = read_until_cached(&origin, ADA).await;
    let broken = AnyPool::connect(&format!("sqlite://{}/shop.db", folder.path().display())).await.unwrap();
    broken.execute("ALTER TABLE outdated RENAME TO away").await.unwrap();
    let body = r#"{"name":"Ada Lovelace","email":"ada@example.com"}"#;
    assert_eq!(send(&origin, &format!("PUT {ADA}"), &[("if-match", "*")], body).await.status, 500);
    broken.execute("ALTER TABLE away RENAME TO outdated").await.unwrap();
    assert_eq!(read_until_cached(&origin, ADA).await, ada, "nothing has changed, so Redis may keep it again");
}

#[tokio::test]
async fn two_shops_in_one_redis_do_not_mix() {
    let Some(redis) = Redis::start_if_installed() else { return };
    let config = OriginConfig { cache_url: Some(redis.url()), ..OriginConfig::default() };
    let (one, other) = (Origin::new(&config).await.unwrap(), Origin::new(&config).await.unwrap());
    rename_ada(&one, "Ada Lovelace").await;
    assert!(read_until_cached(&one, ADA).await.contains("Ada Lovelace"));
    assert!(read_until_cached(&other, ADA).await.contains("Ada Weaver"));
}

#[tokio::test]
async fn a_reader_that_was_overtaken_by_a_change_does_not_bring_back_what_was() {
    let Some(redis) = Redis::start_if_installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("shop.db"), folder.path().join("copy.db"));
    Origin::new(&OriginConfig::default().with_database_file(&file)).await.unwrap().close().await;
    // Another origin that still sees the state before the change, as a slow reader does.
    std::fs::copy(&file, &copy).unwrap();
    let config = OriginConfig { cache_url: Some(redis.url()), ..OriginConfig::default() };
    let writer = Origin::new(&config.clone().with_database_file(&file)).await.unwrap();
    let reader = Origin::new(&config.with_database_file(&copy)).await.unwrap();
    read_until_cached(&writer, "/api/users/2").await;
    read_until_cached(&reader, "/api/users/3").await;
    rename_ada(&writer, "Ada Lovelace").await;
    let deadline = Instant::now() + PATIENCE;
    while !redis.has_entry("*:user-1", "2 0 ") {
        assert!(Instant::now() < deadline, "Redis hears of the change");
    }
    assert!(get(&reader, ADA).await.body.contains("Ada Weaver"), "the reader is behind");
    assert!(get(&writer, ADA).await.body.contains("Ada Lovelace"), "the writer is not");
}

#[tokio::test]
async fn a_change_that_redis_did_not_hear_of_is_told_by_the_next_run() {
    let Some(mut redis) = Redis::start_if_installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cached = OriginConfig { cache_url: Some(redis.url()), ..OriginConfig::default() };
    let cached = cached.with_database_file(&folder.path().join("shop.db"));
    let first = Origin::new(&cached).await.unwrap();
    read_until_cached(&first, ADA).await;
    redis.pause();
    // The origin notices, so that the change below is not even sent.
    assert_eq!(get(&first, "/api/users/2").await.status, 200);
    rename_ada(&first, "Ada Lovelace").await;
    assert!(get(&first, ADA).await.body.contains("Ada Lovelace"));
    first.close().await;
    drop(first);
    redis.go_on();
    let second = Origin::new(&cached).await.unwrap();
    read_until_cached(&second, "/api/users/3").await;
    assert!(read_until_cached(&second, ADA).await.contains("Ada Lovelace"), "never the earlier name");
}
