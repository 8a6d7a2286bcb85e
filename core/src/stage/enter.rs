//! The first stage: the client's request, before the platform's cache.

use http::header::{COOKIE, RANGE, TRANSFER_ENCODING};

use super::{Learnt, reads};
use crate::engine::{Answer, Engine};
use crate::phase::{CachePlan, ViewerRequestOutcome};
use crate::pipeline;
use crate::route::Action;
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// What the first stage comes to.
#[derive(Debug)]
#[must_use]
pub enum Entry {
    /// The edge answers.
    Respond(Box<Answer>),
    /// The request goes on to the platform's cache.
    Forward(Forward),
}

/// A request on its way to the platform's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// What tells its responses apart, but for the facts that are known later. `None` when no response may be shared with it: the
    /// platform needs a key that no other request has.
    pub key: Option<String>,
    /// What later stages need.
    pub learnt: Learnt,
}

impl Engine {
    /// Takes a request in.
    ///
    /// Where the [place comes later](Transaction::before_the_place), nothing is answered that it could change: such a request goes on
    /// without a key, and the next stage answers. Limits of `[bots]` that count are not asked for: no such platform has a counter.
    pub fn enter(&self, mut tx: Transaction, now: Timestamp) -> Entry {
        let outcome = self.on_viewer_request(&mut tx, now);
        let is_settled = tx.place.is_settled()
            && !(tx.place.comes_later && reads::headers_depend_on_place(self.policy(), self.route_of(&tx)));
        match outcome {
            ViewerRequestOutcome::Respond(mut response) if is_settled => {
                let records = pipeline::exposures(self, &tx).collect();
                self.on_viewer_response(&mut tx, &mut response, now);
                Entry::Respond(Box::new(Answer { response, summary: tx.summary(), records }))
            }
            ViewerRequestOutcome::Respond(_) => {
                Entry::Forward(Forward { key: None, learnt: Learnt::of(&tx) })
            }
            ViewerRequestOutcome::Continue => {
                Entry::Forward(Forward { key: self.shared_key(&tx), learnt: Learnt::of(&tx) })
            }
        }
    }

    /// Returns the names, lower case, of the header fields that [`enter`](Self::enter) can read: a request may be handed over with those alone,
    /// [without](Transaction::without) the others.
    #[must_use]
    pub fn fields_at_entry(&self) -> Vec<String> {
        let mut names = self.interest().headers;
        for route in &self.policy().routes {
            names.extend(route.key.headers.iter().map(|name| name.to_ascii_lowercase()));
            names.extend(route.key.cookies.first().map(|_| COOKIE.as_str().to_owned()));
        }
        names.extend([RANGE, TRANSFER_ENCODING].map(|name| name.as_str().to_owned()));
        names.sort_unstable();
        names.dedup();
        names
    }

    fn shared_key(&self, tx: &Transaction) -> Option<String> {
        let is_handled = self.route_of(tx).is_some_and(|route| matches!(route.action, Action::Handle(_)));
        // Another place may mean another route or variation, and with it another rule of what the key is made of.
        if tx.place.route || tx.place.experiment || is_handled {
            return None;
        }
        match self.cache_plan(tx) {
            CachePlan::Lookup(key) => Some(key),
            CachePlan::Bypass => None,
        }
    }
}
