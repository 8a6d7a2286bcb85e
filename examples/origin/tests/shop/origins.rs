//! Several origins before one database and one Redis.

use std::time::Instant;

use selvedge_origin::{Origin, OriginConfig, Secret};
use serde_json::{Value, json};

use crate::client::{create, get, send};
use crate::edge::RecordingEdge;
use crate::outages::{ADA, PATIENCE, read_until_cached, rename_ada};
use crate::servers::Redis;

const CLOTH: &str = "/api/products/1";

/// Nobody listens there.
const NO_REDIS: &str = "redis://127.0.0.1:1";

/// Gives a product another price, behind the backs of those who have it in Redis.
async fn change_unheard(config: &OriginConfig) {
    let cache_url = Some(Secret::new(NO_REDIS));
    let origin = Origin::new(&OriginConfig { cache_url, ..config.clone() }).await.unwrap();
    let body = r#"{"name":"Raw denim","price_cents":5100}"#;
    let replaced = send(&origin, &format!("PUT {CLOTH}"), &[("if-match", "*")], body).await;
    assert_eq!(replaced.status, 200, "{replaced:?}");
    rename_ada(&origin, "Ada Lovelace").await;
    origin.close().await;
}

fn tells_of(notice: &Value, tag: &str) -> bool {
    notice["tags"].as_array().unwrap().contains(&json!(tag))
}

#[tokio::test]
async fn whoever_sends_a_notice_has_told_redis_of_the_change() {
    let Some(redis) = Redis::start_if_installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut edge = RecordingEdge::start(503).await;
    let config = edge.registered(OriginConfig::default().with_database_file(&folder.path().join("shop.db")));
    let cached = OriginConfig { cache_url: Some(redis.url()), ..config.clone() };
    let origin = Origin::new(&cached).await.unwrap();
    read_until_cached(&origin, CLOTH).await;
    change_unheard(&config).await;
    edge.answer(200);
    // What is written here lets the notices of the other origin be sent at once, and tells who sends them.
    create(&origin, "/api/users", r#"{"name":"Anni","email":"anni@example.com"}"#).await;
    while !tells_of(&edge.next().await, "user-5") {}
    let heard = get(&origin, CLOTH).await;
    assert_eq!(heard.json()["price_cents"], 5_100, "an edge that asks again gets what it heard of");
}

#[tokio::test]
async fn what_another_origin_could_not_tell_redis_is_told_by_those_who_can() {
    let Some(redis) = Redis::start_if_installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = OriginConfig::default().with_database_file(&folder.path().join("shop.db"));
    let cached = OriginConfig { cache_url: Some(redis.url()), ..config.clone() };
    let origin = Origin::new(&cached).await.unwrap();
    read_until_cached(&origin, ADA).await;
    change_unheard(&config).await;
    let deadline = Instant::now() + PATIENCE;
    while !get(&origin, ADA).await.body.contains("Ada Lovelace") {
        assert!(Instant::now() < deadline, "the database is looked through");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn while_redis_is_away_edges_hear_of_a_change_at_once_and_again() {
    let Some(mut redis) = Redis::start_if_installed() else { return };
    let mut edge = RecordingEdge::start(200).await;
    let config = OriginConfig { cache_url: Some(redis.url()), ..edge.registered(OriginConfig::default()) };
    let origin = Origin::new(&config).await.unwrap();
    read_until_cached(&origin, ADA).await;
    redis.kill();
    rename_ada(&origin, "Ada Lovelace").await;
    let told = json!({ "tags": ["user-1", "users"] });
    assert_eq!([edge.next().await, edge.next().await], [told.clone(), told.clone()]);
    redis.start();
    let deadline = Instant::now() + PATIENCE;
    loop {
        create(&origin, "/api/products", r#"{"name":"Serge","price_cents":2500}"#).await;
        if !tells_of(&edge.next().await, "user-1") {
            break;
        }
        assert!(Instant::now() < deadline, "it ends when Redis has heard of it");
    }
}
