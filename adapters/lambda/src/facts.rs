//! What is known about the client, from the front's own word and, where it proves itself, CloudFront's.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use selvedge_core::facts::{Coordinates, CountryCode, Facts};

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
        of_cloudfront(headers)
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

/// [CloudFront's headers](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html),
/// as far as the origin request policy has them.
fn of_cloudfront(headers: &HeaderMap) -> Facts {
    let text = |name| sole(headers, name).filter(|text| !text.is_empty());
    let number = |name| text(name).and_then(|text| text.parse::<f64>().ok());
    let mut facts = Facts::default();
    facts.client_ip = text("cloudfront-viewer-address").and_then(address_with_port);
    facts.country = text("cloudfront-viewer-country").and_then(CountryCode::new);
    facts.region = text("cloudfront-viewer-country-region").map(str::to_owned);
    facts.city = text("cloudfront-viewer-city").map(decoded);
    facts.coordinates = number("cloudfront-viewer-latitude")
        .zip(number("cloudfront-viewer-longitude"))
        .and_then(|(latitude, longitude)| Coordinates::new(latitude, longitude));
    facts.time_zone = text("cloudfront-viewer-time-zone").map(str::to_owned);
    facts.asn = text("cloudfront-viewer-asn").and_then(|text| text.parse().ok());
    facts.protocol = text("cloudfront-viewer-http-version").map(protocol);
    let tls = text("cloudfront-viewer-tls").and_then(|text| text.split(':').next());
    facts.tls_version = tls.map(str::to_owned);
    facts.is_https = text("cloudfront-forwarded-proto").map(|scheme| scheme == "https");
    // A function URL's own word is about CloudFront's connection; this one about the client's.
    facts.is_https = facts.is_https.or(facts.tls_version.as_ref().map(|_| true));
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

/// An address with the port behind its last colon, also where an IPv6 address has no brackets.
fn address_with_port(text: &str) -> Option<IpAddr> {
    let (host, _) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn protocol(version: &str) -> String {
    format!("HTTP/{}", version.strip_suffix(".0").filter(|major| *major != "1").unwrap_or(version))
}

/// CloudFront encodes what is not ASCII in names of cities.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let is_escape = |part: &&[u8]| part[0] == b'%' && part[1..].iter().all(u8::is_ascii_hexdigit);
        let escaped = bytes.get(at..at + 3).filter(is_escape);
        let byte =
            escaped.and_then(|part| u8::from_str_radix(std::str::from_utf8(&part[1..]).ok()?, 16).ok());
        plain.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests;
