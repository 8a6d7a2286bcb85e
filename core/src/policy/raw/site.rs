//! The parts of a policy that hold for the whole site.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::health::{Breaker, Check, Hedge, Retry};
use super::{OneOrMany, Size};
use crate::bot::BotCategory;
use crate::geo::rules::GeoSource;
use crate::headers::security::Preset;
use crate::log::LogQuery;
use crate::spin::Front;

/// A server behind the edge.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Backend {
    /// Where it listens: `http://` or `https://`, a host, an optional port and path prefix. Several URLs are tried in order.
    pub url: Option<OneOrMany>,
    /// Longest wait for the response head, such as `"5s"`. Default: `"30s"`; at most `"5m"`.
    pub timeout: Option<String>,
    /// Longest wait for a connection, where the platform lets the edge say so (the local edge and Spin). Default and maximum: `timeout`.
    pub connect_timeout: Option<String>,
    /// Longest time from the first attempt at it, retries and further URLs included, until the end of the response's body, such as `"30s"`; a body that takes longer is broken off. Default: none; at most `"1d"`.
    pub total_timeout: Option<String>,
    /// Most requests that wait for one URL's answer at the same time, 1 to 1000000; more go to the next one or are answered 503. Default: no limit.
    pub max_concurrent: Option<u32>,
    /// When the same URL is asked again after a failure. Default: never.
    pub retry: Option<Retry>,
    /// When a URL is not asked for a while after failures. Default: never.
    pub breaker: Option<Breaker>,
    /// When a second request is sent because the first one takes long. Default: never.
    pub hedge: Option<Hedge>,
    /// What the edge asks by itself to learn whether a URL answers. Default: nothing.
    pub check: Option<Check>,
    /// Name of the region, for logs and `explain`.
    pub region: Option<String>,
    /// Latitude and longitude in degrees, for `nearest`.
    pub coordinates: Option<[f64; 2]>,
    /// Headers to set on every request to it. `{ env = "NAME" }` takes the value from the environment: secrets never stand in this file.
    pub request_headers: BTreeMap<String, HeaderValue>,
    /// Backends to ask, in order, when this one fails.
    pub failover: Vec<String>,
    /// The `Host` it is sent: `backend` (its own, the default) or `client` (the one that the client asked for).
    pub host: Option<HostHeader>,
}

/// Which `Host` a backend sees.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostHeader {
    /// The host of the backend's URL.
    Backend,
    /// The host that the client asked for.
    Client,
}

/// A header value: a text (a template where the place allows variables), or the name of an environment variable.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HeaderValue {
    /// The text.
    Text(String),
    /// A value from the environment.
    Env(EnvValue),
}

/// A value that the environment holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvValue {
    /// Name of the environment variable.
    pub env: String,
}

/// Who may come in, by place.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Geo {
    /// Rules in order; the first that names the client's place decides.
    pub rules: Vec<GeoRule>,
    /// What happens to places that no rule names. Default: `allow`.
    pub default: Option<GeoAction>,
    /// What happens to clients whose place is unknown. Default: `allow`.
    pub unknown: Option<GeoAction>,
    /// Status of a refusal that has none of its own. Default: 403.
    pub status: Option<u16>,
    /// Body of a refusal that has none of its own. Default: `Forbidden`.
    pub body: Option<String>,
    /// Where a client's place is known from, on platforms that tell it late. Default: `platform`.
    pub source: Option<GeoSource>,
}

/// One rule about places.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GeoRule {
    /// What to do with a client in one of these places.
    pub action: Option<GeoAction>,
    /// ISO 3166-1 alpha-2 codes, such as `"CN"`.
    pub countries: Vec<String>,
    /// Groups of countries, built in or from `[groups]`.
    pub groups: Vec<String>,
    /// Status of the refusal, 400 to 599.
    pub status: Option<u16>,
    /// Body of the refusal, plain text.
    pub body: Option<String>,
}

/// Let in or refuse.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GeoAction {
    /// Let the client in.
    Allow,
    /// Refuse the client.
    Block,
}

/// What happens to bots.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Bots {
    /// What to do, by category. A category that is not here is allowed.
    #[schemars(extend("propertyNames" = category_names()))]
    pub rules: BTreeMap<BotCategory, BotRule>,
    /// Request header in which backends are told the category. Default: `Selvedge-Bot`.
    pub tag_header: Option<String>,
}

/// The keys that `bots.rules` can have.
fn category_names() -> serde_json::Value {
    serde_json::json!({ "enum": BotCategory::ALL.map(|category| category.as_str()) })
}

/// An action, or an action with its details.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BotRule {
    /// Just the action.
    Action(BotAction),
    /// The action and its details.
    Table(BotRuleTable),
}

/// An action with its details.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BotRuleTable {
    /// What to do.
    pub action: BotAction,
    /// Status of a refusal, 400 to 599. Default: 403, or 429 for `limit`.
    #[serde(default)]
    pub status: Option<u16>,
    /// Body of a refusal, plain text.
    #[serde(default)]
    pub body: Option<String>,
    /// For `limit`: how many requests one client address may make in a window.
    #[serde(default)]
    pub requests: Option<u32>,
    /// For `limit`: the window, such as `"1m"`. From `"1s"` to `"1d"`.
    #[serde(default)]
    pub per: Option<String>,
}

