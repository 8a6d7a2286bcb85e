//! A request made anew from nothing but what a backend was sent.

use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, HeaderValue, RANGE};
use http::uri::PathAndQuery;
use http::{Request, Uri};

use super::{Passage, reads};
use crate::body::Body;
use crate::engine::Engine;
use crate::facts::Facts;
use crate::interest;
use crate::time::Timestamp;
use crate::transaction::{Seed, Transaction};

/// What the third stage reads of a request beside its interest.
const ON_ARRIVAL: [http::HeaderName; 3] = [AUTHORIZATION, CACHE_CONTROL, RANGE];

impl Engine {
    /// Returns what has to go with a request to its backend for the third stage to go on with it.
    ///
    /// `sent` and `facts` are what the third stage will see, `sent` with an absolute URI. `None` when it can make everything anew from
    /// them, as it can unless the backend is sent another path than the client's, is not sent what the policy reads of the request, or
    /// an experiment depends on the client's place.
    #[must_use]
    pub fn passage(&self, tx: &Transaction, sent: &Request<Body>, facts: Facts) -> Option<Passage> {
        let again = self.retrace(sent.clone(), facts);
        (!self.is_same(tx, &again)).then(|| Passage::new(tx, sent))
    }

    /// Makes a request's transaction anew from what its backend was `sent`.
    #[must_use]
    pub fn retrace(&self, mut sent: Request<Body>, facts: Facts) -> Transaction {
        let seed = sent.headers().get("x-request-id").and_then(seed).unwrap_or_default();
        if let Some(host) = sent.headers().get("x-forwarded-host").cloned() {
            sent.headers_mut().insert(HOST, host);
        }
        let target = self.without_base(sent.uri());
        *sent.uri_mut() = target.map_or(Uri::from_static("*"), Uri::from);
        let mut tx = Transaction::new(sent, facts, seed);
        tx.is_admitted = true;
        let _ = self.on_viewer_request(&mut tx, Timestamp::default());
        tx
    }

    /// Path and query without the path of the backend's own URL.
    fn without_base(&self, uri: &Uri) -> Option<PathAndQuery> {
        let path_and_query = uri.path_and_query()?;
        let is_its = |base: &&Uri| base.scheme() == uri.scheme() && is_same_place(base, uri);
        let rests = self.backend_urls().filter(is_its).filter_map(|base| {
            let rest = path_and_query.as_str().strip_prefix(base.path().trim_end_matches('/'))?;
            rest.starts_with('/').then_some(rest)
        });
        rests.min_by_key(|rest| rest.len())?.parse().ok()
    }

    fn is_same(&self, tx: &Transaction, again: &Transaction) -> bool {
        let policy = self.policy();
        let reads_place = reads::headers_depend_on_place(policy, self.route_of(tx))
            || policy.routes.iter().any(|route| route.when.place.is_some());
        let names = interest::of(policy).headers;
        let read = names.iter().map(String::as_str).chain(ON_ARRIVAL.iter().map(http::HeaderName::as_str));
        let is_sent = |name: &str| {
            let values =
                |tx: &Transaction| tx.request.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
            name == HOST.as_str() || values(tx) == values(again)
        };
        !tx.assign_again
            && tx.seed() == again.seed()
            && tx.request.uri() == again.request.uri()
            && tx.target == again.target
            && (tx.route, &tx.captures) == (again.route, &again.captures)
            && (tx.device, tx.verdict.category()) == (again.device, again.verdict.category())
            && tx.assigned == again.assigned
            && tx.facts.is_https == again.facts.is_https
            && (!reads_place || tx.facts == again.facts)
            && read.into_iter().all(is_sent)
    }
}

fn is_same_place(base: &Uri, uri: &Uri) -> bool {
    let usual = if base.scheme_str() == Some("https") { 443 } else { 80 };
    let port = |uri: &Uri| uri.port_u16().unwrap_or(usual);
    base.host() == uri.host() && port(base) == port(uri)
}

fn seed(value: &HeaderValue) -> Option<Seed> {
    let (pairs, rest) = value.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}
