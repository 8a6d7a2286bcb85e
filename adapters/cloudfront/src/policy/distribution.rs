//! What CloudFront has to be set up with for a policy.

use selvedge_core::facts::{Fact, FactSet};
use selvedge_core::policy::Policy;
use selvedge_core::route::Action;
use selvedge_core::stage::{deciding_facts, facts_read};

use crate::event::{Origin, Trigger};

use super::behaviours::{self, Behaviour, Behaviours, MAX_BEHAVIOURS, Origins};
use super::facts;

/// The custom header of the second origin of the distribution's origin group, and its value. CloudFront never asks that origin: the
/// function sees by the header, which no client can put into an origin, that the first backend failed, and goes on by itself.
///
/// The origin's domain is one that DNS knows, such as the first backend's: CloudFront
/// [resolves it](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html#lambda-at-edge-restrictions-dns)
/// before it calls the function.
pub const FAILOVER_HEADER: (&str, &str) = ("selvedge-origin", "failover");

/// Whether an origin is the second one of the origin group.
pub(super) fn is_secondary(origin: &Origin) -> bool {
    let (name, value) = FAILOVER_HEADER;
    origin.custom_headers().first(name) == Some(value)
}

/// Statuses of a backend that the origin group fails over at, beside failed connections: those that say that it cannot answer. A
/// backend's own error, 500, is an answer.
pub const FAILOVER_STATUSES: [u16; 3] = [502, 503, 504];

/// The request header that CloudFront's cache tells requests apart by.
pub const KEY_HEADER: &str = "selvedge-key";

/// The header in which a trigger tells the next one what it learnt.
pub const STATE_HEADER: &str = "selvedge-state";

/// A distribution as far as a policy decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Triggers that the policy needs, in the order of [`Trigger::ALL`].
    pub triggers: Vec<Attached>,
    /// Headers of the cache policy, lower case: [`KEY_HEADER`], and those of CloudFront's that decisions read.
    pub cache_key_headers: Vec<String>,
    /// Further headers of CloudFront's for the origin request policy, lower case.
    pub origin_request_headers: Vec<String>,
    /// What paths have beside the default behaviour, in the order in which CloudFront compares them, and as many as it takes.
    pub behaviours: Vec<Behaviour>,
    /// Whether viewers are sent from `http` to `https`, before any trigger.
    pub https_only: bool,
}

/// A trigger that calls the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The trigger.
    pub trigger: Trigger,
    /// Whether the function is shown the request's body.
    pub include_body: bool,
}

/// Where a client's place is known from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Geography {
    /// CloudFront's headers, from the origin-request trigger on.
    #[default]
    Platform,
    /// A database beside the function, from the viewer-request trigger on.
    Database,
}

impl Distribution {
    /// Returns what a policy needs, with viewers sent to `https`.
    #[must_use]
    pub fn of(policy: &Policy, geography: Geography) -> Self {
        let (deciding, read) = match geography {
            Geography::Platform => (deciding_facts(policy), facts_read(policy)),
            Geography::Database => (FactSet::default(), facts_read(policy)),
        };
        let mut cache_key_headers = vec![KEY_HEADER.to_owned()];
        cache_key_headers.extend(facts::headers(deciding, facts::Use::Key).map(str::to_owned));
        let further = facts::headers(with_scheme(read, geography), facts::Use::OriginRequest);
        let origin_request_headers = further
            .filter(|name| cache_key_headers.iter().all(|own| own != name))
            .map(str::to_owned)
            .collect();
        Self {
            triggers: triggers(policy, deciding != FactSet::default()),
            cache_key_headers,
            origin_request_headers,
            behaviours: behaviours_of(policy),
            https_only: true,
        }
    }

    /// Returns the same for viewers that are served over `http` as well: their scheme, which is known behind the cache only, is part of its
    /// key then.
    #[must_use]
    pub fn with_http(mut self) -> Self {
        self.https_only = false;
        let (key, further) = (&mut self.cache_key_headers, &mut self.origin_request_headers);
        let scheme = further.extract_if(.., |name| facts::is_scheme(name));
        key.extend(scheme);
        self
    }

    /// Returns whether there is an origin group, whose second origin has the [`FAILOVER_HEADER`].
    #[must_use]
    pub fn fails_over(&self) -> bool {
        self.behaviours.iter().any(|behaviour| behaviour.origins == Origins::Group)
    }

    /// Returns where CloudFront sends a request, by the path that the viewer sent; it chooses before any trigger and stays with that.
    #[must_use]
    pub fn origins_of(&self, path: &str) -> Origins {
        behaviours::origins_of(&self.behaviours, path)
    }

    /// Returns whether a trigger calls the function.
    #[must_use]
    pub fn has(&self, trigger: Trigger) -> bool {
        self.triggers.iter().any(|attached| attached.trigger == trigger)
    }
}

/// The scheme is asked for wherever a request goes on; with a database, the place is not.
fn with_scheme(mut facts: FactSet, geography: Geography) -> FactSet {
    if geography == Geography::Database {
        facts = FactSet::of(&[Fact::Protocol, Fact::TlsVersion].map(|fact| fact));
    }
    facts.insert(Fact::IsHttps);
    facts
}

fn triggers(policy: &Policy, decides_later: bool) -> Vec<Attached> {
    let has = |is: fn(&Action) -> bool| policy.routes.iter().any(|route| is(&route.action));
    let proxies = has(|action| matches!(action, Action::Proxy { .. }));
    let handles = has(|action| matches!(action, Action::Handle(_)));
    let goes_on = proxies || handles || decides_later;
    let rows = [
        (Trigger::ViewerRequest, true),
        (Trigger::OriginRequest, goes_on),
        (Trigger::OriginResponse, proxies),
        (Trigger::ViewerResponse, goes_on),
    ];
    let needed = rows.into_iter().filter(|(_, is_needed)| *is_needed);
    let attached =
        |(trigger, _)| Attached { trigger, include_body: handles && trigger == Trigger::OriginRequest };
    needed.map(attached).collect()
}

fn behaviours_of(policy: &Policy) -> Vec<Behaviour> {
    let mut ordered = Behaviours::of(policy).ordered;
    ordered.truncate(MAX_BEHAVIOURS);
    ordered
}
