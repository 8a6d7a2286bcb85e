//! The second phase: the request about to leave the edge.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};

use super::OriginRequestOutcome;
use super::viewer_request::plain;
use crate::backend::{BackendId, HostSource};
use crate::bot::rules::BotAction;
use crate::cache::targeted::{CAPABILITY, SURROGATE_CAPABILITY};
use crate::cache::{range, validation};
use crate::effect::Fetch;
use crate::engine::{Engine, join};
use crate::geo::country::centroid_of;
use crate::geo::distance;
use crate::headers::{hop_by_hop, rules};
use crate::health::Place;
use crate::reason::{Reason, Rule};
use crate::route::{Action, BackendChoice};
use crate::target::normalise_path;
use crate::template::{Encoding, Template};
use crate::time::Timestamp;
use crate::transaction::Transaction;
use crate::values::RequestValues;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Room for what a backend is told of the client, and a few headers more.
const USUAL_ADDITIONS: usize = 8;

/// What the edge calls itself in `Via` ([RFC 9110 section 7.6.3](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.3)).
const VIA: HeaderValue = HeaderValue::from_static("1.1 selvedge");

impl Engine {
    /// Decides what the next attempt sends to which backend.
    ///
    /// The first call makes the plan: the chosen backend's URLs, then those of
    /// its failover order.
    pub fn on_origin_request(&self, tx: &mut Transaction, now: Timestamp) -> OriginRequestOutcome {
        self.plan_attempts(tx, now);
        let Some((backend, url)) = tx.attempts.plan.get(tx.attempts.next).copied() else {
            return bad_gateway(tx);
        };
        tx.attempts.next += 1;
        tx.attempts.asked = now;
        tx.note(Reason::BackendChosen, Rule::Backend(backend));
        match self.outgoing_uri(tx, backend, url) {
            Some(uri) => OriginRequestOutcome::Fetch(Box::new(self.fetch(tx, (backend, url), uri))),
            None => {
                tx.decide(Reason::RewriteRefused, tx.route.map_or(Rule::BuiltIn, Rule::Route));
                OriginRequestOutcome::Respond(plain(400, "Bad request"))
            }
        }
    }

    /// Plans attempts at the chosen backend and at its failover order, unless there is a plan.
    pub(crate) fn plan_attempts(&self, tx: &mut Transaction, now: Timestamp) {
        if tx.attempts.plan.is_empty() {
            let drawn = self.drawn(tx).or_else(|| Some(vec![self.chosen_now(tx, now)?]));
            tx.attempts.plan = drawn.map(|drawn| self.places(&drawn)).unwrap_or_default();
        }
    }

    /// Every backend that the route has weights for, in the order that this request asks them.
    fn drawn(&self, tx: &Transaction) -> Option<Vec<BackendId>> {
        match &self.route_of(tx)?.action {
            Action::Proxy { backend: BackendChoice::Weighted(weighted), .. }
                if self.chosen_by_variation(tx).is_none() =>
            {
                Some(weighted.order(tx.seed()))
            }
            Action::Proxy { .. } | Action::Redirect(_) | Action::Respond(_) | Action::Handle(_) => None,
        }
    }

    /// The chosen backend, or the nearest of those that answer where nearness decides.
    fn chosen_now(&self, tx: &Transaction, now: Timestamp) -> Option<BackendId> {
        let chosen = self.chosen(tx)?;
        let Action::Proxy { backend: BackendChoice::Nearest { candidates, .. }, .. } =
            &self.route_of(tx)?.action
        else {
            return Some(chosen);
        };
        if self.health().is_up(chosen, now) || !candidates.contains(&chosen) {
            return Some(chosen);
        }
        let is_up = |id: &&BackendId| self.health().is_up(**id, now);
        let up: Vec<_> = candidates.iter().filter(is_up).copied().collect();
        Some(self.nearest(tx, &up).unwrap_or(chosen))
    }

    fn nearest(&self, tx: &Transaction, candidates: &[BackendId]) -> Option<BackendId> {
        let from = tx.facts.coordinates.or_else(|| tx.facts.country.and_then(centroid_of))?;
        let at = |id: &BackendId| self.policy().backend(*id).coordinates.map(|place| (*id, place));
        distance::nearest(from, candidates.iter().filter_map(at))
    }

