//! The emulator's own pages.

use http::{Request, StatusCode};
use selvedge_core::backend::BackendId;
use selvedge_core::job::{JobTarget, Schedule};
use selvedge_emulator::EmulatorConfig;
use serde_json::Value;

use crate::support::{Edge, Origin, connect, empty, policy, text, whole, with_host};

async fn edge_with_traffic() -> Edge {
    let edge = Edge::start_with(policy(Origin::start().await.address), EmulatorConfig::default()).await;
    for path in ["/static/a", "/static/a", "/static/a", "/page", "/address"] {
        assert_eq!(edge.get(path).await.status(), StatusCode::OK, "{path}");
    }
    edge
}

#[tokio::test]
async fn the_status_counts_requests_by_outcome_and_reason() {
    let edge = edge_with_traffic().await;
    let response = edge.get("/_selvedge/").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let status: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(status["policy"], serde_json::json!({ "name": "test", "hash": "first" }));
    assert_eq!(status["requests"]["total"], 5, "its own requests do not count: {status:#}");
    assert_eq!(status["requests"]["status"]["2xx"], 5);
    assert_eq!(status["requests"]["outcome"]["cache"], 2, "{status:#}");
    assert_eq!(status["requests"]["reason"]["cache.hit"], 2);
    assert_eq!((&status["cache"]["hits"], &status["cache"]["misses"]), (&2.into(), &1.into()), "{status:#}");
    assert_eq!(status["cache"]["entries"], 1);
    assert_eq!(status["in_flight"], 1, "the request for the status itself");
    let latency = &status["latency_micros"];
    let quantiles = ["p50", "p90", "p99", "max"].map(|name| latency[name].as_u64().unwrap());
    assert!(quantiles.is_sorted() && quantiles[0] > 0, "{quantiles:?}");
}

#[tokio::test]
async fn the_metrics_are_in_prometheus_form() {
    let edge = edge_with_traffic().await;
    let response = edge.get("/_selvedge/metrics").await;
    let page = text(&response);
    for line in [
        "# TYPE selvedge_requests_total counter",
        "selvedge_requests_total{reason=\"cache.hit\"} 2",
        "selvedge_responses_total{class=\"2xx\"} 5",
        "# TYPE selvedge_response_head_seconds histogram",
        "selvedge_response_head_seconds_bucket{le=\"+Inf\"} 5",
        "selvedge_response_head_seconds_count 5",
        "selvedge_cache_entries 1",
        "selvedge_policy_info{name=\"test\",hash=\"first\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "no line {line:?} in\n{page}");
    }
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let typed = |name: &str| {
            page.contains(&format!("# TYPE {name} ")) && page.contains(&format!("# HELP {name} "))
        };
        assert!(typed(name) || family.is_some_and(typed), "{line:?} has no help or type");
    }
}

#[tokio::test]
async fn other_methods_and_pages_are_refused() {
    let edge = edge_with_traffic().await;
    assert_eq!(edge.get("/_selvedge/other").await.status(), StatusCode::NOT_FOUND);
    let request = with_host(Request::delete("/_selvedge/").body(empty()).unwrap());
    let response = whole(connect(edge.address).await.send_request(request).await.unwrap()).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "GET, HEAD");
}

#[tokio::test]
async fn jobs_are_done_at_once_for_tools_and_not_for_web_pages() {
    let mut policy = policy(Origin::start().await.address);
    policy.schedules.push(Schedule {
        name: "nightly".to_owned(),
        cron: "30 3 * * *".parse().unwrap(),
        target: JobTarget::Backend { backend: BackendId(1), path: "/page".to_owned() },
    });
    let edge = Edge::start_with(policy, EmulatorConfig::default()).await;
    let send = async |request: http::request::Builder| {
        let request = with_host(request.body(empty()).unwrap());
        let response = whole(connect(edge.address).await.send_request(request).await.unwrap()).await;
        (response.status(), String::from_utf8_lossy(response.body()).into_owned())
    };
    let page = "/_selvedge/jobs/schedule/nightly";
    assert_eq!(send(Request::post(page)).await, (StatusCode::OK, "done\n".to_owned()));
    let asked = edge.get("/_selvedge/jobs/schedule/nightly").await;
    assert_eq!(
        (asked.status(), &asked.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
    let from_page = Request::post(page).header("origin", "https://a.example");
    assert_eq!(send(from_page).await.0, StatusCode::FORBIDDEN, "any page can send a simple POST here");
    for unknown in ["schedule/other", "queue/nightly", "queue/nightly/1/2", "other/nightly"] {
        let (status, _) = send(Request::post(format!("/_selvedge/jobs/{unknown}"))).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{unknown}");
    }
}

#[tokio::test]
async fn posing_as_somebody_else_neither_opens_nor_closes_the_status() {
    let edge = edge_with_traffic().await;
    let request =
        Request::get("/_selvedge/").header("selvedge-client-ip", "203.0.113.9").body(empty()).unwrap();
    let response = whole(connect(edge.address).await.send_request(with_host(request)).await.unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK, "the socket decides who may see it");
}

#[tokio::test]
async fn the_store_is_as_large_as_the_policy_says() {
    let mut policy = policy(Origin::start().await.address);
    policy.limits.max_store_bytes = 1024 * 1024;
    let edge = Edge::start_with(policy, EmulatorConfig::default()).await;
    let status: Value = serde_json::from_slice(edge.get("/_selvedge/").await.body()).unwrap();
    assert_eq!(status["cache"]["max_bytes"], 1024 * 1024);
}
