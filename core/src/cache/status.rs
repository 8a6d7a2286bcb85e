//! `Cache-Status`: how this cache handled a request.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use sfv::{
    Integer, ItemSerializer, ParameterSerializer, RefBareItem, StringRef, TokenRef, key_ref, token_ref,
};

/// The field, [RFC 9211](https://www.rfc-editor.org/rfc/rfc9211).
pub static CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The name under which this cache appears in it.
pub const CACHE_NAME: &str = "Selvedge";

/// Room for a member without a key.
const USUAL_BYTES: usize = 96;

/// Most bytes of a detail; what is longer is cut.
const MAX_DETAIL_BYTES: usize = 128;

/// Most bytes of a key; what is longer is cut.
const MAX_KEY_BYTES: usize = 1024;

/// Why a request went forward to the origin,
/// [RFC 9211 section 2.2](https://www.rfc-editor.org/rfc/rfc9211#section-2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The cache was set up not to handle the request.
    Bypass,
    /// The method's semantics require it.
    Method,
    /// Nothing is stored under the key.
    UriMiss,
    /// Something is, but for other values of the selecting headers.
    VaryMiss,
    /// Nothing usable is stored; the cache can't tell which kind of miss it is.
    Miss,
    /// The request's own directives ask for it.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is a part only.
    Partial,
}

/// One member of `Cache-Status`: that of this cache.
///
/// # Examples
/// ```
/// use http::{HeaderMap, StatusCode};
/// use selvedge_core::cache::status::{CacheStatus, Forward};
/// use std::time::Duration;
///
/// let mut headers = HeaderMap::new();
/// CacheStatus::hit(Duration::from_secs(30)).append_to(&mut headers);
/// assert_eq!(headers["cache-status"], "Selvedge;hit;ttl=30");
///
/// let miss = CacheStatus::forward(Forward::UriMiss).status(StatusCode::OK).stored();
/// assert_eq!(miss.to_string(), "Selvedge;fwd=uri-miss;fwd-status=200;stored");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    handling: Handling,
    status: Option<StatusCode>,
    ttl: Option<i32>,
    is_stored: bool,
    is_collapsed: bool,
    key: Option<Cow<'static, str>>,
    detail: Option<Cow<'static, str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handling {
    Local,
    Hit,
    Forward(Forward),
}

impl Forward {
    /// Returns the token of the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl CacheStatus {
    /// Says that this edge answered by itself: neither stored response nor origin was asked.
    #[must_use]
    pub fn local() -> Self {
        Self::new(Handling::Local)
    }

    /// Says that a stored response answered which stays fresh for `ttl`.
    #[must_use]
    pub fn hit(ttl: Duration) -> Self {
        Self { ttl: Some(whole_seconds(ttl)), ..Self::new(Handling::Hit) }
    }

    /// Says that a stored response answered which has been stale for `stale_for`: a `ttl` below zero.
    #[must_use]
    pub fn stale_hit(stale_for: Duration) -> Self {
        Self { ttl: Some(-whole_seconds(stale_for)), ..Self::new(Handling::Hit) }
    }

    /// Says that the request went forward.
    #[must_use]
    pub fn forward(why: Forward) -> Self {
        Self::new(Handling::Forward(why))
    }

    /// Adds the status with which the origin answered. It means nothing on a hit and is left out there.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = matches!(self.handling, Handling::Forward(_)).then_some(status);
        self
    }

    /// Adds that the response was stored. It means nothing on a hit and is left out there.
    #[must_use]
    pub fn stored(mut self) -> Self {
        self.is_stored = matches!(self.handling, Handling::Forward(_));
        self
    }

    /// Adds that the request shared another one's way to the origin. Left out on a hit.
    #[must_use]
    pub fn collapsed(mut self) -> Self {
        self.is_collapsed = matches!(self.handling, Handling::Forward(_));
        self
    }

    /// Adds how long the forwarded response stays fresh.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(whole_seconds(ttl));
        self
    }

    /// Adds a detail, such as a reason: 128 bytes at most, what is not printable ASCII becomes `?`.
    ///
    /// It is written as a token where it is one, else as a quoted string. An empty one is left out.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = printable(detail.into(), MAX_DETAIL_BYTES);
        self
    }

    /// Adds the cache key: 1024 bytes at most, its lines with spaces between them,
    /// [RFC 9211 section 2.7](https://www.rfc-editor.org/rfc/rfc9211#section-2.7).
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = printable(key.replace('\n', " ").into(), MAX_KEY_BYTES);
        self
    }

    /// Adds the member to a response, after those of caches nearer to the origin,
    /// [RFC 9211 section 2](https://www.rfc-editor.org/rfc/rfc9211#section-2).
    pub fn append_to(&self, headers: &mut HeaderMap) {
        let mut text = String::with_capacity(USUAL_BYTES);
        self.write(&mut text);
        let value = HeaderValue::from_str(&text).expect("a structured item is ASCII");
        headers.append(CACHE_STATUS.clone(), value);
    }

    fn new(handling: Handling) -> Self {
        let (is_stored, is_collapsed) = (false, false);
        Self { handling, status: None, ttl: None, is_stored, is_collapsed, key: None, detail: None }
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(USUAL_BYTES);
        self.write(&mut text);
        f.write_str(&text)
    }
}

