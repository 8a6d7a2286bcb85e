//! What a request asks for: host, path and query, parsed once and in one spelling.
//!
//! Every rule of the policy reads the [`Target`], never the bytes that the client sent, so that a rule and the
//! backend cannot understand one request in two ways. What could be read in two ways is refused.

mod authority;
mod path;
mod percent;
mod query;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderValue, Uri, header};
use serde::{Deserialize, Serialize};

pub use path::{extension_of, has_extension, normalise_path};
pub use query::{Query, QuerySelection, TRACKING_PARAMETERS, normalise_query};

/// What a request asks for, in one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    scheme: Option<Scheme>,
    host: String,
    port: Option<u16>,
    path: String,
    query: Option<String>,
}

/// A scheme that edges serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// What an encoded slash (`%2F`) in a path means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "policy-file", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EncodedSlashes {
    /// Refuses the request, since some backends read it as a separator and others do not.
    #[default]
    Reject,
    /// Keeps it as `%2F`, a part of its segment and never a separator.
    Keep,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TargetRefusal {
    /// Neither the request line nor a `Host` field names a host.
    MissingHost,
    /// There is more than one `Host` field.
    DuplicateHost,
    /// A host has characters, or a length, that no host name or address has.
    InvalidHost,
    /// A port is not a number up to 65535.
    InvalidPort,
    /// The authority carries a user name, which
    /// [RFC 9110 section 4.2.4](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.4) deprecates.
    Userinfo,
    /// The scheme is neither `http` nor `https`.
    UnsupportedScheme,
    /// The target is an authority alone, as only `CONNECT` sends it.
    AuthorityForm,
    /// The path has a `.` or `..` segment, in whatever spelling.
    DotSegment,
    /// The path has an encoded slash, and the policy rejects those.
    EncodedSlash,
    /// The path has a backslash, encoded or not.
    Backslash,
    /// The path has a control character, encoded or not.
    ControlCharacter,
    /// The path has a percent sign that two hexadecimal digits do not follow.
    InvalidEscape,
}

impl Target {
    /// Reads the target of a request.
    ///
    /// The authority of the request line wins over `Host`
    /// ([RFC 9112 section 3.2.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2), and
    /// [RFC 9113 section 8.3.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1) for `:authority`); a repeated or
    /// invalid `Host` is refused even then, as
    /// [RFC 9112 section 3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2) asks.
    ///
    /// # Errors
    /// Returns the first [`TargetRefusal`] that applies.
    ///
    /// # Examples
    /// ```
    /// use http::{HeaderMap, HeaderValue, Uri, header::HOST};
    /// use selvedge_core::target::{EncodedSlashes, Target};
    ///
    /// let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("Shop.Example:8443"))]);
    /// let uri = Uri::from_static("/a%2db?q=1");
    /// let target = Target::parse(&uri, &headers, EncodedSlashes::Reject).unwrap();
    /// assert_eq!((target.host(), target.port()), ("shop.example", Some(8443)));
    /// assert_eq!((target.path(), target.raw_query()), ("/a-b", Some("q=1")));
    /// ```
    pub fn parse(uri: &Uri, headers: &HeaderMap, slashes: EncodedSlashes) -> Result<Self, TargetRefusal> {
        let scheme = scheme_of(uri)?;
        let (host, port) = host_of(uri, headers)?;
        let port = port.filter(|port| scheme.map(Scheme::default_port) != Some(*port));
        let path = path_of(uri, slashes)?.into_owned();
        Ok(Self { scheme, host: host.into_owned(), port, path, query: uri.query().map(str::to_owned) })
    }

    /// Returns the scheme, when the request said it (absolute-form, or HTTP/2 and later).
    #[must_use]
    pub const fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Returns the host in lower case, without port and trailing dot; an IPv6 address stands in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port; `None` when absent, empty, or the default of a scheme that the request said.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the path in the form of [`normalise_path`], at least `/`.
    ///
    /// It is `*` for the asterisk-form of
    /// [RFC 9112 section 3.2.4](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.4).
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the query as the client wrote it, without its question mark.
    #[must_use]
    pub fn raw_query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Returns a view of the query; empty when there is none.
    #[must_use]
    pub fn query(&self) -> Query<'_> {
        Query::new(self.raw_query().unwrap_or_default())
    }
}

impl Scheme {
    /// Returns the scheme in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the port that the scheme means when none is said.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl EncodedSlashes {
    const fn check(self) -> Result<(), TargetRefusal> {
        match self {
            Self::Reject => Err(TargetRefusal::EncodedSlash),
            Self::Keep => Ok(()),
        }
    }
}

impl TargetRefusal {
    /// Returns the stable code of the refusal, in kebab case.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingHost => "request.missing-host",
            Self::DuplicateHost => "request.duplicate-host",
            Self::InvalidHost => "request.invalid-host",
            Self::InvalidPort => "request.invalid-port",
            Self::Userinfo => "request.userinfo",
            Self::UnsupportedScheme => "request.unsupported-scheme",
            Self::AuthorityForm => "request.authority-form",
            Self::DotSegment => "request.dot-segment",
            Self::EncodedSlash => "request.encoded-slash",
            Self::Backslash => "request.backslash",
            Self::ControlCharacter => "request.control-character",
            Self::InvalidEscape => "request.invalid-escape",
        }
    }
}

impl fmt::Display for TargetRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for TargetRefusal {}

fn scheme_of(uri: &Uri) -> Result<Option<Scheme>, TargetRefusal> {
    match uri.scheme_str() {
        None if uri.authority().is_some() => Err(TargetRefusal::AuthorityForm),
        None => Ok(None),
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => Ok(Some(Scheme::Http)),
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Ok(Some(Scheme::Https)),
        Some(_) => Err(TargetRefusal::UnsupportedScheme),
    }
}

fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<(Cow<'a, str>, Option<u16>), TargetRefusal> {
    let field = host_field(headers)?;
    match uri.authority() {
        Some(authority) => {
            if let Some(field) = field.filter(|field| *field != authority.as_str()) {
                authority_of(field)?;
            }
            authority::parse(authority.as_str())
        }
        None => field.map_or(Err(TargetRefusal::MissingHost), authority_of),
    }
}

fn host_field(headers: &HeaderMap) -> Result<Option<&HeaderValue>, TargetRefusal> {
    let mut fields = headers.get_all(header::HOST).iter();
    let first = fields.next();
    // A platform that joins repeated fields leaves a comma, which no host name has.
    let is_joined = first.is_some_and(|value| value.as_bytes().contains(&b','));
    if is_joined || fields.next().is_some() { Err(TargetRefusal::DuplicateHost) } else { Ok(first) }
}

fn authority_of(value: &HeaderValue) -> Result<(Cow<'_, str>, Option<u16>), TargetRefusal> {
    authority::parse(value.to_str().map_err(|_| TargetRefusal::InvalidHost)?)
}

fn path_of(uri: &Uri, slashes: EncodedSlashes) -> Result<Cow<'_, str>, TargetRefusal> {
    match uri.path() {
        "" => Ok(Cow::Borrowed("/")),
        "*" => Ok(Cow::Borrowed("*")),
        path => normalise_path(path, slashes),
    }
}
