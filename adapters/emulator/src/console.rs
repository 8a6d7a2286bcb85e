//! What whoever runs an edge sees of it and does to it while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use selvedge_core::backend::BackendId;
use selvedge_core::health::PlaceReport;

use crate::faults::Fault;
use crate::feed::Requests;
use crate::handle::PolicyInfo;
use crate::purge::{PurgeRequest, Refusal};
use crate::shared::Shared;
use crate::stats::counts::{BackendCounts, CacheUse, Counts};

/// What whoever runs an edge sees of it and does to it while it runs; clones share it.
#[derive(Clone, Debug)]
pub struct Console(Arc<Shared>);

/// How an edge fares; everything that is counted is counted from its start.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The policy in use.
    pub policy: Arc<PolicyInfo>,
    /// Since the edge began.
    pub uptime: Duration,
    /// Requests that had a response's head.
    pub requests: u64,
    /// Responses not yet sent to their end.
    pub in_flight: u64,
    /// Requests by the part of the edge that decided: the first word of the reason's code.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Requests that the cache answered.
    pub hits: u64,
    /// Requests for which the cache was asked in vain.
    pub misses: u64,
    /// How many responses are stored in memory.
    pub entries: u64,
    /// Times until the response's head that so many of 100 requests took at most: 50, 90 and 99.
    pub latencies: [Duration; 3],
    /// The backends of the policy in use, in its order.
    pub backends: Vec<BackendSnapshot>,
}

/// How a backend fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSnapshot {
    /// Its name.
    pub name: String,
    /// Its URLs in order; none where the policy says nothing of its failures.
    pub places: Vec<PlaceReport>,
    /// Requests to it, checks among them.
    pub requests: u64,
    /// Those of them that had no response, or a 5xx.
    pub failures: u64,
    /// Requests that wait for the head of its response.
    pub in_flight: u64,
    /// What is wrong with it on purpose.
    pub fault: Option<Fault>,
}

/// Why nothing was purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeError(Refusal);

impl Console {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Looks at the edge.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (shared, counts) = (&*self.0, self.0.stats.total());
        let used = |usage: CacheUse| counts.durations[usage as usize].total();
        let at = |quantile| Duration::from_micros(counts.latency.value_at_quantile(quantile));
        Snapshot {
            policy: shared.engine.info(),
            uptime: shared.stats.uptime(),
            requests: counts.requests,
            in_flight: u64::try_from(shared.stats.in_flight()).unwrap_or_default(),
            outcomes: counts.by_outcome(),
            hits: used(CacheUse::Hit),
            misses: used(CacheUse::Miss),
            entries: shared.store.memory.size().1,
            latencies: [0.5, 0.9, 0.99].map(at),
            backends: backends(shared, &counts),
        }
    }

    /// Listens to the requests that end from now on.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.0.feed.listen()
    }

    /// Purges stored responses at once; where they are in a folder, this waits for its disk.
    ///
    /// # Errors
    /// When nothing is named, or something that is no absolute URL of this site; nothing was purged then.
    pub fn purge(&self, request: &PurgeRequest) -> Result<(), PurgeError> {
        let purged = request.carry_out(&self.0).map_err(PurgeError)?;
        purged.keep(&self.0.store);
        Ok(())
    }
}

fn backends(shared: &Shared, counts: &Counts) -> Vec<BackendSnapshot> {
    let (engine, now) = (shared.engine.engine(), shared.config.clock.now());
    let backends = (0..).map(BackendId).zip(&engine.policy().backends);
    let snapshot = |(id, backend): (BackendId, &selvedge_core::backend::Backend)| {
        let counted = counts.by_backend.iter().find(|(name, _)| *name == backend.name);
        let counted = counted.map(|(_, counted)| counted);
        BackendSnapshot {
            name: backend.name.clone(),
            places: engine.health().report(id, now).collect(),
            requests: counted.map_or(0, |counted| counted.requests),
            failures: counted.map_or(0, BackendCounts::failures),
            in_flight: counted.map_or(0, |counted| counted.in_flight),
            fault: shared.config.faults.of(&backend.name),
        }
    };
    backends.map(snapshot).collect()
}

impl fmt::Display for PurgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for PurgeError {}
