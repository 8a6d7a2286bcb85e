//! What the core asks of its host, and what the host answers: plain data.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde::{Deserialize, Serialize};

use crate::body::{Body, BodyHandle};
use crate::cache::purge::{Manner, Purge};
use crate::cache::stored::StoredResponse;
use crate::health::BodyReport;
use crate::job::Settlement;
use crate::reason::Reason;
use crate::time::Timestamp;

/// Names one effect within its exchange; ids count up from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EffectId(pub u32);

/// An effect on its way to the host.
#[derive(Debug)]
pub struct Issued {
    /// The id that the host gives back with the result.
    pub id: EffectId,
    /// Whether the effect may go on after the response was sent.
    pub span: EffectSpan,
    /// What to do.
    pub effect: Effect,
}

/// How long an effect lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectSpan {
    /// The response waits for the result.
    BeforeResponse,
    /// The effect outlives the response; a host without work after the response performs it first.
    AfterResponse,
}

/// One thing for the host to do.
///
/// A host performs exactly what is written here and decides nothing: every
/// effect is answered by the [`EffectResult`] of the same name.
#[derive(Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Send a request to a backend, without following redirects.
    Fetch(Box<Fetch>),
    /// Look a key up in the cache store.
    CacheGet {
        /// The key: ASCII, of any length. A store with a limit takes a collision-resistant digest of it.
        key: String,
    },
    /// Put a response into the cache store, replacing what the key names.
    CachePut(Box<CachePut>),
    /// Let nothing that was asked for before now, and that this is about, answer any more.
    CachePurge(Box<CachePurge>),
    /// Wait until nobody else fetches what this key names.
    ///
    /// Only hosts that [collapse](crate::engine::EngineBuilder::collapsing) are asked. Whoever gets [`Turn::First`] fetches it; the turn ends
    /// with the [`CachePut`](Self::CachePut) that says so, when its body is there whole or broke off, with
    /// [`CacheRelease`](Self::CacheRelease), or with the exchange.
    CacheWait {
        /// The key, as in [`CacheGet`](Self::CacheGet).
        key: String,
        /// Longest time to wait; zero to know at once.
        wait: Duration,
    },
    /// End a turn without having stored anything.
    CacheRelease {
        /// The key, as in [`CacheWait`](Self::CacheWait).
        key: String,
        /// Whether what it names cannot be stored, so that for a while nobody need wait for it.
        is_futile: bool,
    },
    /// Cut a part out of a body.
    SliceBody {
        /// The body; it is used up.
        body: BodyHandle,
        /// The first byte, from 0.
        start: u64,
        /// How many bytes.
        length: u64,
    },
    /// Read a value from the key-value store.
    KvGet {
        /// The key, at most 512 bytes.
        key: String,
    },
    /// Write a value to the key-value store.
    KvPut {
        /// The key, at most 512 bytes.
        key: String,
        /// The value.
        value: Bytes,
    },
    /// Add one to a counter and tell what it counts within its window.
    Count {
        /// Names the counter.
        key: String,
        /// Length of the fixed window, aligned to the Unix epoch.
        window: Duration,
    },
    /// Read a whole body into memory.
    ReadBody {
        /// The body to read; it is used up.
        body: BodyHandle,
        /// Most bytes to read; a longer body is refused.
        limit: usize,
    },
    /// Put a message into a queue of the policy, so that it is delivered even if this host ends.
    Enqueue {
        /// Name of the queue.
        queue: Arc<str>,
        /// Tells the message from all others.
        id: String,
        /// The message, at most [`MAX_MESSAGE_BYTES`](crate::job::MAX_MESSAGE_BYTES).
        body: Bytes,
    },
    /// Wait.
    Sleep {
        /// How long.
        time: Duration,
    },
    /// Drop an effect that is under way: nobody waits for its result any more. This one has no result of its own.
    Cancel {
        /// Which one.
        id: EffectId,
    },
    /// Hand a record to whatever collects them; never awaited.
    Record(Record),
}

/// A request to a backend.
#[derive(Debug)]
pub struct Fetch {
    /// Name of the backend in the policy.
    pub backend: Arc<str>,
    /// The request with an absolute URI, as it leaves the edge.
    pub request: Request<Body>,
    /// Longest time until the response head is there.
    pub timeout: Duration,
    /// Longest time until there is a connection, TLS and all, where the host can tell.
    pub connect_timeout: Duration,
    /// What the host watches the response's body for; `None` where the policy wants to know nothing of it.
    pub watch: Option<Watch>,
    /// Most bytes of request body to pass on; more makes the fetch fail with
    /// [`FetchError::BodyTooLarge`].
    pub max_body_bytes: u64,
}

/// What a host watches a response's body for.
///
/// It [tells](BodyReport::tell) once how the body ended. When `total` is over while the body streams, it breaks the body off, so that whoever
/// reads it takes it for broken and no store keeps it. That is [`Late`](crate::health::BodyEnd::Late) where half of that time was spent on
/// waiting for the backend, and [`Left`](crate::health::BodyEnd::Left) elsewhere; a client that reads slowly is no failure of a backend.
#[derive(Clone, Debug)]
pub struct Watch {
    /// From the start of the fetch until the last byte of the body, not less than the fetch's own `timeout`; `None` where a body may take as
    /// long as it does.
    pub total: Option<Duration>,
    /// What is told the end.
    pub report: BodyReport,
}

