//! Routes, their conditions and their actions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::OneOrMany;
use super::site::{Cors, Headers};
use crate::device::DeviceClass;

/// What is answered where: conditions and exactly one of `backend`, `redirect`, `respond` and `handler`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Route {
    /// Name, for logs, `explain` and templates. Default: the path.
    pub name: Option<String>,
    /// Path, such as `/users/{id}` or `/static/{*rest}`.
    pub path: Option<String>,
    /// Host, such as `"shop.example.com"` or `"*.example.com"`. Default: any.
    pub host: Option<OneOrMany>,
    /// Methods. Default: any. `GET` covers `HEAD`.
    pub methods: Vec<String>,
    /// File extensions of the path's last segment, without the dot.
    pub extensions: Vec<String>,
    /// Further conditions; all of them must hold.
    pub when: When,
    /// Backend to send the request to: a name, a choice by place, the nearest, or a draw by weights.
    pub backend: Option<BackendChoice>,
    /// Path for the backend: a template with the path's captures, such as `/v2/{rest}`. A query in it replaces the request's.
    pub rewrite: Option<String>,
    /// Redirect: a target, or a target with its details.
    pub redirect: Option<Redirect>,
    /// A fixed answer.
    pub respond: Option<Respond>,
    /// Name of a handler of the crate that holds this policy.
    pub handler: Option<String>,
    /// Caching. Without it the backend's own headers decide.
    pub cache: Option<CacheRule>,
    /// Headers for this route, after those of the site.
    pub headers: Headers,
    /// Cross-origin access for this route, in place of the site's.
    pub cors: Option<Cors>,
}

/// Conditions on a request. Values are texts in which `*` stands for anything; `"*"` alone asks only that the name is there.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct When {
    /// Query parameters and their values.
    pub query: BTreeMap<String, String>,
    /// Request headers and their values.
    pub headers: BTreeMap<String, String>,
    /// Cookies and their values.
    pub cookies: BTreeMap<String, String>,
    /// Countries, any of them.
    pub countries: Vec<String>,
    /// Continents by code (AF, AN, AS, EU, NA, OC, SA), any of them.
    pub continents: Vec<String>,
    /// Groups of countries, any of them.
    pub groups: Vec<String>,
    /// Whether a client whose place is unknown meets the conditions on place. Default: false.
    pub unknown_place: bool,
    /// Device classes, any of them.
    pub devices: Vec<DeviceClass>,
    /// Bot categories, any of them; `"human"` for no bot, `"any"` for every bot.
    pub bots: Vec<String>,
}

/// A backend by name, by place, by distance or by weight.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BackendChoice {
    /// Always this one.
    Name(String),
    /// By the client's place.
    Table(BackendByPlace),
}

/// A backend by place, by distance or by weight.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BackendByPlace {
    /// Backends by country.
    pub countries: BTreeMap<String, String>,
    /// Backends by group, for countries not named in `countries`; in a country of several groups the smallest group decides.
    pub groups: BTreeMap<String, String>,
    /// Backend for every other place.
    pub default: Option<String>,
    /// Backends of which the nearest by great-circle distance is taken, in place of the keys above.
    pub nearest: Vec<String>,
    /// Backend for a client whose place is unknown. Default: `default`, or the first of `nearest`.
    pub unknown: Option<String>,
    /// Backends and how many requests each gets beside the others, 0 to 1000000, in place of the keys above. One is drawn for each request; when it is not available, the others follow in the order of further draws, and those of weight 0 come last. They must answer the same: a stored response answers for all of them.
    pub weights: BTreeMap<String, u32>,
}

/// A redirect.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Redirect {
    /// The target: status 302, the query dropped.
    Target(String),
    /// The target and its details.
    Table(RedirectTarget),
}

/// A redirect with its details; targets are templates.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RedirectTarget {
    /// Target for every place not named below.
    pub to: Option<String>,
    /// Targets by country.
    pub countries: BTreeMap<String, String>,
    /// Targets by group, for countries not named in `countries`; in a country of several groups the smallest group decides.
    pub groups: BTreeMap<String, String>,
    /// Target for a client whose place is unknown. Default: `to`.
    pub unknown: Option<String>,
    /// Status: 301, 302, 303, 307 or 308. Default: 302.
    pub status: Option<u16>,
    /// Whether the request's query is added to the target. Default: false.
    pub keep_query: bool,
}

