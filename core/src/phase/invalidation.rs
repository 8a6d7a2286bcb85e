//! What a request that changes something invalidates.

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};

use crate::body::Body;
use crate::cache::key::KeyWriter;
use crate::cache::purge::{Manner, Purge};
use crate::cache::stored::invalidated_groups;
use crate::effect::CachePurge;
use crate::engine::Engine;
use crate::route::Action;
use crate::route::router::Found;
use crate::target::{QuerySelection, Target, normalise_query};
use crate::time::Timestamp;
use crate::transaction::Transaction;

impl Engine {
    /// Returns what a response invalidates, [RFC 9111 section 4.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.4): nothing when
    /// the request is safe or failed, else its own URL, those that `Location` and `Content-Location` name on the same origin, and the cache
    /// groups of [RFC 9875](https://www.rfc-editor.org/rfc/rfc9875).
    pub(crate) fn invalidation<B>(
        &self,
        tx: &Transaction,
        response: &Response<B>,
        at: Timestamp,
    ) -> Option<CachePurge> {
        let is_done = response.status().is_success() || response.status().is_redirection();
        if is_safe(tx.request.method()) || !is_done || !self.has_store() {
            return None;
        }
        let own = tx.target.as_ref()?;
        let named = [header::LOCATION, header::CONTENT_LOCATION];
        let named = named.iter().filter_map(|name| self.named(tx, own, response.headers(), name));
        let mut purge = CachePurge { purges: Vec::new(), manner: Manner::Hard, at, keys: Vec::new() };
        for target in [own.clone()].into_iter().chain(named) {
            purge.purges.extend(self.urls(tx.scheme(), &target).into_iter().map(Purge::Url));
            purge.keys.extend(self.key_at(tx, target));
        }
        let origin = crate::cache::purge::origin(&KeyWriter::new(tx.scheme(), own, "").finish()).to_owned();
        let groups = invalidated_groups(response.headers()).into_iter();
        purge.purges.extend(groups.map(|name| Purge::Group { origin: origin.clone(), name }));
        Some(purge)
    }

    /// Returns a URL as the first lines of cache keys have it: once for each way in which the policy's routes read a query.
    ///
    /// `None` for what is no absolute URL of `http` or `https`, or one that the edge would refuse.
    #[must_use]
    pub fn purge_urls(&self, url: &str) -> Option<Vec<String>> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_owned();
        let target = Target::parse(&uri, &HeaderMap::new(), self.policy().limits.encoded_slashes).ok()?;
        Some(self.urls(&scheme, &target))
    }

    /// Returns the beginning of URLs as cache keys have it; `None` as for [`purge_urls`](Self::purge_urls).
    #[must_use]
    pub fn purge_prefix(&self, prefix: &str) -> Option<String> {
        let uri: Uri = prefix.parse().ok()?;
        let scheme = uri.scheme_str()?.to_owned();
        let target = Target::parse(&uri, &HeaderMap::new(), self.policy().limits.encoded_slashes).ok()?;
        Some(KeyWriter::new(&scheme, &target, target.raw_query().unwrap_or_default()).finish())
    }

    fn urls(&self, scheme: &str, target: &Target) -> Vec<String> {
        let mut selections: Vec<&QuerySelection> = Vec::new();
        for route in self.policy().routes.iter().filter(|route| matches!(route.action, Action::Proxy { .. }))
        {
            if !selections.contains(&&route.key.query) {
                selections.push(&route.key.query);
            }
        }
        let query = target.raw_query().unwrap_or_default();
        let mut urls: Vec<_> = selections
            .into_iter()
            .map(|selection| KeyWriter::new(scheme, target, &normalise_query(query, selection)).finish())
            .collect();
        urls.sort_unstable();
        urls.dedup();
        urls
    }

    /// The URL that a field names, when it is on the request's own origin.
    fn named(
        &self,
        tx: &Transaction,
        own: &Target,
        response: &HeaderMap,
        name: &header::HeaderName,
    ) -> Option<Target> {
        let uri = resolve(tx.scheme(), own, response.get(name)?.to_str().ok()?.trim())?;
        let scheme = uri.scheme_str()?;
        let target = Target::parse(&uri, &HeaderMap::new(), self.policy().limits.encoded_slashes).ok()?;
        let port = |target: &Target| target.port().or(usual_port(scheme));
        let is_same = scheme == tx.scheme() && target.host() == own.host() && port(&target) == port(own);
        is_same.then_some(target)
    }

    /// The key under which a `GET` like this request would look for a URL of the same origin.
    fn key_at(&self, tx: &Transaction, target: Target) -> Option<String> {
        let mut get = tx.as_get();
        let path = target
            .raw_query()
            .map_or_else(|| target.path().to_owned(), |query| format!("{}?{query}", target.path()));
        let mut parts = get.request.uri().clone().into_parts();
        parts.path_and_query = Some(path.parse().ok()?);
        *get.request.uri_mut() = Uri::from_parts(parts).ok()?;
        get.target = Some(target);
        let Found::Route(id, captures) = self.find(&mut get, &Method::GET) else { return None };
        (get.route, get.captures) = (Some(id), captures);
        self.cache_key(&get)
    }

    /// The `GET` that a response to this `POST` answers too, when it says so by its `Content-Location`,
    /// [RFC 9110 section 9.3.3](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.3).
    pub(crate) fn answered_get<B>(&self, tx: &Transaction, response: &Response<B>) -> Option<Transaction> {
        if *tx.request.method() != Method::POST || response.status() != StatusCode::OK || !self.has_store() {
            return None;
        }
        let own = tx.target.as_ref()?;
        let named = self.named(tx, own, response.headers(), &header::CONTENT_LOCATION)?;
        let is_own = named.path() == own.path() && named.raw_query() == own.raw_query();
        is_own.then(|| tx.as_get())
    }
}