    fn chosen(&self, tx: &Transaction) -> Option<BackendId> {
        let Action::Proxy { backend, .. } = &self.route_of(tx)?.action else { return None };
        Some(self.chosen_by_variation(tx).unwrap_or_else(|| self.choose_backend(tx, backend)))
    }

    fn chosen_by_variation(&self, tx: &Transaction) -> Option<BackendId> {
        tx.assigned.iter().rev().find_map(|assigned| {
            self.policy().experiment(assigned.experiment).variations[assigned.variation].backend
        })
    }

    /// Chooses by the client's place, or by the request's seed; where only the country is known, its centre stands for the client.
    pub(super) fn choose_backend(&self, tx: &Transaction, choice: &BackendChoice) -> BackendId {
        match choice {
            BackendChoice::One(id) => *id,
            BackendChoice::ByPlace(by_place) => *by_place.choose(&tx.facts),
            BackendChoice::Nearest { candidates, unknown } => {
                self.nearest(tx, candidates).unwrap_or(*unknown)
            }
            BackendChoice::Weighted(weighted) => weighted.first(tx.seed()),
        }
    }

    /// The absolute URI that an attempt asks for; `None` when a rewrite gave a path that the edge would refuse.
    fn outgoing_uri(&self, tx: &Transaction, backend: BackendId, url: usize) -> Option<Uri> {
        let base = &self.backend(backend).urls[url];
        let target = tx.target.as_ref()?;
        let query = tx.request.uri().query();
        let path_and_query: PathAndQuery = match self.rewrite(tx) {
            None if tx.request.uri().path() == target.path() => tx.request.uri().path_and_query()?.clone(),
            None => parse_path(with_query(target.path().to_owned(), query))?,
            Some(template) => {
                let text = template.render(&RequestValues { engine: self, tx }, Encoding::Url);
                let (path, own_query) =
                    text.split_once('?').map_or((text.as_str(), None), |(p, q)| (p, Some(q)));
                let path = normalise_path(path, self.policy().limits.encoded_slashes).ok()?;
                let path = path.starts_with('/').then(|| path.into_owned())?;
                parse_path(with_query(path, own_query.or(query)))?
            }
        };
        join(base, path_and_query)
    }

    fn rewrite(&self, tx: &Transaction) -> Option<&Template> {
        let by_variation = tx.assigned.iter().rev().find_map(|assigned| {
            self.policy().experiment(assigned.experiment).variations[assigned.variation].rewrite.as_ref()
        });
        by_variation.or_else(|| match &self.route_of(tx)?.action {
            Action::Proxy { rewrite, .. } => rewrite.as_ref(),
            Action::Redirect(_) | Action::Respond(_) | Action::Handle(_) => None,
        })
    }

    fn fetch(&self, tx: &Transaction, place: Place, uri: Uri) -> Fetch {
        let backend = place.0;
        let mut request = Request::new(tx.request.body().clone());
        *request.method_mut() = tx.request.method().clone();
        *request.headers_mut() = self.outgoing_headers(tx, backend, &uri);
        if tx.asks_for_web_socket() {
            hop_by_hop::request_web_socket(request.headers_mut());
        }
        *request.uri_mut() = uri;
        Fetch {
            backend: self.backend(backend).name.clone(),
            request,
            timeout: self.policy().backend(backend).timeout,
            connect_timeout: self.policy().backend(backend).connect_timeout,
            watch: self.watch(place),
            max_body_bytes: self.policy().limits.max_body_bytes,
        }
    }

    /// The headers that the chosen backend is sent: `Vary` of its responses is about these.
    pub(crate) fn selecting_headers(&self, tx: &Transaction) -> HeaderMap {
        let Some(backend) = self.chosen(tx) else { return tx.request.headers().clone() };
        self.outgoing_headers(tx, backend, &self.backend(backend).urls[0])
    }

