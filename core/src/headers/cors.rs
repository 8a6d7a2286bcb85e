//! Cross-origin access: the [CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol) of the Fetch standard.

mod origin;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

pub use origin::OriginPattern;

use super::list_members;
use super::name::FieldName;

/// Most request headers that a preflight may name.
const MAX_REQUESTED_HEADERS: usize = 100;

/// Who may read responses from another origin, and how: checked and ready to be applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CorsSettings", into = "CorsSettings")]
pub struct Cors {
    settings: CorsSettings,
    methods: HeaderValue,
    expose: Option<HeaderValue>,
}

/// What a policy says about cross-origin access; [`Cors::new`] checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorsSettings {
    /// Origins that may read responses.
    pub origins: Origins,
    /// Methods that a preflight allows, with case; `GET`, `HEAD` and `POST` need not be among them.
    pub methods: Vec<String>,
    /// Request headers that a preflight allows.
    pub headers: AllowedHeaders,
    /// Response headers that scripts may read.
    pub expose: Vec<FieldName>,
    /// Whether cookies and authorisation may be sent along.
    pub credentials: bool,
    /// How long a browser may remember a preflight, in whole seconds; `None` leaves it to the browser (5 seconds).
    pub max_age: Option<Duration>,
}

/// Origins that may read responses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origins {
    /// Every origin, `null` among them: the `*` of the Fetch standard.
    Any,
    /// These only.
    List(Vec<OriginPattern>),
}

/// Request headers that a preflight allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AllowedHeaders {
    /// Whatever the browser asks for.
    Any,
    /// These only.
    List(Vec<FieldName>),
}

/// What to answer to a request that may be a preflight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// It is an ordinary request.
    NotPreflight,
    /// It is a preflight, and a response with these headers allows the request that it asks for.
    Allow(HeaderMap),
    /// It is a preflight, and a response without CORS headers refuses it.
    Refuse(CorsRefusal),
}

/// Why a preflight is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorsRefusal {
    /// The origin is not among those of the policy.
    Origin,
    /// The method is not among those of the policy.
    Method,
    /// A request header is not among those of the policy.
    Header,
    /// A field is repeated, or is not what the Fetch standard has browsers send.
    Malformed,
}

/// Why settings are no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorsError {
    /// Credentials are allowed to every origin, so that every site could act as the visitor.
    CredentialsForAnyOrigin,
    /// A method is no token.
    InvalidMethod(String),
    /// A text is no origin, and no pattern of origins.
    InvalidOrigin(String),
}

impl Cors {
    /// Checks settings.
    ///
    /// # Errors
    /// [`CorsError::CredentialsForAnyOrigin`] and [`CorsError::InvalidMethod`].
    pub fn new(settings: CorsSettings) -> Result<Self, CorsError> {
        if settings.credentials && settings.origins == Origins::Any {
            return Err(CorsError::CredentialsForAnyOrigin);
        }
        let is_method = |method: &&String| Method::from_bytes(method.as_bytes()).is_ok();
        if let Some(method) = settings.methods.iter().find(|method| !is_method(method)) {
            return Err(CorsError::InvalidMethod(method.clone()));
        }
        let methods = joined(settings.methods.iter().map(String::as_str));
        let expose = joined(settings.expose.iter().map(FieldName::as_str));
        Ok(Self { settings, methods, expose: Some(expose).filter(|value| !value.is_empty()) })
    }

    /// Returns the settings.
    #[must_use]
    pub const fn settings(&self) -> &CorsSettings {
        &self.settings
    }

    /// Decides whether a request is a [CORS-preflight request](https://fetch.spec.whatwg.org/#cors-preflight-request),
    /// and whether what it asks for is allowed.
    ///
    /// A preflight is an `OPTIONS` request with `Origin` and `Access-Control-Request-Method`. Requested headers are
    /// repeated by name, never answered with `*`, which does not stand for `Authorization`.
    #[must_use]
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Preflight {
        let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if *method != Method::OPTIONS || !asks || !headers.contains_key(header::ORIGIN) {
            return Preflight::NotPreflight;
        }
        match self.allow(headers) {
            Ok(headers) => Preflight::Allow(headers),
            Err(refusal) => Preflight::Refuse(refusal),
        }
    }

