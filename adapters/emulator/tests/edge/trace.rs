//! Traces: from the client, through the edge, to the backend.

use http::Request;
use selvedge_emulator::{AccessLog, EmulatorConfig, LogTarget};
use serde_json::Value;

use crate::support::{Edge, Origin, connect, empty, policy, text, whole, with_host};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// What the backend got of the trace, and of the state.
async fn got(edge: &Edge, path: &str, headers: &[(&str, &str)]) -> (Option<String>, Option<String>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = with_host(request.body(empty()).unwrap());
    let response = whole(connect(edge.address).await.send_request(request).await.unwrap()).await;
    let page = text(&response).to_owned();
    let field = |name: &str| {
        let (_, rest) = page.split_once(&format!("\"{name}\": \""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    (field("traceparent"), field("tracestate"))
}

#[tokio::test]
async fn a_clients_trace_goes_on_with_the_edges_span_and_is_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    let access_log = Some(AccessLog::new(LogTarget::File(file.clone())));
    let config = EmulatorConfig { trace: true, access_log, ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(Origin::start().await.address), config).await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-00");
    let (first, state) = got(&edge, "/headers", &[("traceparent", &parent), ("tracestate", "a=1,b=2")]).await;
    let first = first.unwrap();
    assert!(first.starts_with(&format!("00-{TRACE}-")) && first.ends_with("-00"), "{first}");
    assert!(!first.contains("b7ad6b7169203331"), "the parent is the edge and not the client: {first}");
    assert_eq!(state.as_deref(), Some("a=1,b=2"));
    let (second, state) = got(&edge, "/headers", &[("traceparent", "no trace"), ("tracestate", "a=1")]).await;
    let second = second.unwrap();
    assert!(
        !second.contains(TRACE) && second.ends_with("-01"),
        "a new trace, which the log records: {second}"
    );
    assert_eq!(state, None, "a state without its trace says nothing");
    edge.stop().await.unwrap();
    let lines = std::fs::read_to_string(file).unwrap();
    for (line, parent) in lines.lines().zip([first, second]) {
        let line: Value = serde_json::from_str(line).unwrap();
        let parts: Vec<&str> = parent.split('-').collect();
        assert_eq!((&line["trace_id"], &line["span_id"]), (&parts[1].into(), &parts[2].into()), "{line}");
    }
}

#[tokio::test]
async fn without_traces_the_headers_pass_as_any_others() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let passed = got(&edge, "/headers", &[("traceparent", &parent), ("tracestate", "a=1")]).await;
    assert_eq!(passed, (Some(parent), Some("a=1".to_owned())));
    assert_eq!(got(&edge, "/headers", &[]).await, (None, None));
}
