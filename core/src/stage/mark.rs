//! What goes with a response into the platform's cache, so that the last stage can finish it for each client.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{Learnt, from_bytes, to_bytes};
use crate::cache::status::{CacheStatus, Forward};
use crate::facts::Facts;
use crate::reason::{Reason, Rule};
use crate::time::Timestamp;
use crate::transaction::{Seed, Transaction};

/// Fields of a response that speak to caches: the platform's is told others.
const FOR_CACHES: [HeaderName; 2] = [header::CACHE_CONTROL, header::EXPIRES];

/// What a response in the platform's cache says about itself.
///
/// It is the same for every client that gets the response, but for what only the first one may get: its cookies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The request that brought it.
    pub(super) seed: Seed,
    pub(super) reason: Reason,
    pub(super) handling: Handling,
    /// The client's place, where it decided something: the same for everybody who gets the response.
    pub(super) place: Facts,
    pub(super) arrived: Timestamp,
    pub(super) age: Duration,
    pub(super) fresh: Duration,
    pub(super) revalidating: Duration,
    /// What was learnt behind the cache about the one request that gets the response.
    pub(super) learnt: Option<Learnt>,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) cookies: Vec<Vec<u8>>,
}

/// How the edge came to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Handling {
    /// By itself.
    Local,
    /// From a backend, past the cache.
    Bypass,
    /// From a backend, since the cache had nothing.
    Miss {
        /// Whether the cache has it now.
        is_stored: bool,
    },
}

impl Mark {
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

    /// What the response is worth to the request that gets it.
    pub(super) fn apply(&self, tx: &mut Transaction, now: Timestamp) {
        if self.seed == tx.seed() {
            tx.decide(self.reason, Rule::BuiltIn);
            tx.cache_status = self.handling.status();
            return;
        }
        let (age, fresh) = (self.age_at(now), self.fresh);
        if age < fresh {
            tx.decide(Reason::CacheHit, Rule::BuiltIn);
            tx.cache_status = Some(CacheStatus::hit(fresh - age));
        } else if age - fresh <= self.revalidating {
            tx.decide(Reason::CacheStaleWhileRevalidate, Rule::BuiltIn);
            tx.cache_status = Some(CacheStatus::stale_hit(age - fresh));
        } else {
            // Older than that, the platform serves it only when the backend fails.
            tx.decide(Reason::FallbackStale, Rule::BuiltIn);
            tx.cache_status = Some(CacheStatus::forward(Forward::Stale));
        }
        tx.cache = Some(tx.reason());
    }

    pub(super) fn age_at(&self, now: Timestamp) -> Duration {
        self.age + now.saturating_since(self.arrived)
    }

    /// Takes the fields for caches out of a response.
    pub(super) fn take_fields(headers: &mut HeaderMap) -> Vec<(String, Vec<u8>)> {
        let mut fields = Vec::new();
        for name in FOR_CACHES {
            fields.extend(
                headers.get_all(&name).iter().map(|v| (name.as_str().to_owned(), v.as_bytes().to_vec())),
            );
            headers.remove(&name);
        }
        fields
    }

    /// Puts them back.
    pub(super) fn restore_fields(&self, headers: &mut HeaderMap) {
        FOR_CACHES.iter().for_each(|name| drop(headers.remove(name)));
        for (name, value) in &self.fields {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
            {
                headers.append(name, value);
            }
        }
    }
}

impl Handling {
    /// `None` for an answer of the edge itself.
    pub(super) fn status(self) -> Option<CacheStatus> {
        match self {
            Self::Local => None,
            Self::Bypass => Some(CacheStatus::forward(Forward::Bypass)),
            Self::Miss { is_stored } => {
                let status = CacheStatus::forward(Forward::UriMiss);
                Some(if is_stored { status.stored() } else { status })
            }
        }
    }
}
