//! What is known about the client, from the front's own word and, where it proves itself, CloudFront's.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use selvedge_cloudfront::policy::viewer_facts;
use selvedge_core::facts::Facts;

use crate::event::{Front, HttpEvent};
use crate::settings::Secret;

/// The header in which CloudFront sends the secret; set it as a custom header of the origin.
pub(crate) const SECRET_HEADER: &str = "selvedge-cloudfront-secret";

/// What is known about the client of a request.
///
/// Behind CloudFront the front's word is CloudFront's address, so that nothing of it is taken then. The headers that are
/// read here never reach the policy or a backend: the core drops them at the door.
pub(crate) fn of(event: &HttpEvent, headers: &HeaderMap, secret: Option<&Secret>) -> Facts {
    if secret.is_some_and(|secret| is_proven(headers, secret)) {
        viewer_facts(|name| sole(headers, name))
    } else {
        of_front(event, headers)
    }
}

fn is_proven(headers: &HeaderMap, secret: &Secret) -> bool {
    sole(headers, SECRET_HEADER).is_some_and(|value| secret.is(value.as_bytes()))
}

fn of_front(event: &HttpEvent, headers: &HeaderMap) -> Facts {
    let mut facts = Facts::default();
    facts.protocol.clone_from(&event.protocol);
    match event.front {
        // Both are reached over TLS only.
        Front::Version1 | Front::Version2 => {
            facts.client_ip = event.source_ip.as_deref().and_then(address);
            facts.is_https = Some(true);
        }
        Front::LoadBalancer { .. } => {
            facts.client_ip = last(headers, "x-forwarded-for").and_then(address);
            facts.is_https = last(headers, "x-forwarded-proto").map(|scheme| scheme == "https");
        }
    }
    facts
}

/// The value of a header that is there once.
fn sole<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// What the load balancer appended: the end of the last value
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html>).
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim)
}

fn address(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|both| both.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests;
