//! What the edge refuses to take in.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use serde::{Deserialize, Serialize};

use crate::reason::Reason;
use crate::target::EncodedSlashes;
use crate::transaction::Omitted;

/// Bounds on requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most bytes of header names and values together.
    pub max_header_bytes: u64,
    /// Most bytes of a URL's path and query.
    pub max_url_bytes: u64,
    /// Most bytes of a request body.
    pub max_body_bytes: u64,
    /// Most bytes of responses in a store whose size is the edge's own to bound: Spin's key-value store, the emulator's memory.
    pub max_store_bytes: u64,
    /// Methods that are let in, upper case.
    pub methods: Vec<String>,
    /// What becomes of `%2F` in a path.
    pub encoded_slashes: EncodedSlashes,
    /// Longest time until the client has the head of its answer; `None` for as long as backends and handlers may take.
    pub deadline: Option<Duration>,
}

/// The limit that a request exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// A method that is not let in: 501.
    Method,
    /// The URL's length: 414.
    Url,
    /// The headers' size: 431.
    Headers,
    /// The declared size of the body: 413.
    Body,
}

/// Longest wait for a backend's response head when the policy says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for Limits {
    fn default() -> Self {
        let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        Self {
            max_header_bytes: 32 * 1024,
            max_url_bytes: 8 * 1024,
            max_body_bytes: 10 * 1024 * 1024,
            max_store_bytes: 64 * 1024 * 1024,
            methods: methods.map(str::to_owned).to_vec(),
            encoded_slashes: EncodedSlashes::Reject,
            deadline: None,
        }
    }
}

impl Exceeded {
    /// Returns the reason that the answer carries.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Method => Reason::MethodRefused,
            Self::Url => Reason::UrlTooLong,
            Self::Headers => Reason::HeadersTooLarge,
            Self::Body => Reason::BodyTooLarge,
        }
    }
}

impl Limits {
    /// Checks a request head; `omitted` is what [`Omitted`] says of the fields that are not in it.
    ///
    /// # Errors
    /// The first limit that the request exceeds, in the order of [`Exceeded`].
    pub fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        omitted: Omitted,
    ) -> Result<(), Exceeded> {
        if !self.methods.iter().any(|known| known == method.as_str()) {
            return Err(Exceeded::Method);
        }
        if exceeds(uri_len(uri), self.max_url_bytes) {
            return Err(Exceeded::Url);
        }
        let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let header_bytes = headers.iter().map(field).sum::<usize>();
        if exceeds(header_bytes.saturating_add(omitted.bytes), self.max_header_bytes) {
            return Err(Exceeded::Headers);
        }
        match declared_length(headers) {
            Some(length) if length > self.max_body_bytes => Err(Exceeded::Body),
            Some(_) | None => Ok(()),
        }
    }
}

fn exceeds(length: usize, limit: u64) -> bool {
    u64::try_from(length).is_ok_and(|length| length > limit)
}

/// Of path and query: whether scheme and host stand in the target is up to the platform.
fn uri_len(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// A length too large for the type counts as the largest.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Result<(), Exceeded> {
        let limits =
            Limits { max_url_bytes: 10, max_header_bytes: 20, max_body_bytes: 5, ..Limits::default() };
        let pairs = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers = pairs.collect::<HeaderMap>();
        limits.check(&method.parse().unwrap(), &uri.parse().unwrap(), &headers, Omitted::default())
    }

    #[test]
    fn each_limit_holds_at_its_value_and_breaks_one_over() {
        type Row<'a> = (&'a str, &'a str, &'a [(&'static str, &'a str)], Result<(), Exceeded>);
        let rows: [Row<'_>; 10] = [
            ("GET", "/23456789a", &[], Ok(())),
            ("GET", "/23456789ab", &[], Err(Exceeded::Url)),
            ("GET", "https://a.example/23456789a", &[], Ok(())),
            ("GET", "/", &[("abcde", "0123456789abcde")], Ok(())),
            ("GET", "/", &[("abcde", "0123456789abcdef")], Err(Exceeded::Headers)),
            ("POST", "/", &[("content-length", "5")], Ok(())),
            ("POST", "/", &[("content-length", "6")], Err(Exceeded::Body)),
            ("POST", "/", &[("content-length", "99999999999999999999")], Err(Exceeded::Headers)),
            ("TRACE", "/", &[], Err(Exceeded::Method)),
            ("get", "/", &[], Err(Exceeded::Method)),
        ];
        for (method, uri, headers, expected) in rows {
            assert_eq!(check(method, uri, headers), expected, "{method} {uri} {headers:?}");
        }
    }

    #[test]
    fn fields_that_were_left_out_count_too() {
        let limits = Limits { max_header_bytes: 20, ..Limits::default() };
        let headers = [(header::HOST, "a".parse().unwrap())].into_iter().collect();
        for (bytes, expected) in
            [(15, Ok(())), (16, Err(Exceeded::Headers)), (usize::MAX, Err(Exceeded::Headers))]
        {
            let outcome = limits.check(&Method::GET, &Uri::from_static("/"), &headers, Omitted { bytes });
            assert_eq!(outcome, expected, "{bytes}");
        }
    }

    #[test]
    fn a_length_beyond_any_number_is_too_large() {
        let headers =
            [(header::CONTENT_LENGTH, "99999999999999999999".parse().unwrap())].into_iter().collect();
        let outcome =
            Limits::default().check(&Method::POST, &Uri::from_static("/"), &headers, Omitted::default());
        assert_eq!(outcome, Err(Exceeded::Body));
    }
}
