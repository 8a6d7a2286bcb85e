//! `edge.toml` as it is written: every key, its type and its meaning, nothing checked yet.
//!
//! These types are the single source of the JSON Schema. Texts with a grammar of
//! their own (durations, templates, countries) stay texts here, so that the
//! checker can report all their errors at once, each with its place.

mod experiment;
mod health;
mod job;
mod route;
mod site;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use experiment::{Experiment, ExperimentVariation, Namespace, Sticky};
pub use health::{Breaker, Check, Hedge, Retry};
pub use job::{Queue, QueueStore, Schedule};
pub use route::{
    Authorization, BackendByPlace, BackendChoice, CacheKey, CacheRule, ClientDirectives, KeyFact, QueryKey,
    QueryKeyword, Redirect, RedirectTarget, Respond, Route, SetCookie, When,
};
pub use site::{
    Backend, BotAction, BotRule, BotRuleTable, Bots, Cors, EncodedSlashes, EnvValue, Fallback, Geo,
    GeoAction, GeoRule, HeaderValue, Headers, HostHeader, Limits, Log, Maintenance, Page, Redirects,
    RequestHeaders, ResponseHeaders, Spin,
};

/// An edge policy: one `edge.toml`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(title = "Selvedge edge policy")]
pub struct Policy {
    /// Name of the policy, for status pages and logs. Default: `edge`.
    pub name: Option<String>,
    /// Whether `Server-Timing` tells clients how long the edge and the route's backends took, in milliseconds, and what the cache did: everybody then sees what is stored. Default: `false`.
    pub server_timing: bool,
    /// The servers behind the edge, by name.
    pub backends: BTreeMap<String, Backend>,
    /// What is answered where. The most specific route that matches wins, whatever its place in the file.
    pub routes: Vec<Route>,
    /// Groups of countries beside the built-in ones (`eu`, `eea`, `schengen`, `efta` and the continents), by name.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Who may come in, by place.
    pub geo: Geo,
    /// What happens to bots, by category.
    pub bots: Bots,
    /// Experiments, by name.
    pub experiments: BTreeMap<String, Experiment>,
    /// Headers for every route.
    pub headers: Headers,
    /// Cross-origin access for every route that has no `cors` of its own.
    pub cors: Option<Cors>,
    /// What the edge refuses to take in.
    pub limits: Limits,
    /// Answers for when a backend fails or no route matches.
    pub fallback: Fallback,
    /// Switches the whole site to one page.
    pub maintenance: Option<Maintenance>,
    /// Where redirects may lead.
    pub redirects: Redirects,
    /// Queues of messages that handlers send, by name.
    pub queues: BTreeMap<String, Queue>,
    /// What happens at certain times, by name.
    pub schedules: BTreeMap<String, Schedule>,
    /// What the access log may hold of clients.
    pub log: Log,
    /// What only Spin is told.
    pub spin: Spin,
}

/// One text or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// A single text.
    One(String),
    /// Several texts.
    Many(Vec<String>),
}

impl OneOrMany {
    /// Returns all texts as one slice.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// A number of bytes: an integer, or a text such as `"64KiB"` (`B`, `KiB`, `MiB`, `GiB`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// A number with a unit.
    Text(String),
}
