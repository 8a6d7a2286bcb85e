//! Who may come in, by place.

use serde::{Deserialize, Serialize};

use super::places::{Places, Presence};
use crate::facts::Facts;
use crate::reason::Reason;

/// Rules about places; the first that holds the client's place decides.
///
/// Where too little is known to say whether a rule holds it, as with a continent without its country,
/// the place counts as unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeoPolicy {
    /// Rules in order.
    pub rules: Vec<GeoRule>,
    /// For places that no rule holds.
    pub default: GeoAction,
    /// For clients whose place is unknown.
    pub unknown: GeoAction,
    /// Where a client's place is known from.
    pub source: GeoSource,
}

/// Where a client's place is known from, on platforms that tell it late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "policy-file", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GeoSource {
    /// The platform, when it tells it: CloudFront does so behind its cache.
    #[default]
    Platform,
    /// A database that is deployed with the policy, from the first decision on.
    Database,
}

/// One rule about places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeoRule {
    /// The places.
    pub places: Places,
    /// What to do.
    pub action: GeoAction,
}

/// Let in or refuse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GeoAction {
    /// Let the client in.
    #[default]
    Allow,
    /// Refuse the client with this answer.
    Block(Refusal),
}

/// A refusal in plain text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// 400 to 599.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// What the rules say about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeoDecision<'a> {
    /// No rule says anything; the client comes in.
    Continue,
    /// The rule of this place in the list lets the client in.
    Allow {
        /// Its place in the list.
        rule: usize,
    },
    /// The client is refused.
    Block {
        /// The answer.
        refusal: &'a Refusal,
        /// Whether a place or its absence decided.
        reason: Reason,
        /// The place of the rule in the list; `None` for `default` and `unknown`.
        rule: Option<usize>,
    },
}

impl GeoPolicy {
    /// Returns whether no client is refused, whatever its place.
    #[must_use]
    pub fn lets_everybody_in(&self) -> bool {
        let actions = self.rules.iter().map(|rule| &rule.action).chain([&self.default, &self.unknown]);
        actions.into_iter().all(|action| *action == GeoAction::Allow)
    }

    /// Decides about a client.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> GeoDecision<'_> {
        for (at, rule) in self.rules.iter().enumerate() {
            match rule.places.matches(facts) {
                Presence::Inside => return decision(&rule.action, Reason::GeoBlocked, Some(at)),
                Presence::Outside => {}
                Presence::Unknown => return decision(&self.unknown, Reason::GeoUnknownBlocked, None),
            }
        }
        if facts.country.is_none() && facts.continent.is_none() {
            decision(&self.unknown, Reason::GeoUnknownBlocked, None)
        } else {
            decision(&self.default, Reason::GeoBlocked, None)
        }
    }
}

impl Default for GeoPolicy {
    fn default() -> Self {
        let allow = GeoAction::Allow;
        Self { rules: Vec::new(), default: allow.clone(), unknown: allow, source: GeoSource::Platform }
    }
}

fn decision(action: &GeoAction, reason: Reason, rule: Option<usize>) -> GeoDecision<'_> {
    match (action, rule) {
        (GeoAction::Block(refusal), _) => GeoDecision::Block { refusal, reason, rule },
        (GeoAction::Allow, Some(rule)) => GeoDecision::Allow { rule },
        (GeoAction::Allow, None) => GeoDecision::Continue,
    }
}
