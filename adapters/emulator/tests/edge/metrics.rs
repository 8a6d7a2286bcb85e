//! The metrics as whoever scrapes them reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use selvedge_core::engine::Engine;
use selvedge_core::handler::{HandlerContext, HandlerError, HandlerResult};
use selvedge_core::health::rule::{BreakerRule, HealthRule};
use selvedge_core::policy::read::read;
use selvedge_emulator::{AccessLog, EmulatorConfig, LogTarget};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Edge, Origin, connect, empty, info, policy, respond, text, with_host};

/// Longest wait for what comes a little later.
const PATIENCE: Duration = Duration::from_secs(10);

/// A page of metrics that is in order.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    pub(crate) kinds: BTreeMap<String, String>,
    pub(crate) series: BTreeMap<Series, f64>,
}

/// A name with its labels in the order of the names.
pub(crate) type Series = (String, BTreeMap<String, String>);

/// A name, labels and a value.
type Expected = (&'static str, &'static [(&'static str, &'static str)], f64);

impl Scrape {
    pub(crate) async fn of(edge: &Edge) -> Self {
        Self::read(text(&edge.get("/_selvedge/metrics").await)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until a series has a value: what is counted at a response's end comes a little after it.
    async fn until(edge: &Edge, name: &str, labels: &[(&str, &str)], value: f64) -> Self {
        let found = async {
            loop {
                let scrape = Self::of(edge).await;
                if scrape.get(name, labels) == Some(value) {
                    return scrape;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("{name} {labels:?} is never {value}"))
    }

    /// Reads a page by the rules of the text format, and refuses what breaks one.
    fn read(page: &str) -> Result<Self, String> {
        let mut scrape = Self::default();
        let (mut helped, mut current) = (BTreeSet::new(), String::new());
        if !page.ends_with('\n') {
            return Err("the last line has no end".to_owned());
        }
        for line in page.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').ok_or("a help without words")?;
                if !helped.insert(name.to_owned()) || words.is_empty() {
                    return Err(format!("{name} has two helps, or an empty one"));
                }
                name.clone_into(&mut current);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').ok_or("a type without a kind")?;
                let is_new = scrape.kinds.insert(name.to_owned(), kind.to_owned()).is_none();
                if !is_new || name != current || !["counter", "gauge", "histogram"].contains(&kind) {
                    return Err(format!("{line}: twice, apart from its help, or no kind"));
                }
            } else {
                let (series, value) = read_series(line)?;
                scrape.check_family(&series.0, &current)?;
                if scrape.series.insert(series, value).is_some() {
                    return Err(format!("{line}: a series that was there before"));
                }
            }
        }
        scrape.check_histograms()?;
        Ok(scrape)
    }

    /// A series comes below its own head.
    fn check_family(&self, name: &str, current: &str) -> Result<(), String> {
        let suffix = name.strip_prefix(current).ok_or_else(|| format!("{name} is below {current}"))?;
        let kind = self.kinds.get(current).map_or("", String::as_str);
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        let is_named_well = kind != "counter" || name.ends_with("_total");
        (suffixes.contains(&suffix) && is_named_well).then_some(()).ok_or(format!("{name} is no {kind}"))
    }

    /// Buckets grow with their bounds, and the last one has all.
    fn check_histograms(&self) -> Result<(), String> {
        let histograms = self.kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name);
        for name in histograms {
            let mut by_labels = BTreeMap::<_, Vec<(f64, f64)>>::new();
            for ((series, labels), value) in &self.series {
                if series == &format!("{name}_bucket") {
                    let mut labels = labels.clone();
                    let bound = labels.remove("le").ok_or("a bucket without a bound")?;
                    let bound = bound.parse().map_err(|_| format!("{bound} is no bound"))?;
                    by_labels.entry(labels).or_default().push((bound, *value));
                }
            }
            for (labels, mut buckets) in by_labels {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                let count = self.series.get(&(format!("{name}_count"), labels.clone()));
                let is_whole = self.series.contains_key(&(format!("{name}_sum"), labels.clone()));
                let last = buckets.last().filter(|(bound, _)| bound.is_infinite()).map(|(_, value)| value);
                if !buckets.is_sorted_by_key(|(_, value)| *value)
                    || count != last
                    || last.is_none()
                    || !is_whole
                {
                    return Err(format!("{name}{labels:?}: {buckets:?} {count:?}"));
                }
            }
        }
        Ok(())
    }

    fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.series.get(&(name.to_owned(), labels)).copied()
    }
}

