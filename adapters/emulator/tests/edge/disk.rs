//! The store's folder.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use selvedge_emulator::{Emulator, EmulatorConfig, EngineHandle};

use crate::support::{
    Edge, FILM_BYTES, Origin, connect, empty, engine, film, info, policy, text, whole, with_host,
};

async fn start(origin: &Origin, dir: &Path) -> Edge {
    let config = EmulatorConfig { cache_dir: Some(dir.to_owned()), ..EmulatorConfig::default() };
    Edge::start_with(policy(origin.address), config).await
}

fn cache_status(response: &Response<Bytes>) -> &str {
    response.headers()["cache-status"].to_str().unwrap()
}

fn assert_whole(response: &Response<Bytes>, length: usize) {
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.body() == &film(length), "{} bytes", response.body().len());
}

/// How many files there are beside the lock and what was purged.
fn files(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count() - 2
}

#[tokio::test]
async fn a_long_body_is_stored_while_it_streams_and_outlives_the_edge() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let paths = ["/static/film", "/static/film-in-parts"];
    let edge = start(&origin, dir.path()).await;
    for path in paths {
        let (first, second) = (edge.get(path).await, edge.get(path).await);
        assert!(cache_status(&first).contains("fwd=uri-miss"), "{path}: {}", cache_status(&first));
        assert!(cache_status(&second).contains("hit"), "{path}: {}", cache_status(&second));
        assert_whole(&first, FILM_BYTES);
        assert_whole(&second, FILM_BYTES);
        assert_eq!(second.headers()["content-length"], FILM_BYTES.to_string());
    }
    edge.stop().await.unwrap();
    let edge = start(&origin, dir.path()).await;
    for path in paths {
        let third = edge.get(path).await;
        assert!(cache_status(&third).contains("hit"), "{path}: {}", cache_status(&third));
        assert_whole(&third, FILM_BYTES);
    }
    assert_eq!(origin.requests.load(Ordering::SeqCst), 2, "the backend was asked once for each");
    let status = edge.get("/_selvedge/").await;
    let status: serde_json::Value = serde_json::from_str(text(&status)).unwrap();
    assert_eq!(status["cache"]["disk"]["entries"], 2);
}

#[tokio::test]
async fn a_body_that_differs_by_a_request_header_is_found_after_a_restart() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let ask = async |edge: &Edge, language: &str| {
        let request = Request::get("/static/translated").header("accept-language", language);
        let request = with_host(request.body(empty()).unwrap());
        whole(connect(edge.address).await.send_request(request).await.unwrap()).await
    };
    let edge = start(&origin, dir.path()).await;
    for language in ["de", "en"] {
        assert_whole(&ask(&edge, language).await, 1_000_000);
    }
    edge.stop().await.unwrap();
    let edge = start(&origin, dir.path()).await;
    for language in ["de", "en"] {
        let response = ask(&edge, language).await;
        assert!(cache_status(&response).contains("hit"), "{language}: {}", cache_status(&response));
        assert_whole(&response, 1_000_000);
    }
    assert!(cache_status(&ask(&edge, "fr").await).contains("fwd=vary-miss"));
}

#[tokio::test]
async fn a_head_and_a_304_come_from_the_folder_without_the_body() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let edge = start(&origin, dir.path()).await;
    edge.get("/static/translated").await;
    damage_bodies(dir.path());
    let requests = [
        (Request::head("/static/translated"), StatusCode::OK),
        (Request::get("/static/translated").header("if-none-match", "\"t\""), StatusCode::NOT_MODIFIED),
    ];
    for (request, status) in requests {
        let request = with_host(request.body(empty()).unwrap());
        let response = whole(connect(edge.address).await.send_request(request).await.unwrap()).await;
        assert_eq!((response.status(), response.body().len()), (status, 0));
        assert!(cache_status(&response).contains("hit"), "{}", cache_status(&response));
    }
    assert_eq!(files(dir.path()), 3, "nobody has met the damage: variants, head and body");
}

#[tokio::test]
async fn damage_breaks_a_response_off_and_the_next_one_is_whole() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let edge = start(&origin, dir.path()).await;
    edge.get("/static/film").await;
    damage_bodies(dir.path());
    let request = with_host(Request::get("/static/film").body(empty()).unwrap());
    let mut body = connect(edge.address).await.send_request(request).await.unwrap().into_body();
    let (mut got, mut error) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap()),
            Err(broken) => error = Some(broken),
        }
    }
    assert!(error.is_some(), "it breaks off");
    assert!(got.len() < FILM_BYTES && film(FILM_BYTES).starts_with(&got), "{} good bytes", got.len());
    let again = edge.get("/static/film").await;
    assert!(cache_status(&again).contains("fwd=uri-miss"), "{}", cache_status(&again));
    assert_whole(&again, FILM_BYTES);
}

/// Changes one bit in the middle of every stored body.
fn damage_bodies(dir: &Path) {
    for file in fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "body") {
            let mut content = fs::read(&file).unwrap();
            let middle = content.len() / 2;
            content[middle] ^= 1;
            fs::write(&file, content).unwrap();
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_at_the_backend_leaves_nothing_in_the_folder() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let edge = start(&origin, dir.path()).await;
    let request = with_host(Request::get("/static/broken-once").body(empty()).unwrap());
    let response = connect(edge.address).await.send_request(request).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    let next = edge.get("/static/broken-once").await;
    assert!(cache_status(&next).contains("fwd=uri-miss"), "{}", cache_status(&next));
    assert_whole(&next, FILM_BYTES);
    edge.stop().await.unwrap();
    assert_eq!(files(dir.path()), 2, "the second one's");
}

#[tokio::test]
async fn a_client_that_goes_away_takes_the_store_of_its_body_with_it() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let edge = start(&origin, dir.path()).await;
    let request = with_host(Request::get("/static/film-in-parts").body(empty()).unwrap());
    let mut client = connect(edge.address).await;
    let mut response = client.send_request(request).await.unwrap();
    assert!(response.frame().await.unwrap().is_ok());
    drop((response, client));
    edge.stop().await.unwrap();
    assert_eq!(files(dir.path()), 0);
}

#[tokio::test]
async fn a_short_body_stays_in_memory() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let edge = start(&origin, dir.path()).await;
    assert_eq!(text(&edge.get("/static/chunked").await), text(&edge.get("/static/chunked").await));
    assert_eq!(origin.requests.load(Ordering::SeqCst), 1);
    assert_eq!(files(dir.path()), 0);
}

#[tokio::test]
async fn a_folder_is_one_edges_own() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let _edge = start(&origin, dir.path()).await;
    let config = EmulatorConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        cache_dir: Some(dir.path().to_owned()),
        ..EmulatorConfig::default()
    };
    let second = EngineHandle::new(engine(policy(origin.address)), info("second"));
    let error = Emulator::bind(config, second).unwrap_err();
    assert!(error.to_string().contains("in use by another edge"), "{error:#}");
}
