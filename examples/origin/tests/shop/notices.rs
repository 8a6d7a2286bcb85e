//! What edges hear of changes.

use selvedge_origin::{Origin, OriginConfig};
use serde_json::{Value, json};

use crate::client::{create, get, send};
use crate::edge::RecordingEdge;

const CLOTH: &str = r#"{"name":"Serge","price_cents":2500}"#;

#[tokio::test]
async fn every_edge_hears_of_every_kind_of_change() {
    let mut edges = [RecordingEdge::start(200).await, RecordingEdge::start(200).await];
    let config = edges.iter().fold(OriginConfig::default(), |config, edge| edge.registered(config));
    let origin = Origin::new(&config).await.unwrap();
    let created = send(&origin, "POST /api/products", &[], CLOTH).await;
    for edge in &mut edges {
        assert_eq!(edge.next().await, json!({ "tags": ["product-4", "products"] }));
    }
    let replaced = send(&origin, "PUT /api/products/4", &[("if-match", created.header("etag"))], CLOTH).await;
    for edge in &mut edges {
        assert_eq!(edge.next().await, json!({ "tags": ["product-4", "products"] }));
    }
    send(&origin, "DELETE /api/products/4", &[("if-match", replaced.header("etag"))], "").await;
    let etag = get(&origin, "/api/users/1").await.header("etag").to_owned();
    for edge in &mut edges {
        assert_eq!(edge.next().await, json!({ "tags": ["product-4", "products"] }));
    }
    send(&origin, "DELETE /api/users/1", &[("if-match", &etag)], "").await;
    for edge in &mut edges {
        assert_eq!(edge.next().await, json!({ "tags": ["user-1", "users"] }));
    }
}

#[tokio::test]
async fn a_change_that_does_not_hold_is_not_told() {
    let mut edge = RecordingEdge::start(200).await;
    let origin = Origin::new(&edge.registered(OriginConfig::default())).await.unwrap();
    assert_eq!(send(&origin, "PUT /api/products/1", &[("if-match", "\"other\"")], CLOTH).await.status, 412);
    create(&origin, "/api/products", CLOTH).await;
    assert_eq!(
        edge.next().await,
        json!({ "tags": ["product-4", "products"] }),
        "the first notice is of a change"
    );
}

#[tokio::test]
async fn a_notice_is_repeated_until_the_edge_takes_it_even_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut edge = RecordingEdge::start(503).await;
    let config = edge.registered(OriginConfig::default().with_database_file(&folder.path().join("shop.db")));
    let expected = json!({ "tags": ["product-4", "products"] });
    let origin = Origin::new(&config).await.unwrap();
    create(&origin, "/api/products", CLOTH).await;
    for _ in 0..2 {
        assert_eq!(edge.next().await, expected, "it was refused before");
    }
    origin.close().await;
    drop(origin);
    edge.answer(200);
    let origin = Origin::new(&config).await.unwrap();
    assert_eq!(edge.next().await, expected);
    create(&origin, "/api/products", CLOTH).await;
    let mut last = edge.next().await;
    if last == expected {
        // The run that ended may have asked once more.
        last = edge.next().await;
    }
    assert_eq!(last, json!({ "tags": ["product-5", "products"] }), "what was taken is not told again");
}

#[tokio::test]
async fn an_edge_that_missed_too_much_is_told_that_everything_changed() {
    let mut edge = RecordingEdge::start(503).await;
    let origin = Origin::new(&edge.registered(OriginConfig::default())).await.unwrap();
    for _ in 0..=1_000 {
        create(&origin, "/api/products", CLOTH).await;
    }
    edge.answer(200);
    let everything = json!({ "everything": true });
    let mut told: Vec<Value> = Vec::new();
    while told.last() != Some(&everything) {
        told.push(edge.next().await);
    }
    create(&origin, "/api/products", CLOTH).await;
    let mut last = edge.next().await;
    if last == everything {
        last = edge.next().await;
    }
    assert_eq!(last, json!({ "tags": ["product-1005", "products"] }), "after that it hears of changes again");
}