fn read_series(line: &str) -> Result<(Series, f64), String> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("{line}: no name"));
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").ok_or_else(|| format!("{line}: no label"))?;
            let (value, after) = read_value(value).ok_or_else(|| format!("{line}: no value of {label}"))?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("{line}: {label} is there twice"));
            }
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = after.strip_prefix(',').ok_or_else(|| format!("{line}: no comma"))?;
        }
    }
    let value = rest.strip_prefix(' ').and_then(|value| value.parse().ok());
    Ok(((name.to_owned(), labels), value.ok_or_else(|| format!("{line}: no number"))?))
}

/// Reads a label's value up to the quote that ends it.
fn read_value(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            (_, c) => value.push(c),
        }
    }
}

#[test]
fn pages_that_break_the_format_are_refused() {
    let head = "# HELP a_total Words.\n# TYPE a_total counter\n";
    let histogram = "# HELP h Words.\n# TYPE h histogram\n";
    assert!(Scrape::read(&format!("{head}a_total{{b=\"\\\"\\n\\\\,}}\",c=\"\"}} 1\na_total 2\n")).is_ok());
    let rows = [
        format!("{head}a_total 1"),
        format!("{head}a_total 1\na_total 2\n"),
        format!("{head}{head}a_total 1\n"),
        format!("{head}b_total 1\n"),
        format!("{head}a_total{{b=\"\"\"}} 1\n"),
        format!("{head}a_total{{b=\"\\x\"}} 1\n"),
        format!("{head}a_total{{b=\"1\",b=\"2\"}} 1\n"),
        format!("{head}a_total{{b=\"1\"}} one\n"),
        "# TYPE a_total counter\na_total 1\n".to_owned(),
        "# HELP a Words.\n# TYPE a counter\na 1\n".to_owned(),
        format!("{histogram}h_bucket{{le=\"1\"}} 2\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n"),
        format!("{histogram}h_bucket{{le=\"1\"}} 1\nh_bucket{{le=\"+Inf\"}} 2\nh_sum 1\nh_count 1\n"),
        format!("{histogram}h_bucket{{le=\"1\"}} 1\nh_sum 1\nh_count 1\n"),
        format!("{histogram}h_bucket{{le=\"+Inf\"}} 1\nh_count 1\n"),
    ];
    for row in rows {
        assert!(Scrape::read(&row).is_err(), "{row}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_outcome_cache_and_backend() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    for path in ["/static/a", "/static/a", "/static/a", "/page", "/address", "/never"] {
        edge.get(path).await;
    }
    let unused = [("cache", "unused")];
    let scrape = Scrape::until(&edge, "selvedge_request_duration_seconds_count", &unused, 3.0).await;
    let rows: &[Expected] = &[
        ("selvedge_requests_total", &[("reason", "cache.hit")], 2.0),
        ("selvedge_requests_total", &[("reason", "backend.timeout")], 1.0),
        ("selvedge_responses_total", &[("class", "2xx")], 5.0),
        ("selvedge_route_responses_total", &[("route", "/static/{*rest}"), ("class", "2xx")], 3.0),
        ("selvedge_route_responses_total", &[("route", "/never"), ("class", "5xx")], 1.0),
        ("selvedge_cache_requests_total", &[("result", "cache.miss")], 1.0),
        ("selvedge_backend_requests_total", &[("backend", "origin")], 2.0),
        ("selvedge_backend_responses_total", &[("backend", "origin"), ("class", "2xx")], 2.0),
        ("selvedge_backend_failures_total", &[("backend", "impatient"), ("error", "timeout")], 1.0),
        ("selvedge_backend_first_byte_seconds_count", &[("backend", "origin")], 2.0),
        ("selvedge_backend_first_byte_seconds_count", &[("backend", "impatient")], 0.0),
        ("selvedge_backend_up", &[("backend", "impatient")], 1.0),
        ("selvedge_backend_urls_down", &[("backend", "impatient")], 0.0),
        ("selvedge_request_duration_seconds_count", &[("cache", "hit")], 2.0),
        ("selvedge_request_duration_seconds_count", &[("cache", "miss")], 1.0),
        ("selvedge_response_head_seconds_count", &[], 6.0),
        ("selvedge_aborted_total", &[], 0.0),
        ("selvedge_errors_total", &[("kind", "handler-failed")], 0.0),
        ("selvedge_errors_total", &[("kind", "handler-panicked")], 0.0),
        ("selvedge_errors_total", &[("kind", "task-panicked")], 0.0),
        ("selvedge_errors_total", &[("kind", "access-log-dropped")], 0.0),
        ("selvedge_background_tasks", &[], 0.0),
    ];
    for (name, labels, expected) in rows {
        assert_eq!(scrape.get(name, labels), Some(*expected), "{name} {labels:?}");
    }
}

#[tokio::test]
async fn a_handler_that_failed_is_told_from_one_that_panicked() {
    let text =
        ["fail", "panic"].map(|name| format!("[[routes]]\npath = \"/{name}\"\nhandler = \"{name}\"\n"));
    let policy = read(&text.concat()).unwrap_or_else(|errors| panic!("{errors}"));
    let engine = Engine::builder(policy).handler("fail", fail).handler("panic", panics).compile().unwrap();
    let edge = Edge::start(crate::support::policy(Origin::start().await.address)).await;
    edge.engine.replace(Arc::new(engine), info("handlers"));
    for path in ["/fail", "/panic", "/panic"] {
        assert_eq!(edge.get(path).await.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
    let scrape = Scrape::of(&edge).await;
    for (kind, count) in [("handler-failed", 1.0), ("handler-panicked", 2.0)] {
        assert_eq!(scrape.get("selvedge_errors_total", &[("kind", kind)]), Some(count), "{kind}");
    }
}

async fn fail(_: HandlerContext) -> HandlerResult {
    Err(HandlerError::new("it fails"))
}

async fn panics(_: HandlerContext) -> HandlerResult {
    panic!("it panics");
}

#[tokio::test]
async fn names_of_a_policy_cannot_break_the_page() {
    let mut policy = policy(Origin::start().await.address);
    policy.routes.push(respond("/odd", "odd"));
    policy.routes.last_mut().unwrap().name = "a\"b\\c\nd}".to_owned();
    let edge = Edge::start(policy).await;
    assert_eq!(text(&edge.get("/odd").await), "odd");
    let scrape = Scrape::of(&edge).await;
    let labels = [("route", "a\"b\\c\nd}"), ("class", "2xx")];
    assert_eq!(scrape.get("selvedge_route_responses_total", &labels), Some(1.0), "{scrape:#?}");
}

#[tokio::test]
async fn edits_of_the_policy_bring_no_more_than_so_many_names() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    for number in 0..300 {
        let mut policy = policy(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)));
        policy.routes.push(respond("/edited", "edited"));
        policy.routes.last_mut().unwrap().name = format!("edit {number}");
        edge.engine.replace(crate::support::engine(policy), info("next"));
        assert_eq!(text(&edge.get("/edited").await), "edited");
    }
    let scrape = Scrape::of(&edge).await;
    let series = scrape.series.keys().filter(|(name, _)| name == "selvedge_route_responses_total").count();
    assert_eq!(series, 257, "256 names, and one for the rest");
    let rest = [("route", "_other"), ("class", "2xx")];
    assert_eq!(scrape.get("selvedge_route_responses_total", &rest), Some(44.0));
}

