//! Whether and under which key a request uses the cache.

use http::{Method, header};

use crate::cache::key::KeyWriter;
use crate::cache::range;
use crate::cache::rule::Storing as StoreRule;
use crate::engine::Engine;
use crate::route::{Action, BackendChoice, Route, RouteId};
use crate::target::normalise_query;
use crate::transaction::Transaction;

/// Whether a request uses the cache.
#[derive(Debug)]
pub(crate) enum CachePlan {
    /// It does, under this key.
    Lookup(String),
    /// It does not.
    Bypass,
}

impl Engine {
    /// Returns the cache key of a request, or `None` when it does not use the cache.
    ///
    /// Call it after [`Engine::on_viewer_request`].
    #[must_use]
    pub fn cache_key(&self, tx: &Transaction) -> Option<String> {
        match self.cache_plan(tx) {
            CachePlan::Lookup(key) => Some(key),
            CachePlan::Bypass => None,
        }
    }

    /// Returns the name of the handler that a request goes to.
    #[must_use]
    pub fn handler_of(&self, tx: &Transaction) -> Option<&str> {
        match &self.route_of(tx)?.action {
            Action::Handle(name) => Some(name),
            Action::Proxy { .. } | Action::Redirect(_) | Action::Respond(_) => None,
        }
    }

    pub(crate) fn cache_plan(&self, tx: &Transaction) -> CachePlan {
        match self.route_of(tx) {
            Some(route) if self.uses_cache(tx) => CachePlan::Lookup(self.key(tx, route)),
            Some(_) | None => CachePlan::Bypass,
        }
    }

    /// Only what comes from a backend is stored, and only for requests that a stored response can answer. What a platform's own cache does
    /// with ranges is up to it.
    pub(crate) fn uses_cache(&self, tx: &Transaction) -> bool {
        let request = &tx.request;
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_plain = request.body().is_empty()
            && !request.headers().contains_key(header::IF_MATCH)
            && !request.headers().contains_key(header::IF_UNMODIFIED_SINCE)
            && (self.has_store() || !range::is_wanted(request.headers()))
            && !tx.asks_for_web_socket();
        let may_store = |route: &Route| {
            matches!(route.action, Action::Proxy { .. }) && route.cache.store == StoreRule::Store
        };
        is_safe && is_plain && self.route_of(tx).is_some_and(may_store)
    }

    fn key(&self, tx: &Transaction, route: &Route) -> String {
        let target = tx.target.as_ref().expect("a routed request has a target");
        let query = normalise_query(tx.request.uri().query().unwrap_or_default(), &route.key.query);
        let mut key = KeyWriter::new(tx.scheme(), target, &query);
        key.request_parts(&route.key, tx.request.headers());
        let bot = tx.verdict.category().map_or("human", |category| category.as_str());
        for fact in &route.key.facts {
            key.fact(*fact, &tx.facts, tx.device.as_str(), bot);
        }
        if let Some(backend) = self.chosen_by_place(tx, route) {
            key.part("backend", backend, None);
        }
        if let Some(RouteId(at)) = tx.route.filter(|_| route.when.count() > 0) {
            // Another request of this URL may take another route.
            key.part("route", &at.to_string(), None);
        }
        for assigned in &tx.assigned {
            let experiment = self.policy().experiment(assigned.experiment);
            if experiment.changes_response() {
                let variation = &experiment.variations[assigned.variation].name;
                key.part("variation", &experiment.name, Some(variation.as_bytes()));
            }
        }
        key.finish()
    }

    /// The backend, where the client's place decides which: its responses are told apart by it.
    fn chosen_by_place(&self, tx: &Transaction, route: &Route) -> Option<&str> {
        let Action::Proxy { backend, .. } = &route.action else { return None };
        let depends = match backend {
            // Backends with weights answer the same.
            BackendChoice::One(_) | BackendChoice::Weighted(_) => false,
            BackendChoice::ByPlace(by_place) => by_place.depends_on_place(),
            BackendChoice::Nearest { .. } => true,
        };
        depends.then(|| self.policy().backend(self.choose_backend(tx, backend)).name.as_str())
    }
}