/// What to do with a bot.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BotAction {
    /// Let it through.
    Allow,
    /// Let it through and tell the backend.
    Tag,
    /// Refuse it.
    Block,
    /// Let it through so many times in a window.
    Limit,
}

/// Headers for requests to backends and responses to clients.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Headers {
    /// Headers of requests on their way to a backend.
    pub request: RequestHeaders,
    /// Headers of responses on their way to the client.
    pub response: ResponseHeaders,
}

/// Changes to request headers; values are templates.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RequestHeaders {
    /// Headers to set, replacing all values.
    pub set: BTreeMap<String, String>,
    /// Headers to add beside the values that are there.
    pub append: BTreeMap<String, OneOrMany>,
    /// Headers to remove, first of all.
    pub remove: Vec<String>,
}

/// Changes to response headers; values are templates.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ResponseHeaders {
    /// Ready-made sets; a header that the response has already is left as it is.
    pub presets: Vec<Preset>,
    /// Headers to set, replacing all values.
    pub set: BTreeMap<String, String>,
    /// Headers to add beside the values that are there.
    pub append: BTreeMap<String, OneOrMany>,
    /// Headers to remove, first of all.
    pub remove: Vec<String>,
}

/// Cross-origin access; preflight requests are answered at the edge.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Cors {
    /// Origins that may read responses: `"https://app.example.com"`, `"https://*.example.com"`, or `"*"`.
    pub origins: Option<OneOrMany>,
    /// Methods that a preflight allows. Default: `GET`, `HEAD`, `POST`.
    pub methods: Option<Vec<String>>,
    /// Request headers that a preflight allows; `"*"` for any.
    pub headers: Option<OneOrMany>,
    /// Response headers that scripts may read.
    pub expose: Vec<String>,
    /// Whether cookies and authorisation may be sent along. Default: false. Needs origins by name.
    pub credentials: bool,
    /// How long a browser may remember a preflight, such as `"10m"`.
    pub max_age: Option<String>,
}

/// What the edge refuses to take in.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Largest header section, names and values together. Default: `"32KiB"`; more is answered 431.
    pub max_header_bytes: Option<Size>,
    /// Longest path and query of a URL. Default: `"8KiB"`; a longer one is answered 414.
    pub max_url_bytes: Option<Size>,
    /// Longest request body. Default: `"10MiB"`; a longer one is answered 413.
    pub max_body_bytes: Option<Size>,
    /// Most bytes of responses in a store whose size is the edge's own to bound: Spin's key-value store, the emulator's
    /// memory. Default: `"64MiB"`; an older response goes when a newer one needs its place.
    pub max_store_bytes: Option<Size>,
    /// Methods that are let in. Default: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; others are answered 501.
    pub methods: Option<Vec<String>>,
    /// What becomes of `%2F` in a path. Default: `reject`.
    pub encoded_slashes: Option<EncodedSlashes>,
    /// Longest time until the client has the head of its answer, whatever backends and handlers do, such as `"10s"`. Default: none but the backends' own; `"10ms"` to `"10m"`.
    pub deadline: Option<String>,
}

/// What becomes of `%2F` in a path.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EncodedSlashes {
    /// The request is answered 400.
    Reject,
    /// It stays as it is and separates nothing.
    Keep,
}

/// Answers for when a backend fails or no route matches.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Fallback {
    /// Whether a stored response may answer within its `stale-if-error` time. Default: true.
    pub stale: Option<bool>,
    /// Backend to ask when the chosen one and its failover order have failed.
    pub backend: Option<String>,
    /// Page for when everything failed. Default: 502 or 504 in plain text.
    pub page: Option<Page>,
    /// Page for when no route matches. Default: 404 in plain text.
    pub not_found: Option<Page>,
}

/// A fixed answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Page {
    /// Status, 200 to 599.
    pub status: Option<u16>,
    /// Body.
    pub body: Option<String>,
    /// Media type. Default: `text/plain; charset=utf-8`.
    pub content_type: Option<String>,
}

/// One page for the whole site.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Maintenance {
    /// Whether the site is in maintenance. Default: false.
    pub enabled: bool,
    /// Status. Default: 503.
    pub status: Option<u16>,
    /// Body.
    pub body: Option<String>,
    /// Media type. Default: `text/plain; charset=utf-8`.
    pub content_type: Option<String>,
    /// What `Retry-After` says, such as `"10m"`.
    pub retry_after: Option<String>,
    /// Addresses and networks that see the site all the same, such as `"203.0.113.0/24"`.
    pub allow: Vec<String>,
}

/// What of a request may be in the access log and in traces although it is personal data, or may hold secrets.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Log {
    /// Whether the client's address is. Default: `false`.
    pub client_address: bool,
    /// What of the query is: `omit` (nothing, the default), `names` (of its parameters) or `whole`.
    pub query: Option<LogQuery>,
    /// Whether what the client calls itself is. Default: `false`.
    pub user_agent: bool,
}

/// What only Spin is told.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Spin {
    /// Whose word about the client is believed, because no request comes past it. Default: nobody's but Spin's own.
    pub front: Option<Front>,
}

/// Where redirects may lead.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Redirects {
    /// Hosts beside the client's own and those that stand literally in a redirect's target.
    pub allowed_hosts: Vec<String>,
}
