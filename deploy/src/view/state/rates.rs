//! How many requests there were lately, and how many of them failed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use selvedge_emulator::Snapshot;

/// How many seconds are kept.
pub(in crate::view) const MAX_SECONDS: usize = 300;
/// For how long a failure counts.
const FAILURE_WINDOW: Duration = Duration::from_secs(30);
/// How far apart looks at the failures are.
const FAILURE_STEP: Duration = Duration::from_secs(1);

/// Requests by second of the edge's life.
#[derive(Debug)]
pub(in crate::view) struct RequestRates {
    /// The second under way is the last one.
    seconds: VecDeque<u64>,
    second: u64,
    requests: u64,
}

/// What backends' counts were, by when.
#[derive(Debug, Default)]
pub(in crate::view) struct FailureRates {
    looks: VecDeque<(Duration, Counts)>,
    latest: Counts,
}

/// Requests and failures by backend.
type Counts = BTreeMap<String, (u64, u64)>;

impl RequestRates {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self { seconds: VecDeque::from([0]), second: snapshot.uptime.as_secs(), requests: snapshot.requests }
    }

    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        let passed = snapshot.uptime.as_secs().saturating_sub(self.second);
        for _ in 0..passed.min(MAX_SECONDS as u64) {
            if self.seconds.len() == MAX_SECONDS {
                self.seconds.pop_front();
            }
            self.seconds.push_back(0);
        }
        if let Some(latest) = self.seconds.back_mut() {
            *latest += snapshot.requests.saturating_sub(self.requests);
        }
        self.second += passed;
        self.requests = snapshot.requests;
    }

    /// Returns how many requests there were in the last whole second.
    pub(in crate::view) fn latest(&self) -> u64 {
        self.seconds.iter().rev().nth(1).copied().unwrap_or_default()
    }

    /// Returns the last whole seconds, at most so many, in order.
    pub(in crate::view) fn last(&self, count: usize) -> Vec<u64> {
        let whole = self.seconds.len() - 1;
        self.seconds.range(whole.saturating_sub(count)..whole).copied().collect()
    }
}

impl FailureRates {
    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        let counts = snapshot.backends.iter();
        self.latest = counts.map(|each| (each.name.clone(), (each.requests, each.failures))).collect();
        let now = snapshot.uptime;
        if self.looks.back().is_none_or(|(at, _)| now >= *at + FAILURE_STEP) {
            self.looks.push_back((now, self.latest.clone()));
        }
        // The latest of those before the window is what the window's counts begin from.
        while self.looks.get(1).is_some_and(|(at, _)| *at + FAILURE_WINDOW <= now) {
            self.looks.pop_front();
        }
    }

    /// Returns the percentage of failures among a backend's requests of the last 30 seconds; `None` when it had none.
    pub(in crate::view) fn percent(&self, backend: &str) -> Option<u64> {
        let (requests, failures) = self.latest.get(backend)?;
        let before = self.looks.front().and_then(|(_, counts)| counts.get(backend)).copied();
        let (requests_before, failures_before) = before.unwrap_or_default();
        let failed = failures.saturating_sub(failures_before);
        // What began before and ended since counts as one of them.
        let all = requests.saturating_sub(requests_before).max(failed);
        (failed * 100).checked_div(all)
    }
}
