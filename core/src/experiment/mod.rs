//! Experiments: deterministic, sticky, visible.
//!
//! A visitor's variation follows from the identity and the policy alone, by the
//! hash that GrowthBook's SDKs use, so that analysis tools agree with the edge.

pub mod bucket;
pub mod hash;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use bucket::Namespace;
use hash::HashVersion;

use crate::backend::BackendId;
use crate::headers::cookies;
use crate::headers::name::FieldName;
use crate::reason::Reason;
use crate::route::condition::{Conditions, Subject};
use crate::route::pattern::PathPattern;
use crate::template::Template;

/// The place of an experiment in [`Policy::experiments`](crate::policy::Policy::experiments).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExperimentId(pub u16);

/// A checked experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// Seed of the hash.
    pub seed: String,
    /// Which hash.
    pub hash_version: HashVersion,
    /// What identifies a visitor.
    pub identity: Identity,
    /// The range of a namespace that it is confined to.
    pub namespace: Option<Namespace>,
    /// Paths it is for; empty for every path.
    pub paths: Vec<PathPattern>,
    /// Further conditions.
    pub when: Conditions,
    /// The cookie that keeps a visitor's variation.
    pub sticky: Option<Sticky>,
    /// The query parameter that forces a variation.
    pub force_query: Option<String>,
    /// Whether bots take part.
    pub bots: BotsTakePart,
    /// The variations.
    pub variations: Vec<Variation>,
    /// The bucket range of each variation, from coverage and weights.
    pub ranges: Vec<(f64, f64)>,
}

/// What identifies a visitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// The value of this cookie; a visitor without is given one.
    Cookie(String),
    /// The value of this request header; a request without takes no part.
    Header(String),
}

/// A cookie that keeps a variation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sticky {
    /// Its name.
    pub cookie: String,
    /// How long it lasts.
    pub max_age: Duration,
}

/// Whether bots take part in an experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BotsTakePart {
    /// They do.
    Yes,
    /// They see what a visitor outside the experiment sees.
    #[default]
    No,
}

/// One variation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variation {
    /// Its name.
    pub name: String,
    /// The backend for its visitors.
    pub backend: Option<BackendId>,
    /// The path for the backend.
    pub rewrite: Option<Template>,
    /// Headers to set on the request to the backend.
    pub request_headers: Vec<(FieldName, Template)>,
    /// Headers to set on the response to the client.
    pub response_headers: Vec<(FieldName, Template)>,
}

/// What an experiment decides about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// The visitor is in this variation.
    Assign {
        /// Its place in the list.
        variation: usize,
        /// How that came about.
        reason: Reason,
    },
    /// The visitor takes no part.
    Exclude {
        /// Why not.
        reason: Reason,
    },
}

impl Experiment {
    /// Returns whether a variation changes what a backend answers, so that it belongs to the cache key.
    #[must_use]
    pub fn changes_response(&self) -> bool {
        let changes =
            |v: &Variation| v.backend.is_some() || v.rewrite.is_some() || !v.request_headers.is_empty();
        self.variations.iter().any(changes)
    }

    /// Returns whether a path is among those that it is for.
    pub(crate) fn is_for(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|pattern| pattern.is_match(path))
    }

    /// Decides which variation a visitor sees.
    ///
    /// Asked in this order: is the request what the experiment is for, are bots
    /// left out, is a variation forced, does a cookie keep one, is the identity
    /// inside the namespace, and at last its bucket. A forced or kept name that
    /// is no variation is ignored. `identity` is asked only when the bucket decides.
    pub(crate) fn assign(
        &self,
        subject: Subject<'_>,
        path: &str,
        identity: &mut dyn FnMut() -> Option<String>,
    ) -> Assignment {
        if !(self.is_for(path) && self.when.hold(subject)) {
            return Assignment::Exclude { reason: Reason::ExperimentNotTargeted };
        }
        if self.bots == BotsTakePart::No && subject.verdict.category().is_some() {
            return Assignment::Exclude { reason: Reason::ExperimentBotExcluded };
        }
        if let Some(variation) = self.forced(subject) {
            return Assignment::Assign { variation, reason: Reason::ExperimentForced };
        }
        if let Some(variation) = self.kept(subject) {
            return Assignment::Assign { variation, reason: Reason::ExperimentSticky };
        }
        match identity() {
            None => Assignment::Exclude { reason: Reason::ExperimentNoIdentity },
            Some(identity) => self.bucket(&identity),
        }
    }

    fn forced(&self, subject: Subject<'_>) -> Option<usize> {
        let value = subject.query.value(self.force_query.as_deref()?)?;
        self.position(value.as_ref())
    }

    fn kept(&self, subject: Subject<'_>) -> Option<usize> {
        let value = cookies::find(subject.headers, &self.sticky.as_ref()?.cookie)?;
        self.position(value)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.variations.iter().position(|variation| variation.name == name)
    }

    fn bucket(&self, identity: &str) -> Assignment {
        let outside = Assignment::Exclude { reason: Reason::ExperimentNotIncluded };
        if self.namespace.as_ref().is_some_and(|namespace| !namespace.contains(identity)) {
            return outside;
        }
        let n = hash::hash(&self.seed, identity, self.hash_version);
        bucket::choose(n, &self.ranges)
            .map_or(outside, |variation| Assignment::Assign { variation, reason: Reason::ExperimentAssigned })
    }
}
