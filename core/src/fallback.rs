//! Answers for when things go wrong, and for when the site is closed.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::backend::BackendId;
use crate::body::Body;
use crate::facts::Facts;

/// What to answer when a backend fails or no route matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// Whether a stale stored response may answer.
    pub stale: StaleAnswers,
    /// The backend to ask at last.
    pub backend: Option<BackendId>,
    /// The page for when everything failed.
    pub page: Option<Page>,
    /// The page for when no route matches.
    pub not_found: Page,
}

/// Whether stale stored responses may stand in for a failed backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StaleAnswers {
    /// Within the response's own `stale-if-error` time.
    #[default]
    Allow,
    /// Never.
    Refuse,
}

/// A fixed page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// 200 to 599.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The media type.
    pub content_type: String,
}

/// One page for the whole site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// The page.
    pub page: Page,
    /// What `Retry-After` says.
    pub retry_after: Option<Duration>,
    /// Networks that see the site all the same.
    pub allow: Vec<Network>,
}

/// An IP network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The media type of plain text that the edge writes.
pub const TEXT_PLAIN: &str = "text/plain; charset=utf-8";

impl Default for Fallback {
    fn default() -> Self {
        let not_found = Page::text(404, "Not found");
        Self { stale: StaleAnswers::Allow, backend: None, page: None, not_found }
    }
}

impl Page {
    /// Makes a page of plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), content_type: TEXT_PLAIN.to_owned() }
    }

    /// Makes the response, which no cache may keep.
    #[must_use]
    pub fn response(&self) -> Response<Body> {
        text_response(self.status, self.body.clone().into_bytes(), &self.content_type)
    }
}

/// A response of the edge itself; `no-store` keeps an answer to one client from another. A status that forbids
/// content comes without a type for it.
pub(crate) fn text_response(
    status: u16,
    body: impl Into<bytes::Bytes>,
    content_type: &str,
) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !matches!(status, 204 | 205 | 304) {
        let fallback = HeaderValue::from_static(TEXT_PLAIN);
        let content_type = HeaderValue::from_str(content_type).unwrap_or(fallback);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Maintenance {
    /// Returns the page for a client, or `None` when the client may see the site.
    #[must_use]
    pub fn answer(&self, facts: &Facts) -> Option<Response<Body>> {
        if facts.client_ip.is_some_and(|ip| self.allow.iter().any(|network| network.contains(ip))) {
            return None;
        }
        let mut response = self.page.response();
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        Some(response)
    }
}

impl Network {
    /// Parses an address, or an address with a prefix length; `None` when it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(most), |p| p.parse().ok())?;
        (prefix <= most).then_some(Self { address, prefix })
    }

    /// Returns whether an address lies in the network; an IPv4-mapped IPv6 address counts as its IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (own, other, width) = match (self.address, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => (u128::from(u32::from(own)), u128::from(u32::from(ip)), 32),
            (IpAddr::V6(own), IpAddr::V6(ip)) => (u128::from(own), u128::from(ip), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        let host_bits = width - u32::from(self.prefix);
        (own ^ other).checked_shr(host_bits).unwrap_or(0) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_the_addresses_of_their_prefix() {
        let rows = [
            ("203.0.113.0/24", "203.0.113.9", true),
            ("203.0.113.0/24", "203.0.114.9", false),
            ("203.0.113.9", "203.0.113.9", true),
            ("203.0.113.9", "203.0.113.8", false),
            ("203.0.113.0/24", "::ffff:203.0.113.9", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("::/0", "2001:db8::1", true),
            ("::/0", "8.8.8.8", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ];
        for (network, ip, expected) in rows {
            assert_eq!(
                Network::parse(network).unwrap().contains(ip.parse().unwrap()),
                expected,
                "{ip} in {network}"
            );
        }
        for bad in ["", "203.0.113.0/33", "::/129", "203.0.113", "203.0.113.0/-1", "a/8"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn maintenance_lets_the_allowed_in_and_answers_the_rest() {
        let maintenance = Maintenance {
            page: Page::text(503, "Back soon"),
            retry_after: Some(Duration::from_secs(600)),
            allow: vec![Network::parse("203.0.113.0/24").unwrap()],
        };
        let inside = Facts { client_ip: "203.0.113.9".parse().ok(), ..Facts::default() };
        assert!(maintenance.answer(&inside).is_none(), "an allowed address sees the site");
        let answer = maintenance.answer(&Facts::default()).expect("an unknown address sees the page");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[header::RETRY_AFTER]),
            (503, &HeaderValue::from(600))
        );
    }
}
