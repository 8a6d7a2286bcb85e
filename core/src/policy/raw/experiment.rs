//! Experiments as they are written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::OneOrMany;
use super::route::When;

/// An experiment: who takes part, and what each variation changes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Experiment {
    /// Seed of the hash. Default: the experiment's name.
    pub seed: Option<String>,
    /// GrowthBook's hash version, 1 or 2. Default: 2.
    pub hash_version: Option<u8>,
    /// Cookie that identifies the visitor; the edge gives one to a visitor without. Default: `selvedge_visitor`.
    pub identity_cookie: Option<String>,
    /// Request header that identifies the visitor, in place of a cookie.
    pub identity_header: Option<String>,
    /// Share of visitors that take part, 0 to 1. Default: 1.
    pub coverage: Option<f64>,
    /// Range of a namespace: experiments with ranges that do not overlap never share a visitor.
    pub namespace: Option<Namespace>,
    /// Paths that the experiment is for, written as in routes. Default: every path.
    pub paths: Option<OneOrMany>,
    /// Further conditions; all of them must hold.
    pub when: When,
    /// Keeps a visitor's variation in a cookie, so that changed weights move nobody.
    pub sticky: Option<Sticky>,
    /// Query parameter that forces a variation by name. Default: none.
    pub force_query: Option<String>,
    /// Whether bots take part. Default: false.
    pub include_bots: bool,
    /// The variations, at least two; weights are relative.
    pub variations: Vec<ExperimentVariation>,
}

/// A range of a namespace.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Namespace {
    /// Name of the namespace.
    pub id: String,
    /// Start (included) and end (excluded) of the range, within 0 to 1.
    pub range: [f64; 2],
}

/// A cookie that keeps a visitor's variation.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Sticky {
    /// Name of the cookie. Default: `selvedge_` and the experiment's name.
    pub cookie: Option<String>,
    /// How long it lasts. Default: `"30d"`; at most `"400d"`.
    pub max_age: Option<String>,
}

/// One variation.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ExperimentVariation {
    /// Name, unique within the experiment.
    pub name: Option<String>,
    /// Weight, at least 0. Default: 1.
    pub weight: Option<f64>,
    /// Backend for visitors of this variation.
    pub backend: Option<String>,
    /// Path for the backend, a template as in routes.
    pub rewrite: Option<String>,
    /// Headers to set on the request to the backend.
    pub request_headers: BTreeMap<String, String>,
    /// Headers to set on the response to the client.
    pub response_headers: BTreeMap<String, String>,
}
