//! Which variations a visitor sees.

use std::time::Duration;

use http::HeaderValue;

use crate::engine::Engine;
use crate::experiment::{Assignment, Experiment, ExperimentId, Identity};
use crate::headers::cookies::{self, SetCookie};
use crate::reason::{Reason, Rule};
use crate::transaction::{Assigned, Transaction};

/// How long a visitor's identity lasts: browsers keep no cookie longer than 400 days
/// ([RFC 6265bis section 5.5](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.5)).
const IDENTITY_MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Longest identity that is taken from a client; a longer one counts as none.
const MAX_IDENTITY_BYTES: usize = 256;

impl Engine {
    /// Assigns the visitor to a variation of each experiment.
    pub(super) fn assign_variations(&self, tx: &mut Transaction) {
        tx.forget_variations();
        let mut visitor = None;
        for (at, experiment) in self.policy().experiments.iter().enumerate() {
            let id = ExperimentId(u16::try_from(at).expect("the checker bounds the number of experiments"));
            tx.place.experiment |=
                tx.place.comes_later && experiment.when.place.is_some() && is_for(experiment, tx);
            match self.assignment(tx, experiment, &mut visitor) {
                Assignment::Exclude { reason } => tx.note(reason, Rule::Experiment(id, None)),
                Assignment::Assign { variation, reason } => {
                    tx.note(reason, Rule::Experiment(id, Some(variation)));
                    let is_new = reason == Reason::ExperimentAssigned
                        && visitor.is_some()
                        && known_identity(tx, &experiment.identity).is_none();
                    tx.assigned.push(Assigned { experiment: id, variation, reason, is_new });
                }
            }
        }
    }

    /// Returns what the visitor's next request is recognised by. A forced variation
    /// is a preview and is not kept; one that a cookie holds already needs nothing.
    pub(crate) fn cookies_to_set(&self, tx: &Transaction) -> Vec<HeaderValue> {
        let mut cookies = Vec::new();
        let mut push = |name: &str, value: &str, max_age| {
            let cookie = SetCookie::new(name, value).max_age(max_age).secure(tx.scheme() == "https").build();
            // Two experiments that share an identity cookie set it once.
            cookies.extend(cookie.ok().filter(|cookie| !cookies.contains(cookie)));
        };
        for assigned in tx.assigned.iter().filter(|assigned| assigned.reason == Reason::ExperimentAssigned) {
            let experiment = self.policy().experiment(assigned.experiment);
            if let Some(sticky) = &experiment.sticky {
                push(&sticky.cookie, &experiment.variations[assigned.variation].name, sticky.max_age);
            }
            if let (Identity::Cookie(name), true) = (&experiment.identity, assigned.is_new) {
                push(name, &tx.new_visitor(), IDENTITY_MAX_AGE);
            }
        }
        cookies
    }

    /// One experiment's word; `visitor` is the identity that a new visitor gets, made when first asked for.
    fn assignment(
        &self,
        tx: &Transaction,
        experiment: &Experiment,
        visitor: &mut Option<String>,
    ) -> Assignment {
        let path = tx.target.as_ref().map_or("/", |target| target.path());
        let mut identity = || match (known_identity(tx, &experiment.identity), &experiment.identity) {
            (Some(known), _) => Some(known.to_owned()),
            (None, Identity::Header(_)) => None,
            (None, Identity::Cookie(_)) => Some(visitor.get_or_insert_with(|| tx.new_visitor()).clone()),
        };
        experiment.assign(tx.subject(), path, &mut identity)
    }
}

fn is_for(experiment: &Experiment, tx: &Transaction) -> bool {
    let path = tx.target.as_ref().map_or("/", |target| target.path());
    experiment.is_for(path)
}

fn known_identity<'a>(tx: &'a Transaction, identity: &Identity) -> Option<&'a str> {
    let headers = tx.request.headers();
    let value = match identity {
        Identity::Cookie(name) => cookies::find(headers, name),
        Identity::Header(name) => headers.get(name).and_then(|value| value.to_str().ok()),
    };
    value.filter(|value| !value.is_empty() && value.len() <= MAX_IDENTITY_BYTES)
}
