//! What edges hear of changes.

use selvedge_origin::{Origin, OriginConfig};
use serde_json::{Value, json};

use crate::client::{create, get, send};
use crate::edge::RecordingEdge;
use crate::servers::Postgres;

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

/// Each kind of change is told with the trace of whoever made it, by the next run too.
async fn notices_keep_their_traces(config: OriginConfig) {
    let trace = |digit: &str| format!("00-{}-{}-01", digit.repeat(32), digit.repeat(16));
    let mut edge = RecordingEdge::start(503).await;
    let config = edge.registered(config);
    let origin = Origin::new(&config).await.unwrap();
    let created = send(&origin, "POST /api/products", &[("traceparent", &trace("1"))], CLOTH).await;
    assert_eq!(edge.next_notice().await.traceparent, Some(trace("1")), "a new record");
    origin.close().await;
    drop(origin);
    edge.answer(200);
    let origin = Origin::new(&config).await.unwrap();
    assert_eq!(edge.next_notice().await.traceparent, Some(trace("1")), "by the next run");
    let headers = [("if-match", created.header("etag")), ("traceparent", &trace("2"))];
    let replaced = send(&origin, "PUT /api/products/4", &headers, CLOTH).await;
    let mut told = edge.next_notice().await.traceparent;
    if told == Some(trace("1")) {
        // The run that ended may have asked once more.
        told = edge.next_notice().await.traceparent;
    }
    assert_eq!(told, Some(trace("2")), "a change");
    let headers = [("if-match", replaced.header("etag")), ("traceparent", &trace("3"))];
    send(&origin, "DELETE /api/products/4", &headers, "").await;
    assert_eq!(edge.next_notice().await.traceparent, Some(trace("3")), "a deletion");
    create(&origin, "/api/products", CLOTH).await;
    assert_eq!(edge.next_notice().await.traceparent, None, "nobody has said anything of a trace");
}

#[tokio::test]
async fn a_notice_belongs_to_the_trace_of_its_change_even_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    notices_keep_their_traces(OriginConfig::default().with_database_file(&file)).await;
    let Some(postgres) = Postgres::start_if_installed() else { return };
    let config = OriginConfig { database_url: postgres.new_database(), ..OriginConfig::default() };
    notices_keep_their_traces(config).await;
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