/// A response to store.
#[derive(Debug)]
pub struct CachePut {
    /// The key, as in [`Effect::CacheGet`].
    pub key: String,
    /// What to store.
    pub entry: CacheEntry,
    /// How long the store should keep it at most.
    pub keep: Duration,
    /// The key whose [turn](Effect::CacheWait) ends with it.
    pub ends_turn: Option<String>,
    /// Whether the body is the one that the store has under this key, so that only the head is new.
    pub is_body_kept: bool,
}

/// What is purged, for stores of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePurge {
    /// For a store with a [`Ledger`](crate::cache::purge::Ledger).
    pub purges: Vec<Purge>,
    /// What becomes of it there.
    pub manner: Manner,
    /// When: what was asked for later is not concerned.
    pub at: Timestamp,
    /// For a store without one: the keys to forget.
    pub keys: Vec<String>,
}

/// Whose turn it is to fetch something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This exchange's.
    First,
    /// Another exchange's is over: look the key up again.
    Over,
    /// Another exchange's goes on, and the wait is over; or nobody need wait for this key.
    Alone,
}

/// What a cache store holds under one key.
#[derive(Clone, Debug)]
pub enum CacheEntry {
    /// A response with its body. A host body is streamed to the client at the
    /// same time, and dropped from the store when it breaks off early.
    Response(Arc<StoredResponse>, Body),
    /// Responses for this key differ by these request headers; look again under the variant's key.
    Variants(Variants),
}

/// By which request headers the responses of a key differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variants {
    /// The headers' names.
    pub names: Arc<[http::HeaderName]>,
    /// A response whose request left before this is not one of them: it was invalidated with the entry that stood here then.
    pub since: Timestamp,
}

/// What the host answers.
#[derive(Debug)]
#[non_exhaustive]
pub enum EffectResult {
    /// The backend's response, or why there is none.
    Fetch(Result<Response<Body>, FetchError>),
    /// What the store holds; `None` when nothing, or when the store failed.
    CacheGet(Option<CacheEntry>),
    /// The store has the entry, or has given it up; the core does not care which.
    CachePut,
    /// The purge is written down, or the keys are forgotten.
    CachePurge,
    /// Whose turn it is.
    CacheWait(Turn),
    /// The turn is over.
    CacheRelease,
    /// The part; `None` when the body was used before.
    SliceBody(Option<Body>),
    /// The value; `None` when there is none.
    KvGet(Result<Option<Bytes>, StoreError>),
    /// Whether the write was taken.
    KvPut(Result<(), StoreError>),
    /// The count within the current window, this request included.
    Count(Result<u64, StoreError>),
    /// The whole body.
    ReadBody(Result<Bytes, ReadBodyError>),
    /// Whether the message is in the queue for good.
    Enqueue(Result<(), StoreError>),
    /// The wait is over.
    Sleep,
    /// The record was handed on.
    Record,
}

/// Why a backend gave no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection could be made.
    Connect,
    /// The backend took longer than the policy allows.
    Timeout,
    /// The connection broke, or what came was not HTTP.
    Protocol,
    /// The request's body is longer than the policy allows.
    BodyTooLarge,
    /// The client's own body broke off.
    ClientBody,
    /// The client's own body did not come in the time that the backend had to answer: at least half of that was spent on waiting for it.
    ClientTimeout,
    /// The backend is not asked: its circuit is open, its checks fail, or too many requests wait for it. Hosts never say this.
    Refused,
}

/// A store did not answer, refused a write, or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreError;

/// Why a body could not be read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadBodyError {
    /// It is longer than the limit.
    TooLarge,
    /// It broke off, or was read before.
    Broken,
}

/// Something worth counting, for the platform's own place for records.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// A visitor saw a variation.
    Exposure {
        /// Name of the experiment.
        experiment: Arc<str>,
        /// Name of the variation.
        variation: Arc<str>,
        /// Why the visitor is in it.
        reason: Reason,
    },
    /// A handler returned an error or panicked; for logs, never for the client.
    HandlerFailure {
        /// Name of the handler.
        handler: String,
        /// [`Reason::HandlerFailed`] or [`Reason::HandlerPanicked`].
        reason: Reason,
        /// What it said.
        message: String,
    },
    /// A queue's message or a schedule was not done at this attempt; for logs.
    JobFailure {
        /// Name of the queue or schedule.
        name: String,
        /// The job's id.
        id: String,
        /// What went wrong.
        message: String,
        /// What becomes of it.
        settlement: Settlement,
    },
    /// A handler's own record.
    Event {
        /// Name of the event.
        name: String,
        /// Its value.
        value: f64,
    },
}

impl FetchError {
    /// Returns the stable name that logs and `Cache-Status` show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::BodyTooLarge => "body-too-large",
            Self::ClientBody => "client-body",
            Self::ClientTimeout => "client-timeout",
            Self::Refused => "refused",
        }
    }
}
