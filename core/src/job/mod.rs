//! Jobs: work that no client waits for, from queues and schedules.
//!
//! A job is a `POST` to a backend or a handler, and the response's status says what becomes of it:
//!
//! | response | a queue's message | a schedule |
//! |---|---|---|
//! | 2xx | is done | is done |
//! | none, 408, 425, 429, 5xx | comes again later, up to `attempts` times | waits for its next time |
//! | anything else | is dropped | waits for its next time |
//!
//! The next attempt waits twice as long as the one before, at most [`MAX_RETRY_DELAY`]; a backend's `Retry-After` in
//! seconds takes the place of that. A message is delivered at least once: a backend tells a repeated one by its
//! `Idempotency-Key`.

pub mod cron;
pub(crate) mod run;
#[cfg(all(test, feature = "policy-file"))]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::backend::BackendId;
use cron::Cron;

/// Longest wait between two attempts at a message: 12 hours, as long as
/// [Cloudflare Queues](https://developers.cloudflare.com/queues/platform/limits/) let one wait.
pub const MAX_RETRY_DELAY: Duration = Duration::from_secs(12 * 60 * 60);

/// Largest message, in bytes: what
/// [Cloudflare Queues](https://developers.cloudflare.com/queues/platform/limits/) take, the least of all platforms.
pub const MAX_MESSAGE_BYTES: usize = 128_000;

/// A queue of messages that handlers send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Who gets its messages.
    pub target: JobTarget,
    /// How often a message is delivered at most.
    pub attempts: u32,
    /// How long the second attempt waits after the first.
    pub retry_delay: Duration,
    /// Who keeps its messages.
    pub store: QueueStore,
}

/// Who keeps a queue's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueStore {
    /// Selvedge itself, in what is durable on the platform.
    #[default]
    Edge,
    /// The platform's own queue service.
    Platform,
}

/// Something that happens at certain times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When it happens.
    pub cron: Cron,
    /// Who is told.
    pub target: JobTarget,
}

/// Who does a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobTarget {
    /// A backend, its failover order after it.
    Backend {
        /// The backend.
        backend: BackendId,
        /// Path and query of the request.
        path: String,
    },
    /// A handler, by name.
    Handler(String),
}

/// One piece of work, as the platform hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where it comes from.
    pub source: JobSource,
    /// Tells it from all others of its source; the same at every attempt.
    pub id: String,
    /// Which attempt this is, from 1 on.
    pub attempt: u32,
    /// The message; empty for a schedule.
    pub body: Bytes,
}

/// Where a job comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobSource {
    /// A queue, by name.
    Queue(String),
    /// The time of a schedule, by name.
    Schedule(String),
}

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done: forget it.
    Done,
    /// Deliver it again, as the next attempt.
    Retry {
        /// How long to wait, in whole seconds.
        after: Duration,
    },
    /// It cannot be done: forget it. A record says why.
    Dropped,
}

impl std::fmt::Display for Settlement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Retry { after } => write!(f, "again in {} s", after.as_secs()),
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

/// Why a message is not in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The policy has no such queue.
    UnknownQueue,
    /// The message is longer than [`MAX_MESSAGE_BYTES`].
    TooLarge,
    /// The queue does not answer, refused the message, or the platform has none.
    Store,
}

impl std::fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownQueue => f.write_str("the policy has no such queue"),
            Self::TooLarge => write!(f, "the message is longer than {MAX_MESSAGE_BYTES} bytes"),
            Self::Store => f.write_str("the queue did not take the message"),
        }
    }
}

impl std::error::Error for EnqueueError {}