#[tokio::test]
async fn connections_and_bytes_are_those_of_the_wire() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let request = "GET /address HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    let before = Scrape::until(&edge, "selvedge_connections", &[], 1.0).await;
    let open = TcpStream::connect(edge.address).await.unwrap();
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    drop(client);
    // This connection, and the one that says nothing.
    let after = Scrape::until(&edge, "selvedge_connections", &[], 2.0).await;
    let grown = |name: &str| after.get(name, &[]).unwrap() - before.get(name, &[]).unwrap();
    assert!(grown("selvedge_connections_total") >= 3.0, "{after:#?}");
    assert!(grown("selvedge_received_bytes_total") > 1.0 * request.len() as f64);
    assert!(grown("selvedge_sent_bytes_total") > 1.0 * answer.len() as f64);
    drop(open);
    Scrape::until(&edge, "selvedge_connections", &[], 1.0).await;
}

#[tokio::test]
async fn clients_that_go_away_and_bodies_that_break_are_counted() {
    let edge = Edge::start(policy(Origin::start().await.address)).await;
    let get = |path: &str| with_host(Request::get(path).body(empty()).unwrap());
    let broken = connect(edge.address).await.send_request(get("/static/broken-once")).await.unwrap();
    assert!(broken.into_body().collect().await.is_err());
    let scrape = Scrape::until(&edge, "selvedge_aborted_total", &[], 1.0).await;
    assert_eq!(scrape.get("selvedge_errors_total", &[("kind", "body-broken")]), Some(1.0));
    let mut client = connect(edge.address).await;
    let mut response = client.send_request(get("/static/zeros/1000000000")).await.unwrap();
    response.frame().await.unwrap().unwrap();
    drop((response, client));
    let scrape = Scrape::until(&edge, "selvedge_aborted_total", &[], 2.0).await;
    assert_eq!(scrape.get("selvedge_errors_total", &[("kind", "body-broken")]), Some(1.0), "no source broke");
}

