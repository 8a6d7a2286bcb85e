//! Spans: one for each request of a sampled trace, and below it one for each attempt at a backend.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use selvedge_core::engine::Engine;
use selvedge_core::policy::read::read;
use selvedge_emulator::{
    AccessLog, EmulatorConfig, LogTarget, SampleRate, Span, SpanKind, SpanSink, SpanValue,
};

use crate::support::{Edge, Origin, connect, empty, info, policy, text, whole, with_host};

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const PARENT: u64 = 0xb7ad_6b71_6920_3331;

/// Keeps spans.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Span>>);

impl SpanSink for Kept {
    fn take(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

struct Traced {
    edge: Edge,
    kept: Arc<Kept>,
}

impl Traced {
    async fn start(config: EmulatorConfig) -> Self {
        let kept = Arc::new(Kept::default());
        let config = EmulatorConfig { spans: Some(kept.clone()), ..config };
        Self { edge: Edge::start_with(policy(Origin::start().await.address), config).await, kept }
    }

    /// The same, with a policy that allows what a client calls itself.
    async fn start_with_agents() -> Self {
        let traced = Self::start(EmulatorConfig::default()).await;
        let mut policy = policy(Origin::start().await.address);
        policy.log.user_agent = true;
        traced.edge.engine.replace(crate::support::engine(policy), info("agents"));
        traced
    }

    async fn get(&self, path: &str, flags: &str) -> Response<Bytes> {
        let request = Request::get(path)
            .header("traceparent", format!("00-{TRACE:032x}-{PARENT:016x}-{flags}"))
            .header("tracestate", "a=1")
            .header("user-agent", "agent");
        let request = with_host(request.body(empty()).unwrap());
        whole(connect(self.edge.address).await.send_request(request).await.unwrap()).await
    }

    /// Stops the edge, so that every request is at its end, and returns the spans of requests and those of attempts.
    async fn spans(self) -> (Vec<Span>, Vec<Span>) {
        self.edge.stop().await.unwrap();
        std::mem::take(&mut *self.kept.0.lock().unwrap())
            .into_iter()
            .partition(|span| span.kind == SpanKind::Server)
    }
}

fn has(span: &Span, name: &str, value: &str) -> bool {
    span.attributes.iter().any(|(known, found)| {
        *known == name
            && match found {
                SpanValue::Text(text) => text == value,
                SpanValue::Number(number) => number.to_string() == value,
                SpanValue::Flag(flag) => flag.to_string() == value,
            }
    })
}

#[tokio::test]
async fn a_backend_is_told_of_the_attempt_whose_parent_is_the_request() {
    let traced = Traced::start(EmulatorConfig::default()).await;
    let page = traced.get("/headers?token=s3cret", "01").await;
    let told = text(&page).to_owned();
    let (servers, attempts) = traced.spans().await;
    let ([server], [attempt]) = (servers.as_slice(), attempts.as_slice()) else {
        panic!("{servers:#?}\n{attempts:#?}")
    };
    assert_eq!((server.trace_id, server.parent, server.state.as_deref()), (TRACE, Some(PARENT), Some("a=1")));
    assert_eq!((attempt.trace_id, attempt.parent), (TRACE, Some(server.id)));
    assert!(told.contains(&format!("00-{TRACE:032x}-{:016x}-01", attempt.id)), "{told}");
    assert!(server.started <= attempt.started && attempt.ended <= server.ended, "{server:#?}\n{attempt:#?}");
    let expected = [
        ("http.request.method", "GET"),
        ("url.path", "/headers"),
        ("http.route", "/{*rest}"),
        ("server.address", "shop.example"),
        ("http.response.status_code", "200"),
        ("selvedge.reason", "backend.responded"),
        ("selvedge.backend", "origin"),
        ("selvedge.aborted", "false"),
    ];
    for (name, value) in expected {
        assert!(has(server, name, value), "{name} {value}: {server:#?}");
    }
    assert_eq!((server.name.as_str(), attempt.name.as_str()), ("GET /{*rest}", "GET"));
    assert!(has(attempt, "http.response.status_code", "200") && has(attempt, "server.address", "127.0.0.1"));
    let all = format!("{server:?}{attempt:?}");
    assert!(!all.contains("s3cret") && !all.contains("client.address"), "{all}");
    assert!(!all.contains("user_agent"), "the policy does not allow it: {all}");
}

#[tokio::test]
async fn what_a_client_calls_itself_is_in_a_span_where_the_policy_allows_it() {
    let traced = Traced::start_with_agents().await;
    traced.get("/headers", "01").await;
    let (servers, _) = traced.spans().await;
    assert!(has(&servers[0], "user_agent.original", "agent"), "{servers:#?}");
}

#[tokio::test]
async fn each_attempt_is_a_span_and_what_fails_says_why() {
    let origin = Origin::start().await.address;
    let text = format!(
        "[backends.dead]\nurl = \"http://127.0.0.1:9\"\nfailover = [\"origin\"]\n[backends.origin]\nurl = \"http://{origin}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\nbackend = \"dead\"\n"
    );
    let policy = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let traced = Traced::start(EmulatorConfig::default()).await;
    traced.edge.engine.replace(Arc::new(Engine::compile(policy).unwrap()), info("failover"));
    assert_eq!(traced.get("/page", "01").await.status(), 200);
    let (servers, attempts) = traced.spans().await;
    assert_eq!((servers.len(), servers[0].is_error), (1, false), "{servers:#?}");
    let found: Vec<_> =
        attempts.iter().map(|span| (has(span, "selvedge.backend", "dead"), span.is_error)).collect();
    assert_eq!(found, [(true, true), (false, false)], "{attempts:#?}");
    assert!(has(&attempts[0], "error.type", "connect"), "{:#?}", attempts[0]);
    assert!(attempts.iter().all(|span| span.parent == Some(servers[0].id)));
    assert_ne!(attempts[0].id, attempts[1].id);
}

#[tokio::test]
async fn what_is_not_sampled_has_no_span_and_goes_on_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = AccessLog::new(LogTarget::File(dir.path().join("access.log")));
    log.sample = SampleRate::new(0.0).unwrap();
    let traced = Traced::start(EmulatorConfig { access_log: Some(log), ..EmulatorConfig::default() }).await;
    let told = text(&traced.get("/headers", "00").await).to_owned();
    assert!(told.contains(&format!("00-{TRACE:032x}-")) && told.contains("-00\""), "{told}");
    // A trace that the edge begins is one of the log's sample or none.
    traced.edge.get("/headers").await;
    assert_eq!(traced.spans().await, (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_trace_that_the_edge_begins_has_no_parent() {
    let traced = Traced::start(EmulatorConfig::default()).await;
    traced.edge.get("/address").await;
    traced.edge.get("/never").await;
    let (servers, attempts) = traced.spans().await;
    let [answered, late] = servers.as_slice() else { panic!("{servers:#?}") };
    assert_eq!((answered.parent, late.parent), (None, None));
    assert!(answered.trace_id != 0 && answered.trace_id != late.trace_id);
    assert!(late.is_error && has(late, "error.type", "504") && !answered.is_error, "{late:#?}");
    assert!(attempts.iter().all(|attempt| attempt.trace_id == late.trace_id), "{attempts:#?}");
    assert!(has(&attempts[0], "error.type", "timeout"), "{attempts:#?}");
}
