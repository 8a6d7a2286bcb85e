//! What whoever runs the edge sees of it and does to it, over real sockets.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use selvedge_emulator::{EmulatorConfig, PurgeRequest, Requests, SeenRequest};

use crate::support::{Edge, Origin, connect, empty, policy, text, whole, with_host};

/// Waits for the next request that is told.
async fn next(requests: &mut Requests) -> Arc<SeenRequest> {
    let next = async {
        loop {
            match requests.try_next() {
                Some(request) => return request,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), next).await.expect("a request is told")
}

#[tokio::test]
async fn requests_are_told_as_they_end_and_only_to_who_listens() {
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    edge.get("/static/before").await;
    let mut requests = edge.console.requests();
    edge.get("/_selvedge/").await;
    for _ in 0..2 {
        let request = Request::get("/static/one?token=s3cret").body(empty()).unwrap();
        whole(connect(edge.address).await.send_request(with_host(request)).await.unwrap()).await;
    }
    edge.get("/country").await;
    let told = |request: &SeenRequest| {
        (request.path.clone(), request.status, request.reason, request.cache, request.backend.clone())
    };
    let origin_name = Some("origin".to_owned());
    let expected = [
        ("/static/one", Some("backend.responded"), Some("cache.miss"), origin_name),
        ("/static/one", Some("cache.hit"), Some("cache.hit"), None),
        ("/country", Some("route.responded"), None, None),
    ];
    for (path, reason, cache, backend) in expected {
        let request = next(&mut requests).await;
        assert_eq!(told(&request), (path.to_owned(), Some(200), reason, cache, backend));
        assert_eq!((request.method.as_str(), request.is_aborted), ("GET", false));
        assert!(request.host.is_some() && request.duration > Duration::ZERO, "{request:?}");
    }
    assert!(requests.try_next().is_none(), "the edge's own pages are not told");
    let snapshot = edge.console.snapshot();
    assert_eq!((snapshot.requests, snapshot.hits, snapshot.misses), (4, 1, 2));
    assert_eq!(snapshot.outcomes["cache"], 1, "{:?}", snapshot.outcomes);
    assert!(snapshot.latencies.is_sorted() && !snapshot.latencies[0].is_zero(), "{snapshot:?}");
    let names: Vec<_> =
        snapshot.backends.iter().map(|backend| (backend.name.as_str(), backend.requests)).collect();
    assert_eq!(names, [("impatient", 0), ("origin", 2)]);
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_is_told_as_one() {
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    let mut requests = edge.console.requests();
    tokio::select! {
        _ = edge.get("/gate") => panic!("the gate is closed"),
        () = origin.arrived.notified() => {}
    }
    let request = next(&mut requests).await;
    assert_eq!((request.path.as_str(), request.status, request.is_aborted), ("/gate", None, true));
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_purged_at_the_console_is_asked_for_again() {
    let origin = Origin::start().await;
    let edge = Edge::start(policy(origin.address)).await;
    let before = edge.get("/static/one").await;
    let refused = edge.console.purge(&PurgeRequest::default()).unwrap_err();
    assert_eq!(refused.to_string(), "nothing is named");
    let no_url = PurgeRequest { prefixes: vec!["/static".to_owned()], ..PurgeRequest::default() };
    let refused = edge.console.purge(&no_url).unwrap_err();
    assert_eq!(refused.to_string(), "`/static` is no absolute URL of this site");
    assert_eq!(text(&edge.get("/static/one").await), text(&before), "nothing was purged");
    edge.console.purge(&PurgeRequest { everything: true, ..PurgeRequest::default() }).unwrap();
    assert_ne!(text(&edge.get("/static/one").await), text(&before));
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_purged_at_the_console_is_not_there_after_a_restart() {
    let (origin, dir) = (Origin::start().await, tempfile::tempdir().unwrap());
    let start = async || {
        let config = EmulatorConfig { cache_dir: Some(dir.path().to_owned()), ..EmulatorConfig::default() };
        Edge::start_with(policy(origin.address), config).await
    };
    let edge = start().await;
    edge.get("/static/film").await;
    edge.console.purge(&PurgeRequest { everything: true, ..PurgeRequest::default() }).unwrap();
    edge.stop().await.unwrap();
    start().await.get("/static/film").await;
    assert_eq!(origin.requests.load(Ordering::SeqCst), 2, "it was asked for again");
}