impl Transaction {
    /// The same request as a `GET` without content or conditions.
    fn as_get(&self) -> Self {
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.request.uri().clone();
        request.headers_mut().clone_from(self.request.headers());
        crate::cache::validation::remove_conditions(request.headers_mut());
        for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::RANGE] {
            request.headers_mut().remove(name);
        }
        let mut get = self.clone();
        get.request = request;
        get
    }
}

/// [RFC 9110 section 9.2.1](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1); a method that is not known is unsafe.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Resolves a reference, [RFC 3986 section 5.2](https://www.rfc-editor.org/rfc/rfc3986#section-5.2).
fn resolve(scheme: &str, own: &Target, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default();
    let port = own.port().map(|port| format!(":{port}")).unwrap_or_default();
    let place = format!("{scheme}://{}{port}", own.host());
    let is_absolute = reference.split(['/', '?']).next().is_some_and(|start| start.contains(':'));
    let (path, query) =
        reference.split_once('?').map_or((reference, None), |(path, query)| (path, Some(query)));
    let text = match path {
        _ if is_absolute => reference.to_owned(),
        path if path.starts_with("//") => format!("{scheme}:{reference}"),
        "" => format!("{place}{}{}", own.path(), suffix(query.or(own.raw_query()))),
        path if path.starts_with('/') => format!("{place}{}{}", without_dots(path), suffix(query)),
        path => {
            let folder = own.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{place}{}{}", without_dots(&format!("{folder}/{path}")), suffix(query))
        }
    };
    text.parse().ok()
}

fn suffix(query: Option<&str>) -> String {
    query.map(|query| format!("?{query}")).unwrap_or_default()
}

/// [RFC 3986 section 5.2.4](https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4), of a path that begins with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let ends_in_folder = path.ends_with("/.") || path.ends_with("/..");
    format!("/{}{}", kept.join("/"), if ends_in_folder && !kept.is_empty() { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::EncodedSlashes;

    #[test]
    fn references_are_resolved_against_the_request() {
        let uri = Uri::from_static("http://a.test:81/b/c?d");
        let own = Target::parse(&uri, &HeaderMap::new(), EncodedSlashes::Reject).expect("a target");
        let rows = [
            ("", "http://a.test:81/b/c?d"),
            ("?x", "http://a.test:81/b/c?x"),
            ("e", "http://a.test:81/b/e"),
            ("./e?x#f", "http://a.test:81/b/e?x"),
            ("../e", "http://a.test:81/e"),
            ("../../../e/.", "http://a.test:81/e/"),
            ("/e", "http://a.test:81/e"),
            ("//b.test/e", "http://b.test/e"),
            ("https://b.test/e", "https://b.test/e"),
        ];
        for (reference, expected) in rows {
            let found = resolve("http", &own, reference).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), Some(expected), "RFC 3986 section 5.4: {reference}");
        }
        for reference in ["http://", "mailto:a@b.test", "http://a b/"] {
            let uri = resolve("http", &own, reference);
            assert!(uri.is_none_or(|uri| uri.host() != Some("a.test")), "{reference}");
        }
    }
}
