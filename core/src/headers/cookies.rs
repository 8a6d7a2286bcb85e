//! Cookies: those that a client sends, and those that the edge sets.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// Most cookies of one request that are looked at; later ones count as absent.
///
/// Browsers keep about as many for one host, and a request with more is not a browser's.
pub const MAX_COOKIES: usize = 180;

/// Most bytes of name and value together: browsers drop a longer cookie
/// ([RFC 6265bis section 5.6](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.6)).
pub const MAX_COOKIE_BYTES: usize = 4096;

/// Returns the value of the first cookie with the name, compared with case.
///
/// `None` when there is none, or when its value is not UTF-8. Quotation marks around a value belong to it. See [`pairs`].
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderValue, header};
/// use selvedge_core::headers::cookies;
///
/// let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static("a=1; hero=bold; a=2"))]);
/// assert_eq!(cookies::find(&headers, "hero"), Some("bold"));
/// assert_eq!(cookies::find(&headers, "a"), Some("1"), "the first one wins");
/// ```
#[must_use]
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let (_, value) = pairs(headers).find(|(own, _)| *own == name.as_bytes())?;
    std::str::from_utf8(value).ok()
}

/// Iterates over names and values in the order of the request, at most [`MAX_COOKIES`] of them.
///
/// The grammar is that of [RFC 6265 section 4.2.1](https://www.rfc-editor.org/rfc/rfc6265#section-4.2.1), read with
/// tolerance: any white space around a name or value goes, any other octet is taken as it is. `Cookie` may be repeated, as
/// [RFC 9113 section 8.2.3](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3) allows. What has no `=` or no name is
/// skipped.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let fields = headers.get_all(header::COOKIE).into_iter();
    let cookies = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    cookies.take(MAX_COOKIES).filter_map(pair)
}

fn pair(cookie: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = cookie.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (cookie[..equals].trim_ascii(), cookie[equals + 1..].trim_ascii());
    (!name.is_empty()).then_some((name, value))
}

/// A cookie that the edge sets, for the whole host: `Path=/` and no `Domain`.
///
/// It is `HttpOnly`, `Secure` and `SameSite=Lax` and lasts until the browser closes, unless told otherwise.
///
/// # Examples
/// ```
/// use selvedge_core::headers::cookies::SetCookie;
/// use std::time::Duration;
///
/// let cookie = SetCookie::new("hero", "bold").max_age(Duration::from_secs(60)).build().unwrap();
/// assert_eq!(cookie, "hero=bold; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax");
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a cookie is sent only when it is built"]
pub struct SetCookie<'a> {
    name: &'a str,
    value: &'a str,
    max_age: Option<Duration>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
}

/// When a browser sends a cookie along with a request from another site:
/// [RFC 6265bis section 4.1.2.7](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a visitor follows a link.
    #[default]
    Lax,
    /// Always; browsers take it only with `Secure`.
    None,
}

/// Why a cookie cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CookieError {
    /// The name is empty or no token.
    InvalidName,
    /// The value has an octet that is no `cookie-octet`.
    InvalidValue,
    /// Name and value are longer than [`MAX_COOKIE_BYTES`].
    TooLong,
}

impl<'a> SetCookie<'a> {
    /// Starts a cookie; [`build`](Self::build) checks name and value.
    pub const fn new(name: &'a str, value: &'a str) -> Self {
        Self { name, value, max_age: None, secure: true, http_only: true, same_site: SameSite::Lax }
    }

    /// Sets how long the browser keeps it, in whole seconds; zero removes it.
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Sets whether it travels over TLS only; false is for edges that are reached in plain text.
    pub const fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Sets whether scripts are kept from reading it.
    pub const fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Sets when other sites' requests carry it.
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Returns the value of a `Set-Cookie` field.
    ///
    /// # Errors
    /// [`CookieError`] when name or value break the grammar of
    /// [RFC 6265 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1) or are too long. Nothing is escaped:
    /// that would change what a backend reads.
    pub fn build(self) -> Result<HeaderValue, CookieError> {
        self.check()?;
        let mut out = format!("{}={}; Path=/", self.name, self.value);
        if let Some(max_age) = self.max_age {
            out.push_str(&format!("; Max-Age={}", max_age.as_secs()));
        }
        if self.secure {
            out.push_str("; Secure");
        }
        if self.http_only {
            out.push_str("; HttpOnly");
        }
        out.push_str("; SameSite=");
        out.push_str(self.same_site.as_str());
        Ok(HeaderValue::try_from(out).expect("tokens and cookie octets are visible ASCII"))
    }

    fn check(&self) -> Result<(), CookieError> {
        if self.name.is_empty() || !self.name.bytes().all(is_token) {
            return Err(CookieError::InvalidName);
        }
        if !self.value.bytes().all(is_cookie_octet) {
            return Err(CookieError::InvalidValue);
        }
        let is_too_long = self.name.len() + self.value.len() > MAX_COOKIE_BYTES;
        if is_too_long { Err(CookieError::TooLong) } else { Ok(()) }
    }
}

