//! Routing: which rule of the policy answers a request.
//!
//! # Specificity
//! Of all routes that match, the most specific wins, wherever it stands in the
//! file. Compared in this order:
//! 1. **host**: an exact host, then the longest wildcard, then no host;
//! 2. **path**, segment by segment from the left: a literal, then a capture,
//!    then a catch-all;
//! 3. **number of conditions**: `methods`, `extensions` and each entry of
//!    `when` count one;
//! 4. place in the file.
//!
//! A path that matches only with other methods is answered 405 with `Allow`
//! ([RFC 9110 section 15.5.6](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6)),
//! unless a less specific route takes the request. `GET` covers `HEAD`.

pub mod action;
pub mod condition;
pub mod pattern;
pub(crate) mod router;
pub mod shadow;
pub mod weighted;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::cache::key::KeyRule;
use crate::cache::rule::CacheRule;
use crate::headers::cors::Cors;
use crate::headers::rules::HeaderRules;
use crate::template::Template;

pub use action::{Action, BackendChoice, FixedResponse, Redirect};
pub use condition::{BotClass, Conditions, PlaceCondition, ValuePattern};
pub use pattern::{HostPattern, PathPattern, PatternError, Segment};
pub use weighted::Weighted;

/// The place of a route in [`Policy::routes`](crate::policy::Policy::routes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteId(pub u16);

/// A checked route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Hosts it is for; empty for every host.
    pub hosts: Vec<HostPattern>,
    /// Paths it is for.
    pub path: PathPattern,
    /// Methods it is for, upper case; empty for every method.
    pub methods: Vec<String>,
    /// File extensions it is for, lower case; empty for every path.
    pub extensions: Vec<String>,
    /// Further conditions.
    pub when: Conditions,
    /// What it does.
    pub action: Action,
    /// How its responses are cached.
    pub cache: CacheRule,
    /// What its cache key is made of.
    pub key: KeyRule,
    /// Surrogate tags of its responses.
    pub tags: Vec<Template>,
    /// Changes to headers, after those of the site.
    pub headers: HeaderRules,
    /// Cross-origin access, in place of the site's.
    pub cors: Option<Cors>,
}

impl Route {
    /// Returns whether the route takes a method; `GET` covers `HEAD`.
    #[must_use]
    pub fn takes(&self, method: &Method) -> bool {
        let name = method.as_str();
        self.methods.is_empty()
            || self.methods.iter().any(|own| own == name || (own == "GET" && *method == Method::HEAD))
    }

    /// Returns how many conditions the route has beside host and path.
    #[must_use]
    pub fn condition_count(&self) -> usize {
        usize::from(!self.methods.is_empty()) + usize::from(!self.extensions.is_empty()) + self.when.count()
    }
}
