//! What the benchmarks measure: policies, requests and clients.
//!
//! `cargo xtask bench` runs them all and writes `REPORT.md`.

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use selvedge_core::body::Body;
use selvedge_core::cache::lifetime::{LifetimeSource, Lifetimes};
use selvedge_core::cache::stored::{Arrival, StoredResponse};
use selvedge_core::engine::Engine;
use selvedge_core::facts::{CountryCode, Facts};
use selvedge_core::phase::{OriginRequestOutcome, ViewerRequestOutcome};
use selvedge_core::policy::read::read;
use selvedge_core::time::Timestamp;
use selvedge_core::transaction::Transaction;

/// The policy that every document speaks of.
pub const STOREFRONT: &str = include_str!("../../../examples/storefront/edge.toml");

/// 2026-01-15T12:00:00Z.
pub const NOW: Timestamp = Timestamp::from_millis(1_768_478_400_000);

/// The 20 headers of a browser's request for a page.
pub const HEADERS: [(&str, &str); 20] = [
    ("host", "shop.example.com"),
    ("user-agent", CHROME),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("cache-control", "max-age=0"),
    ("cookie", "selvedge_visitor=7f3d0c55a4f0e1c2; sid=5d41402abc4b2a76b9719d911017c592; theme=dark"),
    ("dnt", "1"),
    ("if-none-match", "\"5eb63bbbe01eeed093cb22bb8f5acdc3\""),
    ("origin", "https://shop.example.com"),
    ("priority", "u=0, i"),
    ("referer", "https://shop.example.com/products?page=2"),
    ("sec-ch-ua", "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"140\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-user", "?1"),
    ("upgrade-insecure-requests", "1"),
];

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/// User agents of people and bots, by a short name.
pub const USER_AGENTS: [(&str, &str); 6] = [
    ("chrome", CHROME),
    (
        "safari-mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    ),
    ("googlebot", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
    ("curl", "curl/8.5.0"),
    ("sqlmap", "sqlmap/1.8.3#stable (https://sqlmap.org)"),
    ("facebook", "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"),
];

/// Requests to the storefront, each by a short name with its path and its client's country.
pub const REQUESTS: [(&str, &str, &str); 6] = [
    ("home", "/?utm_source=mail&ref=1", "DE"),
    ("static", "/static/site.css?v=3", "DE"),
    ("content", "/api/content?page=2", "FR"),
    ("go", "/go", "US"),
    ("blocked", "/", "CN"),
    ("not-found", "/nowhere/at/all", "JP"),
];

/// The eight headers of a stored response.
pub const STORED_HEADERS: [(&str, &str); 8] = [
    ("date", "Thu, 15 Jan 2026 11:59:58 GMT"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-length", "64"),
    ("cache-control", "public, max-age=3600"),
    ("etag", "\"5eb63bbbe01eeed093cb22bb8f5acdc3\""),
    ("last-modified", "Wed, 14 Jan 2026 08:12:31 GMT"),
    ("server", "nginx/1.28.0"),
    ("x-content-type-options", "nosniff"),
];

/// A response with the [`STORED_HEADERS`] as it is stored; it arrived at [`NOW`] and is fresh for an hour.
#[must_use]
pub fn stored_head() -> StoredResponse {
    stored(&STORED_HEADERS, &HeaderMap::new())
}

/// The same, selected by the `Accept-Encoding` of a request.
#[must_use]
pub fn stored_variant(request: &HeaderMap) -> StoredResponse {
    let vary = ("vary", "accept-encoding");
    stored(&[&STORED_HEADERS[..], &[vary]].concat(), request)
}

fn stored(fields: &[(&'static str, &'static str)], request: &HeaderMap) -> StoredResponse {
    let fields = fields.iter();
    let headers =
        fields.map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    StoredResponse::new(Arrival {
        status: StatusCode::OK,
        headers: headers.collect(),
        request,
        lifetimes: Lifetimes::without_stale(Duration::from_secs(3600), LifetimeSource::CacheControl),
        tags: Vec::new(),
        keeps_cookies: false,
        request_time: NOW,
        response_time: NOW,
    })
}

/// Compiles a policy.
///
/// # Panics
/// When the text is no policy.
#[must_use]
pub fn engine(policy: &str) -> Engine {
    let policy = read(policy).expect("the benchmark's policy is valid");
    Engine::compile(policy).expect("the benchmark's policy needs nothing")
}

/// Makes a request with the [`HEADERS`] of a browser.
///
/// # Panics
/// When the target is no target.
#[must_use]
pub fn request(target: &str) -> Request<Body> {
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = target.parse::<Uri>().expect("the benchmark's targets are valid");
    for (name, value) in HEADERS {
        request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    request
}

/// What the platform knows about a client in a country.
#[must_use]
pub fn facts(country: &str) -> Facts {
    let mut facts = Facts::default();
    facts.client_ip = "203.0.113.9".parse().ok();
    facts.country = CountryCode::new(country);
    facts.is_https = Some(true);
    facts
}

/// Runs the decision on one request: viewer-request phase, cache key, origin-request phase.
#[must_use]
pub fn decide(engine: &Engine, request: Request<Body>, facts: Facts) -> Decision {
    let mut transaction = Transaction::new(request, facts, [7; 16]);
    let viewer = engine.on_viewer_request(&mut transaction, NOW);
    if matches!(viewer, ViewerRequestOutcome::Respond(_)) {
        return Decision { transaction, viewer, key: None, origin: None };
    }
    let key = engine.cache_key(&transaction);
    let origin = Some(engine.on_origin_request(&mut transaction, NOW));
    Decision { transaction, viewer, key, origin }
}

/// What came of a decision; whoever has it drops it outside of what is measured.
#[derive(Debug)]
pub struct Decision {
    /// The request with everything learnt.
    pub transaction: Transaction,
    /// What the first phase said.
    pub viewer: ViewerRequestOutcome,
    /// The cache key.
    pub key: Option<String>,
    /// What the second phase said.
    pub origin: Option<OriginRequestOutcome>,
}

/// A policy of `count` routes of four shapes, in sections of ten.
#[must_use]
pub fn policy_of_routes(count: usize) -> String {
    let mut policy = "[backends.a]\nurl = \"http://a.test\"\n".to_owned();
    for at in 0..count {
        let section = at / 10;
        let path = match at % 4 {
            0 => format!("/section-{section}/page-{at}"),
            1 => format!("/section-{section}/users-{at}/{{id}}"),
            2 => format!("/section-{section}/users-{at}/{{id}}/posts/{{post}}"),
            _ => format!("/section-{section}/files-{at}/{{*rest}}"),
        };
        let _ = write!(policy, "[[routes]]\npath = \"{path}\"\nbackend = \"a\"\n");
    }
    policy
}

/// A target for each shape among `count` routes, around the middle, and one that no route takes.
#[must_use]
pub fn targets_among(count: usize) -> [String; 5] {
    let middle = count / 8 * 4;
    let path = |at: usize, rest: &str| format!("/section-{}/{rest}", at / 10);
    [
        path(middle, &format!("page-{middle}")),
        path(middle + 1, &format!("users-{}/42", middle + 1)),
        path(middle + 2, &format!("users-{}/42/posts/7", middle + 2)),
        path(middle + 3, &format!("files-{}/a/b/c.css", middle + 3)),
        path(middle, "nothing"),
    ]
}

#[cfg(test)]
mod tests {
    use selvedge_core::reason::Reason;

    use super::*;

    #[test]
    fn every_request_takes_the_way_that_its_name_says() {
        let engine = engine(STOREFRONT);
        let rows = [
            ("home", None),
            ("static", None),
            ("content", None),
            ("go", Some(Reason::RouteRedirected)),
            ("blocked", Some(Reason::GeoBlocked)),
            ("not-found", Some(Reason::RouteNotFound)),
        ];
        for ((name, target, country), (expected_name, answer)) in REQUESTS.into_iter().zip(rows) {
            let decision = decide(&engine, request(target), facts(country));
            assert_eq!(name, expected_name);
            match answer {
                Some(reason) => assert_eq!(decision.transaction.summary().reason, reason, "{name}"),
                None => assert!(matches!(decision.origin, Some(OriginRequestOutcome::Fetch(_))), "{name}"),
            }
        }
    }

    #[test]
    fn targets_lie_among_the_routes_but_for_the_last() {
        for count in [10, 1_000] {
            let engine = engine(&policy_of_routes(count));
            for (at, target) in targets_among(count).iter().enumerate() {
                let decision = decide(&engine, request(target), facts("DE"));
                assert_eq!(decision.origin.is_some(), at < 4, "{target} among {count}");
            }
        }
    }
}
