//! Redirects that cannot be turned against the client.

use http::uri::Authority;
use http::{HeaderValue, Response, StatusCode, Uri, header};

use super::viewer_request::plain;
use crate::body::Body;
use crate::engine::Engine;
use crate::reason::{Reason, Rule};
use crate::route::{Redirect, RouteId};
use crate::template::{Encoding, Template};
use crate::transaction::Transaction;
use crate::values::RequestValues;

impl Engine {
    pub(super) fn redirect(&self, tx: &mut Transaction, id: RouteId, redirect: &Redirect) -> Response<Body> {
        let template = redirect.target.choose(&tx.facts);
        let mut location = template.render(&RequestValues { engine: self, tx }, Encoding::Url);
        if redirect.keep_query {
            append_query(&mut location, tx.request.uri().query());
        }
        let value =
            HeaderValue::from_str(&location).ok().filter(|_| self.may_lead_to(tx, template, &location));
        let Some(value) = value else {
            tx.decide(Reason::RedirectRefused, Rule::Route(id));
            return plain(400, "Bad request");
        };
        tx.decide(Reason::RouteRedirected, Rule::Route(id));
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
        response.headers_mut().insert(header::LOCATION, value);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Returns whether a rendered target stays on the hosts that the policy's author meant:
    /// the client's own, the one that stands literally in the template, and `redirects.allowed-hosts`.
    fn may_lead_to(&self, tx: &Transaction, template: &Template, location: &str) -> bool {
        if location.starts_with('/') {
            return !location.starts_with("//") && !location.contains('\\');
        }
        let Some(host) = safe_host(location) else { return false };
        let own = tx.target.as_ref().map(|target| target.host());
        own == Some(host.as_str())
            || literal_host(template.literal_prefix()) == Some(host.as_str())
            || self.policy().redirect_hosts.contains(&host)
    }
}

/// The host of an absolute `http` or `https` URL, lower case; `None` for anything that a browser might read otherwise.
fn safe_host(location: &str) -> Option<String> {
    let uri: Uri = location.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority: &Authority = uri.authority().filter(|_| is_web)?;
    let is_plain = !authority.as_str().contains(['@', '\\', '%']);
    is_plain.then(|| authority.host().to_ascii_lowercase())
}

/// The host that a template's text before its first variable names.
fn literal_host(prefix: &str) -> Option<&str> {
    let rest = prefix.strip_prefix("https://").or_else(|| prefix.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    Some(host).filter(|host| !host.is_empty())
}

fn append_query(location: &mut String, query: Option<&str>) {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return };
    location.push(if location.contains('?') { '&' } else { '?' });
    location.push_str(query);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_web_urls_have_a_safe_host() {
        let rows = [
            ("https://US.example.com/a", Some("us.example.com")),
            ("http://a.example:8080/", Some("a.example")),
            ("https://good.example@evil.example/", None),
            ("https://evil.example\\.good.example/", None),
            ("javascript:alert(1)", None),
            ("//evil.example/", None),
            ("https:/evil.example", None),
            ("good.example", None),
        ];
        for (location, expected) in rows {
            assert_eq!(safe_host(location).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn a_host_is_literal_only_before_the_first_variable() {
        let rows = [
            ("https://us.example.com/", Some("us.example.com")),
            ("https://us.example.com:8443/x", Some("us.example.com")),
            ("https://us.example.com", Some("us.example.com")),
            ("https://", None),
            ("/local", None),
        ];
        for (prefix, expected) in rows {
            assert_eq!(literal_host(prefix), expected, "{prefix}");
        }
    }
}