#[tokio::test]
async fn a_backend_with_an_open_circuit_is_down() {
    let mut policy = policy(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)));
    let breaker = BreakerRule { failures: 3, rate_percent: 100, open: Duration::from_secs(60), probes: 1 };
    policy.backends[1].health = HealthRule { breaker: Some(breaker), ..HealthRule::default() };
    let edge = Edge::start(policy).await;
    let up = async || Scrape::of(&edge).await.get("selvedge_backend_up", &[("backend", "origin")]);
    assert_eq!(up().await, Some(1.0), "nothing is known against it");
    for _ in 0..3 {
        assert!(edge.get("/page").await.status().is_server_error());
    }
    assert_eq!(up().await, Some(0.0), "three failures open the circuit");
    let scrape = Scrape::of(&edge).await;
    assert_eq!(scrape.get("selvedge_backend_up", &[("backend", "impatient")]), Some(1.0));
    assert!(
        scrape.get("selvedge_backend_failures_total", &[("backend", "origin"), ("error", "connect")])
            > Some(0.0)
    );
}

#[tokio::test]
async fn a_url_that_is_down_and_what_answers_in_its_place_are_counted() {
    let origin = Origin::start().await.address;
    let text = format!(
        "[backends.a]\nurl = [\"http://127.0.0.1:9\", \"http://{origin}\"]\nbreaker = {{ failures = 2, open = \"5m\" }}\n\
         [[routes]]\npath = \"/{{*rest}}\"\nbackend = \"a\"\ncache = {{ store = false }}\n"
    );
    let edge = Edge::start(read(&text).unwrap_or_else(|errors| panic!("{errors}"))).await;
    for _ in 0..5 {
        assert_eq!(edge.get("/page").await.status(), StatusCode::OK);
    }
    let scrape = Scrape::of(&edge).await;
    let rows: &[Expected] = &[
        ("selvedge_failovers_total", &[("reason", "backend.connect")], 2.0),
        ("selvedge_failovers_total", &[("reason", "backend.circuit-open")], 3.0),
        ("selvedge_requests_total", &[("reason", "backend.responded")], 5.0),
        ("selvedge_backend_up", &[("backend", "a")], 1.0),
        ("selvedge_backend_urls_down", &[("backend", "a")], 1.0),
    ];
    for (name, labels, expected) in rows {
        assert_eq!(scrape.get(name, labels), Some(*expected), "{name} {labels:?}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_full_disk_loses_lines_of_the_log_and_no_request() {
    let access_log = Some(AccessLog::new(LogTarget::File("/dev/full".into())));
    let config = EmulatorConfig { access_log, ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(Origin::start().await.address), config).await;
    assert_eq!(edge.get("/page").await.status(), StatusCode::OK);
    Scrape::until(&edge, "selvedge_errors_total", &[("kind", "access-log-unwritten")], 1.0).await;
    assert_eq!(edge.get("/page").await.status(), StatusCode::OK);
}
