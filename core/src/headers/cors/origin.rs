//! Patterns of origins.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::CorsError;

/// An origin, every origin on the subdomains of a host, or `null`.
///
/// `https://*.example.com` covers subdomains of any depth, and not `https://example.com` itself. Scheme and port always
/// have to be the same; the scheme's default port is left out, as in the
/// [serialisation of an origin](https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin).
/// The origin `null`, which every sandboxed page has, is covered by `null` only.
///
/// # Examples
/// ```
/// use selvedge_core::headers::cors::OriginPattern;
///
/// let pattern = OriginPattern::parse("https://*.example.com").unwrap();
/// assert!(pattern.is_match("https://a.b.example.com"));
/// assert!(!pattern.is_match("https://example.com"));
/// assert!(!pattern.is_match("https://a.example.com.evil.org"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// The whole origin, as a browser writes it.
    Exact(String),
    /// What stands before the subdomain (`https://`) and after it (`.example.com:8443`).
    Subdomains { prefix: String, suffix: String },
}

impl OriginPattern {
    /// Parses an origin or a pattern, in any case.
    ///
    /// A wildcard stands for whole labels in front of at least two others, or of `localhost`.
    ///
    /// # Errors
    /// [`CorsError::InvalidOrigin`] when the text has no scheme, a path, or anything else that no origin has.
    pub fn parse(text: &str) -> Result<Self, CorsError> {
        let lower = text.to_ascii_lowercase();
        pattern(&lower).map(Self).ok_or_else(|| CorsError::InvalidOrigin(text.to_owned()))
    }

    /// Returns whether an `Origin` field's value is covered; it is compared as browsers write it, byte by byte.
    #[must_use]
    pub fn is_match(&self, origin: &str) -> bool {
        match &self.0 {
            Pattern::Exact(exact) => exact == origin,
            Pattern::Subdomains { prefix, suffix } => origin
                .strip_prefix(prefix.as_str())
                .and_then(|rest| rest.strip_suffix(suffix.as_str()))
                .is_some_and(|labels| labels.split('.').all(is_label)),
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Exact(exact) => f.write_str(exact),
            Pattern::Subdomains { prefix, suffix } => write!(f, "{prefix}*{suffix}"),
        }
    }
}

impl TryFrom<String> for OriginPattern {
    type Error = CorsError;

    fn try_from(text: String) -> Result<Self, CorsError> {
        Self::parse(&text)
    }
}

impl From<OriginPattern> for String {
    fn from(pattern: OriginPattern) -> Self {
        pattern.to_string()
    }
}

fn pattern(text: &str) -> Option<Pattern> {
    if text == "null" {
        return Some(Pattern::Exact(text.to_owned()));
    }
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = split_port(authority)?;
    let port = port.filter(|port| !matches!((scheme, port), ("http", 80) | ("https", 443)));
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    if !is_scheme(scheme) {
        return None;
    }
    match host.strip_prefix('*') {
        Some(suffix) => {
            let base = suffix.strip_prefix('.').filter(|base| is_name(base))?;
            let is_narrow = base.contains('.') || base == "localhost";
            is_narrow.then(|| Pattern::Subdomains {
                prefix: format!("{scheme}://"),
                suffix: format!("{suffix}{port}"),
            })
        }
        None => (is_name(host) || is_ipv6(host)).then(|| Pattern::Exact(format!("{scheme}://{host}{port}"))),
    }
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = authority[host_end..].find(':') else { return Some((authority, None)) };
    let (host, port) = authority.split_at(host_end + colon);
    let digits = &port[1..];
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(())?;
    Some((host, Some(digits.parse().ok()?)))
}

/// `scheme` of [RFC 3986 section 3.1](https://www.rfc-editor.org/rfc/rfc3986#section-3.1), lower case.
fn is_scheme(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(is_inner)
}

fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=63).contains(&label.len()) && label.bytes().all(is_inner)
}

fn is_ipv6(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    literal.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}