    fn outgoing_headers(&self, tx: &Transaction, backend: BackendId, uri: &Uri) -> HeaderMap {
        let values = RequestValues { engine: self, tx };
        let mut headers = tx.request.headers().clone();
        headers.reserve(USUAL_ADDITIONS);
        self.forwarding_headers(tx, &mut headers);
        match &tx.validates {
            Some(stored) => validation::ask(stored, &mut headers),
            None if self.wants_whole(tx) => validation::remove_conditions(&mut headers),
            None => {}
        }
        if self.has_store() && self.uses_cache(tx) {
            headers.insert(SURROGATE_CAPABILITY.clone(), CAPABILITY);
        }
        self.policy().headers.request.apply(&mut headers, &values);
        if let Some(route) = self.route_of(tx) {
            route.headers.request.apply(&mut headers, &values);
        }
        for assigned in &tx.assigned {
            let variation = &self.policy().experiment(assigned.experiment).variations[assigned.variation];
            for (name, template) in &variation.request_headers {
                rules::set(&mut headers, name, template, &values);
            }
        }
        for (name, value) in &self.backend(backend).headers {
            headers.insert(name.as_header_name().clone(), value.clone());
        }
        if let Some(host) = self.outgoing_host(tx, backend, uri) {
            headers.insert(header::HOST, host);
        }
        headers
    }

    fn outgoing_host(&self, tx: &Transaction, backend: BackendId, uri: &Uri) -> Option<HeaderValue> {
        match self.policy().backend(backend).host {
            HostSource::Backend => HeaderValue::from_str(uri.authority()?.as_str()).ok(),
            HostSource::Client => client_host(tx),
        }
    }

    /// What a backend is told about the client, from the platform's facts only.
    fn forwarding_headers(&self, tx: &Transaction, headers: &mut HeaderMap) {
        let ip = tx.facts.client_ip.and_then(|ip| HeaderValue::from_str(&ip.to_string()).ok());
        let id = HeaderValue::from_str(&tx.request_id()).ok();
        let set = [(X_FORWARDED_FOR, ip), (X_FORWARDED_HOST, client_host(tx)), (X_REQUEST_ID, id)];
        for (name, value) in set {
            match value {
                Some(value) => drop(headers.insert(name, value)),
                None => drop(headers.remove(name)),
            }
        }
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(tx.scheme()));
        headers.append(header::VIA, VIA);
        self.tag_bot(tx, headers);
    }

    fn tag_bot(&self, tx: &Transaction, headers: &mut HeaderMap) {
        let bots = &self.policy().bots;
        let name = bots.tag_header.as_header_name();
        headers.remove(name);
        if let (Some(BotAction::Tag), Some(category)) = (bots.decide(tx.verdict), tx.verdict.category()) {
            headers.insert(name.clone(), HeaderValue::from_static(category.as_str()));
        }
    }

    /// Whether the whole response is asked for whatever the client's conditions are, so that it can be stored: a route with a
    /// lifetime of its own says so, and a client's condition would bring a 304 that fits that client alone.
    pub(crate) fn wants_whole(&self, tx: &Transaction) -> bool {
        let has_lifetime = self.route_of(tx).is_some_and(|route| route.cache.edge.is_some());
        let is_for_all = tx.request.method() == Method::GET && !range::is_wanted(tx.request.headers());
        is_for_all && has_lifetime && self.uses_cache(tx)
    }
}

fn bad_gateway(tx: &mut Transaction) -> OriginRequestOutcome {
    tx.decide(Reason::BackendFailed(crate::effect::FetchError::Connect), Rule::BuiltIn);
    OriginRequestOutcome::Respond(plain(502, "Bad gateway"))
}

fn client_host(tx: &Transaction) -> Option<HeaderValue> {
    let target = tx.target.as_ref()?;
    let host = match target.port() {
        Some(port) => &*format!("{}:{port}", target.host()),
        None => target.host(),
    };
    let sent = tx.request.headers().get(header::HOST);
    // A copy of what was sent shares its memory.
    sent.filter(|sent| *sent == host).cloned().or_else(|| HeaderValue::from_str(host).ok())
}

fn parse_path(text: String) -> Option<PathAndQuery> {
    PathAndQuery::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

fn with_query(mut path: String, query: Option<&str>) -> String {
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    path
}
