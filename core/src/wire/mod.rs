//! The compact form in which exchanges cross a boundary that only carries bytes: a wasm module's.
//!
//! A message is lines and, beside it, bytes for bodies in the order in which the lines name them. Each line is one
//! value; no value holds a line break, since neither HTTP nor the policy allows one where values are written, and
//! where it could come from elsewhere (a city's name, a handler's message) it is replaced. A header's value is its
//! bytes as they are; all else is UTF-8.
//!
//! Whatever a message says is checked: one that is cut short, that counts wrongly or that names what does not
//! exist is a [`WireError`].

mod decode;
mod encode;
mod entry;
mod head;
mod lines;
#[cfg(test)]
mod tests;

use http::{Request, StatusCode};

use crate::body::{Body, BodyHandle};
use crate::effect::{EffectId, EffectResult};
use crate::facts::Facts;
use crate::health::{BodyEnd, Place};
use crate::job::Job;
use crate::time::Timestamp;
use crate::transaction::{Omitted, Seed};

pub use decode::decode;
pub use encode::{Message, Told, encode_answer, encode_lines, encode_step, names};
pub use entry::{decode_entry, encode_entry};

/// The handle of a request's own body.
pub const REQUEST_BODY: BodyHandle = BodyHandle(0);

/// What a host tells.
#[derive(Debug)]
pub enum Incoming {
    /// A request came in.
    Begin(Box<Begin>),
    /// A job is to be done.
    Job(Box<BeginJob>),
    /// An effect is done.
    Completed {
        /// The number that the module gave the exchange.
        exchange: u32,
        /// The effect.
        id: EffectId,
        /// What came of it.
        result: Box<EffectResult>,
        /// The time.
        now: Timestamp,
    },
    /// A body ended: for [`Health::body`](crate::health::Health::body).
    BodyEnded {
        /// The backend.
        place: Place,
        /// The number of the probe whose body it is, if it is one's.
        probe: Option<u32>,
        /// The response's status.
        status: StatusCode,
        /// How.
        end: BodyEnd,
        /// The time.
        now: Timestamp,
    },
}

/// A request and what there is to know about it.
#[derive(Debug)]
pub struct Begin {
    /// The request; a body is [`REQUEST_BODY`].
    pub request: Request<Body>,
    /// Whether every header field is there.
    pub whole: Whole,
    /// What the platform knows about the client.
    pub facts: Facts,
    /// Fresh randomness.
    pub seed: Seed,
    /// The time.
    pub now: Timestamp,
}

/// A job and what it needs.
#[derive(Debug)]
pub struct BeginJob {
    /// The job.
    pub job: Job,
    /// What crashed the module that ran it before.
    pub crash: Option<String>,
    /// Fresh randomness.
    pub seed: Seed,
    /// The time.
    pub now: Timestamp,
}

/// Whether a request has all of its header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whole {
    /// It has.
    Yes,
    /// It has those that the policy can read at first; the others weigh this much.
    Without(Omitted),
    /// It has, and its handler crashed the module that ran it, with this message.
    AfterCrash(String),
}

/// A message is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError {
    /// What was expected where the message went wrong.
    pub expected: &'static str,
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the message has no {} where one is due", self.expected)
    }
}

impl std::error::Error for WireError {}