impl CacheStatus {
    fn write(&self, text: &mut String) {
        let item = ItemSerializer::with_buffer(text).bare_item(token_ref(CACHE_NAME));
        let item = match self.handling {
            Handling::Local => item,
            Handling::Hit => item.parameter(key_ref("hit"), true),
            Handling::Forward(why) => item.parameter(key_ref("fwd"), token_ref(why.as_str())),
        };
        self.write_details(item);
    }

    fn write_details(&self, mut item: ParameterSerializer<&mut String>) {
        if let Some(status) = self.status {
            item = item.parameter(key_ref("fwd-status"), Integer::from(status.as_u16()));
        }
        if let Some(ttl) = self.ttl {
            item = item.parameter(key_ref("ttl"), Integer::from(ttl));
        }
        for (name, is_set) in [("stored", self.is_stored), ("collapsed", self.is_collapsed)] {
            if is_set {
                item = item.parameter(key_ref(name), true);
            }
        }
        if let Some(key) = &self.key {
            let key = StringRef::from_str(key).expect("a key is printable ASCII");
            item = item.parameter(key_ref("key"), key);
        }
        if let Some(detail) = self.detail.as_deref().map(bare_item) {
            let _ = item.parameter(key_ref("detail"), detail);
        }
    }
}

/// Text that a structured string can hold, in bounds; `None` for an empty one.
fn printable(text: Cow<'static, str>, max_bytes: usize) -> Option<Cow<'static, str>> {
    let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    let is_clean = text.len() <= max_bytes && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let text = if is_clean { text } else { text.chars().take(max_bytes).map(printable).collect() };
    (!text.is_empty()).then_some(text)
}

fn bare_item(detail: &str) -> RefBareItem<'_> {
    match TokenRef::from_str(detail) {
        Ok(token) => token.into(),
        Err(_) => StringRef::from_str(detail).expect("a detail is printable ASCII").into(),
    }
}

fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::{headers, secs};

    #[test]
    fn members_are_written_as_rfc_9211_has_them() {
        let ok = StatusCode::OK;
        let cases = [
            (CacheStatus::hit(secs(30)), "Selvedge;hit;ttl=30"),
            (CacheStatus::stale_hit(secs(5)), "Selvedge;hit;ttl=-5"),
            (CacheStatus::hit(Duration::MAX), "Selvedge;hit;ttl=2147483647"),
            (CacheStatus::hit(secs(1)).status(ok).stored().collapsed(), "Selvedge;hit;ttl=1"),
            (CacheStatus::forward(Forward::UriMiss).stored(), "Selvedge;fwd=uri-miss;stored"),
            (CacheStatus::forward(Forward::VaryMiss), "Selvedge;fwd=vary-miss"),
            (CacheStatus::forward(Forward::Miss).collapsed(), "Selvedge;fwd=miss;collapsed"),
            (
                CacheStatus::forward(Forward::Stale).status(ok).ttl(secs(9)),
                "Selvedge;fwd=stale;fwd-status=200;ttl=9",
            ),
            (CacheStatus::forward(Forward::Bypass).detail("no-store"), "Selvedge;fwd=bypass;detail=no-store"),
            (
                CacheStatus::forward(Forward::Method).detail("a \"b\\\r\né"),
                "Selvedge;fwd=method;detail=\"a \\\"b\\\\???\"",
            ),
            (CacheStatus::forward(Forward::Request).detail(""), "Selvedge;fwd=request"),
            (CacheStatus::forward(Forward::Partial), "Selvedge;fwd=partial"),
            (
                CacheStatus::hit(secs(1)).key("https://a.test/x?b=1\nfact:country=DE").detail("d"),
                "Selvedge;hit;ttl=1;key=\"https://a.test/x?b=1 fact:country=DE\";detail=d",
            ),
            (CacheStatus::hit(secs(1)).key("a \"\\"), "Selvedge;hit;ttl=1;key=\"a \\\"\\\\\""),
        ];
        for (member, expected) in cases {
            assert_eq!(member.to_string(), expected, "RFC 9211 section 2 and RFC 8941 section 4.1");
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        let member = CacheStatus::forward(Forward::Miss).detail("x".repeat(10_000)).to_string();
        assert_eq!(member, format!("Selvedge;fwd=miss;detail={}", "x".repeat(128)));
        let member = CacheStatus::forward(Forward::Miss).key(&"x".repeat(10_000)).to_string();
        assert_eq!(member, format!("Selvedge;fwd=miss;key=\"{}\"", "x".repeat(1024)));
    }

    #[test]
    fn the_member_comes_after_those_of_caches_nearer_to_the_origin() {
        let mut response = headers(&[("cache-status", "Origin;hit")]);
        CacheStatus::forward(Forward::UriMiss).append_to(&mut response);
        let expected = headers(&[("cache-status", "Origin;hit"), ("cache-status", "Selvedge;fwd=uri-miss")]);
        assert_eq!(response, expected, "RFC 9211 section 2: the order is that of the response's way");
    }
}