/// A fixed answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Respond {
    /// Status, 200 to 599. Default: 200.
    pub status: Option<u16>,
    /// Body, a template. Default: empty. Values are escaped where `content-type` is HTML, XML or JSON.
    pub body: Option<String>,
    /// Media type. Default: `text/plain; charset=utf-8`.
    pub content_type: Option<String>,
}

/// How a route's responses are cached.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CacheRule {
    /// Whether the edge may store responses at all. Default: true.
    pub store: Option<bool>,
    /// Lifetime at the edge, such as `"1h"`; replaces the lifetime of the backend's `Cache-Control`.
    pub edge: Option<String>,
    /// Lifetime of error responses at the edge, such as `"10s"`: of status 404, 405, 410, 414, 451, 500, 501, 502, 503 and 504; replaces the lifetime of the backend's `Cache-Control`.
    pub negative: Option<String>,
    /// Whether a response with `Last-Modified` and without a lifetime is given a tenth of its age, at most a day. Default: false.
    pub heuristic: bool,
    /// Lifetime in the browser, such as `"10m"`; becomes `max-age` of the response's `Cache-Control`.
    pub browser: Option<String>,
    /// How long a stale response may answer while it is fetched anew.
    pub stale_while_revalidate: Option<String>,
    /// How long a stale response may answer when the backend fails.
    pub stale_if_error: Option<String>,
    /// What the cache key is made of, beside method, host and path.
    pub key: CacheKey,
    /// Surrogate tags, templates; later purged by.
    pub tags: Vec<String>,
    /// `refuse` (default): a response with `Set-Cookie` is not stored. `strip`: it is stored without. `keep`: it is stored with it, for cookies that are everybody's.
    pub set_cookie: Option<SetCookie>,
    /// `refuse` (default): a request with `Authorization` is stored only when RFC 9111 section 3.5 allows it. `store`: it is treated as any other.
    pub authorization: Option<Authorization>,
    /// What `no-cache`, `max-age`, `min-fresh` and `max-stale` of a request do: `ignore` (default): nothing, so that no client can pass the cache by. `obey`: what RFC 9111 section 5.2.1 says.
    pub client_directives: Option<ClientDirectives>,
}

/// What the cache directives of a request count for.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientDirectives {
    /// Nothing.
    Ignore,
    /// They are obeyed.
    Obey,
}

/// What becomes of responses with `Set-Cookie`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SetCookie {
    /// They are not stored.
    Refuse,
    /// They are stored without it.
    Strip,
    /// They are stored with it.
    Keep,
}

/// What becomes of requests with `Authorization`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Authorization {
    /// Their responses are not stored unless RFC 9111 section 3.5 allows it.
    Refuse,
    /// Their responses are stored like any other.
    Store,
}

/// What the cache key is made of. Variations that change the response are always part of it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CacheKey {
    /// Query parameters: `"all"` (default, without tracking parameters), `"none"`, or a list of names.
    pub query: Option<QueryKey>,
    /// Request headers.
    pub headers: Vec<String>,
    /// Request headers that change no response, though no standard says so. A response to a request with any other header that is neither standard nor of the key is stored only where its `Vary` names that header.
    pub harmless_headers: Vec<String>,
    /// Cookies.
    pub cookies: Vec<String>,
    /// Facts about the client: `country`, `continent`, `region`, `city`, `device`, `bot`.
    pub facts: Vec<KeyFact>,
    /// Whether `Cache-Status` shows the key, to find out why responses are shared or not. Caches behind the edge may show it to others than the client whose headers and cookies it holds. Default: `false`.
    pub show: bool,
}

/// Query parameters of a cache key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum QueryKey {
    /// All or none.
    Keyword(QueryKeyword),
    /// These only.
    Names(Vec<String>),
}

/// All query parameters or none.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueryKeyword {
    /// All but tracking parameters.
    All,
    /// None.
    None,
}

/// A fact that can be part of a cache key.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFact {
    /// The country.
    Country,
    /// The continent.
    Continent,
    /// The subdivision.
    Region,
    /// The city.
    City,
    /// The device class.
    Device,
    /// The bot category.
    Bot,
}
