//! The last phase: the response about to reach the client.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::body::Body;
use crate::cache::client;
use crate::cache::status::CacheStatus;
use crate::engine::Engine;
use crate::headers::rules::HeaderRules;
use crate::headers::security::{SECURITY, Transport};
use crate::headers::{hop_by_hop, rules};
use crate::reason::Reason;
use crate::route::Action;
use crate::time::Timestamp;
use crate::transaction::Transaction;
use crate::values::RequestValues;

/// [Server-Timing](https://www.w3.org/TR/server-timing/): the part of this edge is the last one.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Origin, credentials, exposed headers and `Vary`.
const CORS_HEADERS: usize = 4;

/// Headers of this prefix are the edge's own and never leave it.
const INTERNAL_PREFIX: &str = "selvedge-";

impl Engine {
    /// Gives a response its last headers: the policy's, CORS, cookies and `Cache-Status`.
    pub fn on_viewer_response(&self, tx: &mut Transaction, response: &mut Response<Body>, now: Timestamp) {
        let headers = response.headers_mut();
        headers.reserve(self.most_additions(tx));
        hop_by_hop::strip_response(headers);
        remove_internal(headers);
        if let Some(route) = self.route_of(tx).filter(|_| self.comes_from_backend(tx)) {
            client::tell_client(headers, tx.request.headers(), &route.cache);
        }
        self.apply_rules(tx, headers);
        self.apply_cors(tx, headers);
        for cookie in self.cookies_to_set(tx) {
            client::make_private(headers);
            headers.append(http::header::SET_COOKIE, cookie);
        }
        let status = tx.cache_status.take().unwrap_or_else(CacheStatus::local);
        let status = match tx.shown_key.take() {
            Some(key) => status.key(&key),
            None => status,
        };
        status.detail(tx.reason().code()).append_to(headers);
        if let Some(began) = tx.began.filter(|_| self.policy().server_timing) {
            headers.append(SERVER_TIMING, server_timing(tx, now.saturating_since(began)));
        }
    }

    /// How many headers the policy may add: room for a map that grows once, if it does at all.
    fn most_additions(&self, tx: &Transaction) -> usize {
        let rules = |headers: &HeaderRules| {
            headers.response.set.len()
                + headers.response.append.len()
                + headers.presets.len() * SECURITY.len()
        };
        let by_route = self.route_of(tx).map_or(0, |route| rules(&route.headers));
        let by_site =
            rules(&self.policy().headers) + if self.policy().cors.is_some() { CORS_HEADERS } else { 0 };
        // `Cache-Status`, `Server-Timing`, and for each variation a cookie and what it sets.
        1 + usize::from(self.policy().server_timing) + by_route + by_site + tx.assigned.len() * 2
    }

    fn comes_from_backend(&self, tx: &Transaction) -> bool {
        let proxied = self.route_of(tx).is_some_and(|route| matches!(route.action, Action::Proxy { .. }));
        let by_backend = matches!(
            tx.reason(),
            Reason::BackendResponded
                | Reason::BackendErrorStatus
                | Reason::CacheHit
                | Reason::CacheStaleWhileRevalidate
                | Reason::CacheStaleWanted
                | Reason::CacheRevalidated
                | Reason::FallbackStale
        );
        proxied && by_backend
    }

    fn apply_rules(&self, tx: &Transaction, headers: &mut HeaderMap) {
        let values = RequestValues { engine: self, tx };
        let site = &self.policy().headers;
        site.response.apply(headers, &values);
        let route = self.route_of(tx).map(|route| &route.headers);
        if let Some(route) = route {
            route.response.apply(headers, &values);
        }
        for assigned in &tx.assigned {
            let variation = &self.policy().experiment(assigned.experiment).variations[assigned.variation];
            for (name, template) in &variation.response_headers {
                rules::set(headers, name, template, &values);
            }
        }
        let transport = Transport::of(&tx.facts);
        for preset in site.presets.iter().chain(route.iter().flat_map(|route| &route.presets)) {
            preset.apply(headers, transport);
        }
    }

    /// The answer to a preflight says already what the route of the real request allows.
    fn apply_cors(&self, tx: &Transaction, headers: &mut HeaderMap) {
        if matches!(tx.reason(), Reason::CorsPreflight | Reason::CorsRefused) {
            return;
        }
        let route = self.route_of(tx).and_then(|route| route.cors.as_ref());
        if let Some(cors) = route.or(self.policy().cors.as_ref()) {
            cors.response_headers(tx.request.headers(), headers);
        }
    }
}

/// How long the request took so far, what the cache had to do with it, and how long the route's backends took.
fn server_timing(tx: &Transaction, took: Duration) -> HeaderValue {
    let mut timing = String::with_capacity(64);
    timing += "edge;dur=";
    timing += &took.as_millis().to_string();
    if let Some(cache) = tx.cache {
        timing += ", cache;desc=\"";
        timing += cache.code();
        timing += "\"";
    }
    if let Some(waited) = tx.attempts.waited {
        timing += ", origin;dur=";
        timing += &waited.as_millis().to_string();
    }
    HeaderValue::try_from(timing).expect("codes and numbers are a header's value")
}

fn remove_internal(headers: &mut HeaderMap) {
    let names: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with(INTERNAL_PREFIX)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}