    /// Adds what lets the origin of `request` read the response, and replaces what the backend said about it.
    ///
    /// `Vary: Origin` is added whenever another origin would get another answer, also when there is no origin or a
    /// refused one ([Fetch, CORS protocol and HTTP caches](https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches)).
    pub fn response_headers(&self, request: &HeaderMap, response: &mut HeaderMap) {
        for name in [
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
        ] {
            response.remove(name);
        }
        if self.settings.origins != Origins::Any {
            add_to_vary(response, &header::ORIGIN);
        }
        let Some(origin) = self.allowed_origin(request) else { return };
        self.insert_origin(response, origin);
        if let Some(expose) = &self.expose {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    fn allow(&self, request: &HeaderMap) -> Result<HeaderMap, CorsRefusal> {
        single(request, &header::ORIGIN)?;
        let origin = self.allowed_origin(request).ok_or(CorsRefusal::Origin)?;
        self.check_method(single(request, &header::ACCESS_CONTROL_REQUEST_METHOD)?)?;
        let requested = self.requested_headers(request)?;
        let mut response = HeaderMap::with_capacity(8);
        self.insert_origin(&mut response, origin);
        insert_filled(&mut response, header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        insert_filled(&mut response, header::ACCESS_CONTROL_ALLOW_HEADERS, requested);
        if let Some(max_age) = self.settings.max_age {
            response.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(max_age.as_secs()));
        }
        let vary = "origin, access-control-request-method, access-control-request-headers";
        response.insert(header::VARY, HeaderValue::from_static(vary));
        Ok(response)
    }

    /// Returns what `Access-Control-Allow-Origin` says, if anything.
    fn allowed_origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        match &self.settings.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::List(patterns) => {
                let origin = single(request, &header::ORIGIN).ok()?;
                let text = origin.to_str().ok()?;
                patterns.iter().any(|pattern| pattern.is_match(text)).then(|| origin.clone())
            }
        }
    }

    fn insert_origin(&self, response: &mut HeaderMap, origin: HeaderValue) {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.settings.credentials {
            response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// [CORS-safelisted methods](https://fetch.spec.whatwg.org/#cors-safelisted-method) pass without being listed.
    fn check_method(&self, requested: &HeaderValue) -> Result<(), CorsRefusal> {
        let method = Method::from_bytes(requested.as_bytes()).map_err(|_| CorsRefusal::Malformed)?;
        let is_safelisted = [Method::GET, Method::HEAD, Method::POST].contains(&method);
        let is_listed = || self.settings.methods.iter().any(|own| own == method.as_str());
        if is_safelisted || is_listed() { Ok(()) } else { Err(CorsRefusal::Method) }
    }

    fn requested_headers(&self, request: &HeaderMap) -> Result<HeaderValue, CorsRefusal> {
        let mut names: Vec<HeaderName> = Vec::new();
        for member in list_members(request, &header::ACCESS_CONTROL_REQUEST_HEADERS) {
            let name = HeaderName::try_from(member).map_err(|_| CorsRefusal::Malformed)?;
            if !self.settings.headers.contains(&name) {
                return Err(CorsRefusal::Header);
            }
            names.push(name);
        }
        if names.len() > MAX_REQUESTED_HEADERS {
            Err(CorsRefusal::Malformed)
        } else {
            Ok(joined(names.iter().map(HeaderName::as_str)))
        }
    }
}

impl TryFrom<CorsSettings> for Cors {
    type Error = CorsError;

    fn try_from(settings: CorsSettings) -> Result<Self, CorsError> {
        Self::new(settings)
    }
}

impl From<Cors> for CorsSettings {
    fn from(cors: Cors) -> Self {
        cors.settings
    }
}

impl Default for CorsSettings {
    /// No origin, the methods `GET`, `HEAD` and `POST`, no headers, no credentials.
    fn default() -> Self {
        Self {
            origins: Origins::List(Vec::new()),
            methods: ["GET", "HEAD", "POST"].map(str::to_owned).to_vec(),
            headers: AllowedHeaders::List(Vec::new()),
            expose: Vec::new(),
            credentials: false,
            max_age: None,
        }
    }
}

impl AllowedHeaders {
    fn contains(&self, name: &HeaderName) -> bool {
        match self {
            Self::Any => true,
            Self::List(names) => names.iter().any(|own| own.as_header_name() == name),
        }
    }
}

impl CorsRefusal {
    /// Returns the stable code, in kebab case.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Origin => "origin-not-allowed",
            Self::Method => "method-not-allowed",
            Self::Header => "header-not-allowed",
            Self::Malformed => "malformed-preflight",
        }
    }
}

impl fmt::Display for CorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CredentialsForAnyOrigin => f.write_str("credentials need origins by name, not `*`"),
            Self::InvalidMethod(method) => write!(f, "`{method}` is not a method"),
            Self::InvalidOrigin(origin) => {
                write!(
                    f,
                    "`{origin}` is not an origin such as `https://app.example.com` or `https://*.example.com`"
                )
            }
        }
    }
}

impl std::error::Error for CorsError {}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a HeaderValue, CorsRefusal> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(value), None) => Ok(value),
        (None | Some(_), _) => Err(CorsRefusal::Malformed),
    }
}

fn insert_filled(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if !value.is_empty() {
        headers.insert(name, value);
    }
}

fn add_to_vary(response: &mut HeaderMap, name: &HeaderName) {
    let has_it = |member: &str| member == "*" || member.eq_ignore_ascii_case(name.as_str());
    if !list_members(response, &header::VARY).any(has_it) {
        response.append(header::VARY, HeaderValue::from(name.clone()));
    }
}

fn joined<'a>(tokens: impl Iterator<Item = &'a str>) -> HeaderValue {
    let text = tokens.collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text).expect("methods and header names are tokens")
}