impl SameSite {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName => f.write_str("cookie name is not a token"),
            Self::InvalidValue => f.write_str("cookie value has an octet outside the cookie octets"),
            Self::TooLong => write!(f, "cookie is longer than {MAX_COOKIE_BYTES} bytes"),
        }
    }
}

impl std::error::Error for CookieError {}

/// `tchar` of [RFC 9110 section 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'"' | b'('
                | b')'
                | b','
                | b'/'
                | b':'
                | b';'
                | b'<'
                | b'='
                | b'>'
                | b'?'
                | b'@'
                | b'['
                | b'\\'
                | b']'
                | b'{'
                | b'}'
        )
}

/// `cookie-octet` of [RFC 6265 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1).
const fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cookies(fields: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::COOKIE, HeaderValue::from_bytes(field).unwrap());
        }
        headers
    }

    #[test]
    fn the_first_cookie_of_a_name_is_found_in_any_field() {
        let rows: [(&[&[u8]], Option<&str>); 13] = [
            (&[b"a=1"], Some("1")),
            (&[b"b=2; a=1"], Some("1")),
            (&[b"b=2;a=1"], Some("1")),
            (&[b"b=2", b"a=1"], Some("1")),
            (&[b"a=1; a=2"], Some("1")),
            (&[b" a = 1 ;"], Some("1")),
            (&[b"a=1=2"], Some("1=2")),
            (&[b"a=\"1\""], Some("\"1\"")),
            (&[b"a="], Some("")),
            (&[b"A=1"], None),
            (&[b"a"], None),
            (&[b"=a; ;;aa=1"], None),
            (&[b"b=\xff; a=1"], Some("1")),
        ];
        for (fields, expected) in rows {
            assert_eq!(
                find(&cookies(fields), "a"),
                expected,
                "{:?}",
                fields.concat().escape_ascii().to_string()
            );
        }
        assert_eq!(find(&cookies(&[b"a=\xff"]), "a"), None, "a value that is no text counts as absent");
    }

    #[test]
    fn no_more_cookies_than_the_bound_are_looked_at() {
        let at_bound = "b=;".repeat(MAX_COOKIES - 1) + "a=1";
        let past_bound = "b=;".repeat(MAX_COOKIES) + "a=1";
        assert_eq!(find(&cookies(&[at_bound.as_bytes()]), "a"), Some("1"));
        assert_eq!(find(&cookies(&[past_bound.as_bytes()]), "a"), None);
    }

    #[test]
    fn attributes_follow_in_a_fixed_order() {
        let base = SetCookie::new("a", "1");
        let rows = [
            (base, "a=1; Path=/; Secure; HttpOnly; SameSite=Lax"),
            (base.max_age(Duration::ZERO), "a=1; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"),
            (
                base.max_age(Duration::from_millis(1999)),
                "a=1; Path=/; Max-Age=1; Secure; HttpOnly; SameSite=Lax",
            ),
            (base.secure(false), "a=1; Path=/; HttpOnly; SameSite=Lax"),
            (base.http_only(false).same_site(SameSite::Strict), "a=1; Path=/; Secure; SameSite=Strict"),
            (base.same_site(SameSite::None), "a=1; Path=/; Secure; HttpOnly; SameSite=None"),
        ];
        for (cookie, expected) in rows {
            assert_eq!(cookie.build().unwrap(), expected);
        }
    }

    #[test]
    fn what_could_leave_the_cookie_is_refused() {
        let long = "x".repeat(MAX_COOKIE_BYTES);
        let rows = [
            ("", "1", CookieError::InvalidName),
            ("a b", "1", CookieError::InvalidName),
            ("a=b", "1", CookieError::InvalidName),
            ("a", "1; Domain=evil.example", CookieError::InvalidValue),
            ("a", "1\r\nset-cookie: b=2", CookieError::InvalidValue),
            ("a", "\"1\"", CookieError::InvalidValue),
            ("a", "\\", CookieError::InvalidValue),
            ("a", "1,2", CookieError::InvalidValue),
            ("a", "\u{e9}", CookieError::InvalidValue),
            ("a", &long, CookieError::TooLong),
        ];
        for (name, value, expected) in rows {
            assert_eq!(SetCookie::new(name, value).build(), Err(expected), "{name}={value:.20}");
        }
    }

    proptest! {
        #[test]
        fn a_cookie_that_was_built_is_read_back(name in "[a-zA-Z0-9_-]{1,12}", value in "[!#-+--:<-\\[\\]-~]{0,20}") {
            let built = SetCookie::new(&name, &value).build().unwrap();
            let sent_back = cookies(&[built.as_bytes()]);
            prop_assert_eq!(find(&sent_back, &name), Some(value.as_str()));
        }

        #[test]
        fn no_bytes_make_lookup_panic(field in proptest::collection::vec(32u8..=255, 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&field) {
                let headers = HeaderMap::from_iter([(header::COOKIE, value)]);
                prop_assert!(pairs(&headers).count() <= MAX_COOKIES);
            }
        }
    }
}
