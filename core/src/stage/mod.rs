//! The pipeline cut in four, for platforms that put a cache of their own in its middle.
//!
//! CloudFront runs code before its cache, behind it, when the origin has answered, and before the response leaves; what lies between,
//! it does by itself. Each stage runs the [phase](crate::phase) of its name and hands on what it learnt, as bytes that the platform's
//! adapter keeps from being forged:
//!
//! | stage | gets | gives |
//! |---|---|---|
//! | [`Engine::enter`] | the client's request | an answer, or the key of CloudFront's cache and a [`Learnt`] |
//! | [`Exchange::departing`](crate::exchange::Exchange::departing) | the request, the [`Learnt`], the client's place | an answer, or a request to a backend and a [`Passage`] |
//! | [`Engine::arrive`] | the backend's response and the [`Passage`] | the response for the cache, with a [`Mark`] |
//! | [`Engine::leave`] | the response from the cache, the [`Mark`], the request and its [`Learnt`] | the response for the client |
//!
//! A stage rebuilds the transaction by taking the decisions of the phases before it again, which costs less than to carry them: they are
//! functions of the request, the facts and the [`Learnt`].
//!
//! # The client's place
//! CloudFront knows it behind its cache only. What depends on it is decided there, [`enter`](Engine::enter) answers nothing that it could
//! change, and the adapter makes the [facts that decide](deciding_facts) part of the cache's key.

mod arrive;
mod depart;
mod enter;
mod leave;
mod mark;
mod passage;
mod reads;
mod retrace;
#[cfg(all(test, feature = "policy-file"))]
mod tests;

use http::Request;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::bot::{BotCategory, Verdict};
use crate::device::DeviceClass;
use crate::facts::Facts;
use crate::transaction::{Assigned, Seed, Transaction};

pub use arrive::{Arrived, HandedOver};
pub(crate) use depart::depart;
pub use depart::{Departing, Departure};
pub use enter::{Entry, Forward};
pub use mark::Mark;
pub use passage::Passage;
pub(crate) use reads::answer_depends_on_place;
pub use reads::{deciding_facts, facts_read, response_depends_on_place};

#[cfg(doc)]
use crate::engine::Engine;

/// What the first stage learnt about a request and later ones cannot find out again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    seed: Seed,
    bot: Option<BotCategory>,
    device: DeviceClass,
    assigned: Vec<Assigned>,
    /// Whether the variations depend on the client's place.
    assign_again: bool,
}

impl Learnt {
    pub(crate) fn of(tx: &Transaction) -> Self {
        Self {
            seed: tx.seed(),
            bot: tx.verdict.category(),
            device: tx.device,
            assigned: tx.assigned.clone(),
            assign_again: tx.assign_again || tx.place.experiment,
        }
    }

    /// Returns the request's seed.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Returns the bytes that [`from_bytes`](Self::from_bytes) reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` when it is something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        from_bytes(bytes)
    }
}

impl Transaction {
    /// Goes on with a request that an earlier stage took in.
    #[must_use]
    pub fn resumed(request: Request<Body>, facts: Facts, learnt: &Learnt) -> Self {
        let mut tx = Self::new(request, facts, learnt.seed);
        tx.is_resumed = true;
        tx.assign_again = learnt.assign_again;
        tx.verdict = Verdict::known(learnt.bot);
        tx.device = learnt.device;
        tx.assigned.clone_from(&learnt.assigned);
        tx
    }

    /// The same request after its handler crashed the module that ran it, with this message.
    #[must_use]
    pub fn crashed(mut self, message: String) -> Self {
        self.crash = Some(message);
        self
    }
}

fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain data can be written to memory")
}

fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}
