//! What is counted about requests, by labels of which there are only so many.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use http::StatusCode;
use selvedge_core::effect::FetchError;
use selvedge_core::reason::Reason;

use super::buckets::Buckets;
use super::by_name::ByName;

/// Longest latency that is told apart from longer ones.
const MAX_LATENCY_MICROS: u64 = 60_000_000;

/// Responses by the class of their status, from 1xx to 5xx.
pub(crate) type ByClass = [u64; 5];

/// What is counted about requests.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) by_status: ByClass,
    pub(crate) by_reason: BTreeMap<&'static str, u64>,
    pub(crate) by_cache: BTreeMap<&'static str, u64>,
    /// Requests that a backend did not answer and something else did, by why.
    pub(crate) by_failover: BTreeMap<&'static str, u64>,
    pub(crate) by_route: ByName<ByClass>,
    pub(crate) by_backend: ByName<BackendCounts>,
    pub(crate) exposures: u64,
    /// Until the response's head.
    pub(crate) head: Buckets,
    pub(crate) latency: Histogram<u64>,
    /// Until the end of the response, by [`CacheUse`].
    pub(crate) durations: [Buckets; CacheUse::ALL.len()],
    pub(crate) aborted: u64,
    /// By [`Problem`].
    pub(crate) problems: [u64; Problem::ALL.len()],
}

/// What is counted about a backend.
#[derive(Debug, Default)]
pub(crate) struct BackendCounts {
    pub(crate) requests: u64,
    /// Those that wait for a response's head.
    pub(crate) in_flight: u64,
    pub(crate) by_status: ByClass,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    pub(crate) first_byte: Buckets,
}

/// A request that has its response's head.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) status: StatusCode,
    pub(crate) reason: Reason,
    pub(crate) cache: Option<Reason>,
    pub(crate) failed_over: Option<Reason>,
    pub(crate) route: Option<&'a str>,
    pub(crate) latency: Duration,
}

/// Whether the cache answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheUse {
    /// It did, with what was fresh, stale or confirmed.
    Hit,
    /// It had nothing that it could use.
    Miss,
    /// It was not asked.
    Unused,
}

/// What went wrong in the edge itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A handler returned an error.
    HandlerFailed,
    /// A handler panicked.
    HandlerPanicked,
    /// A job was not done at an attempt.
    JobFailed,
    /// The key-value store, a counter or a queue refused.
    StoreFailed,
    /// A response's body broke off on the side of its source.
    BodyBroken,
    /// A connection could not be accepted.
    AcceptFailed,
    /// A connection, or work behind a response, ended with a panic.
    TaskPanicked,
    /// The database of places is damaged where a client's is.
    PlaceFailed,
}

impl CacheUse {
    /// Every use, in the order of declaration.
    pub(crate) const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Unused];

    pub(crate) fn of(cache: Option<Reason>) -> Self {
        match cache.map_or("", Reason::code) {
            "cache.hit"
            | "cache.revalidated"
            | "cache.stale-while-revalidate"
            | "cache.stale-wanted"
            | "fallback.stale" => Self::Hit,
            "cache.miss" | "cache.stale" => Self::Miss,
            _ => Self::Unused,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Unused => "unused",
        }
    }
}

impl Problem {
    /// Every problem, in the order of declaration.
    pub(crate) const ALL: [Self; 8] = [
        Self::HandlerFailed,
        Self::HandlerPanicked,
        Self::JobFailed,
        Self::StoreFailed,
        Self::BodyBroken,
        Self::AcceptFailed,
        Self::TaskPanicked,
        Self::PlaceFailed,
    ];

    /// Why a handler gave no response.
    pub(crate) fn of_handler(reason: Reason) -> Self {
        if reason == Reason::HandlerPanicked { Self::HandlerPanicked } else { Self::HandlerFailed }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::HandlerFailed => "handler-failed",
            Self::HandlerPanicked => "handler-panicked",
            Self::JobFailed => "job-failed",
            Self::StoreFailed => "store-failed",
            Self::BodyBroken => "body-broken",
            Self::AcceptFailed => "accept-failed",
            Self::TaskPanicked => "task-panicked",
            Self::PlaceFailed => "place-failed",
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_MICROS, 2).expect("the bounds are in order");
        Self {
            requests: 0,
            by_status: ByClass::default(),
            by_reason: BTreeMap::new(),
            by_cache: BTreeMap::new(),
            by_failover: BTreeMap::new(),
            by_route: ByName::default(),
            by_backend: ByName::default(),
            exposures: 0,
            head: Buckets::default(),
            latency,
            durations: Default::default(),
            aborted: 0,
            problems: Default::default(),
        }
    }
}

impl Counts {
    /// Counts a request that has its response's head.
    pub(crate) fn count(&mut self, answered: &Answered<'_>) {
        self.requests += 1;
        self.by_status[class(answered.status)] += 1;
        self.by_route.of(answered.route.unwrap_or_default())[class(answered.status)] += 1;
        *self.by_reason.entry(answered.reason.code()).or_default() += 1;
        if let Some(cache) = answered.cache {
            *self.by_cache.entry(cache.code()).or_default() += 1;
        }
        if let Some(failed_over) = answered.failed_over {
            *self.by_failover.entry(failed_over.code()).or_default() += 1;
        }
        self.latency.saturating_record(u64::try_from(answered.latency.as_micros()).unwrap_or(u64::MAX));
        self.head.count(answered.latency);
    }

    pub(super) fn count_end(&mut self, cache: CacheUse, duration: Duration, is_aborted: bool) {
        self.durations[cache as usize].count(duration);
        self.aborted += u64::from(is_aborted);
    }

    /// Counts a request on its way to a backend.
    pub(crate) fn count_fetch(&mut self, backend: &str) {
        let counts = self.by_backend.of(backend);
        counts.requests += 1;
        counts.in_flight += 1;
    }

    /// Counts a request to a backend that nobody waits for any more.
    pub(crate) fn count_given_up(&mut self, backend: &str) {
        let counts = self.by_backend.of(backend);
        counts.in_flight = counts.in_flight.saturating_sub(1);
    }

    pub(super) fn count_fetched(
        &mut self,
        backend: &str,
        result: Result<StatusCode, FetchError>,
        waited: Duration,
    ) {
        let counts = self.by_backend.of(backend);
        counts.in_flight = counts.in_flight.saturating_sub(1);
        match result {
            Ok(status) => {
                counts.by_status[class(status)] += 1;
                counts.first_byte.count(waited);
            }
            Err(error) => *counts.errors.entry(error.as_str()).or_default() += 1,
        }
    }

    pub(super) fn count_problem(&mut self, problem: Problem) {
        self.problems[problem as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.exposures += other.exposures;
        self.aborted += other.aborted;
        add_all(&mut self.by_status, &other.by_status);
        add_all(&mut self.problems, &other.problems);
        add_by_name(&mut self.by_reason, &other.by_reason);
        add_by_name(&mut self.by_cache, &other.by_cache);
        add_by_name(&mut self.by_failover, &other.by_failover);
        other.by_route.iter().for_each(|(name, classes)| add_all(self.by_route.of(name), classes));
        other.by_backend.iter().for_each(|(name, counts)| self.by_backend.of(name).add(counts));
        self.head.add(&other.head);
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        self.durations.iter_mut().zip(&other.durations).for_each(|(to, from)| to.add(from));
    }

    /// Returns the counts by the part of the edge that decided: the first word of the reason's code.
    pub(crate) fn by_outcome(&self) -> BTreeMap<&'static str, u64> {
        let mut outcomes = BTreeMap::new();
        for (code, count) in &self.by_reason {
            let class = code.split_once('.').map_or(*code, |(class, _)| class);
            *outcomes.entry(class).or_default() += count;
        }
        outcomes
    }

    /// Returns the count of the cache reasons whose code begins with `prefix`.
    pub(crate) fn cache(&self, prefix: &str) -> u64 {
        self.by_cache.iter().filter(|(code, _)| code.starts_with(prefix)).map(|(_, count)| count).sum()
    }
}

impl BackendCounts {
    /// Returns how many requests had no response, or a 5xx.
    pub(crate) fn failures(&self) -> u64 {
        let [.., server_error] = self.by_status;
        self.errors.values().sum::<u64>() + server_error
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.in_flight += other.in_flight;
        add_all(&mut self.by_status, &other.by_status);
        add_by_name(&mut self.errors, &other.errors);
        self.first_byte.add(&other.first_byte);
    }
}

/// The place of a status in [`ByClass`].
fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, 5) - 1
}

fn add_all(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

fn add_by_name(to: &mut BTreeMap<&'static str, u64>, from: &BTreeMap<&'static str, u64>) {
    for (name, count) in from {
        *to.entry(name).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_the_first_word_of_the_reasons() {
        let mut counts = Counts::default();
        counts.by_reason.extend([("geo.blocked", 2), ("geo.unknown-blocked", 3), ("maintenance", 1)]);
        assert_eq!(counts.by_outcome(), BTreeMap::from([("geo", 5), ("maintenance", 1)]));
    }

    #[test]
    fn the_cache_answered_or_could_not_or_was_not_asked() {
        let rows = [
            (Some(Reason::CacheHit), CacheUse::Hit),
            (Some(Reason::CacheRevalidated), CacheUse::Hit),
            (Some(Reason::FallbackStale), CacheUse::Hit),
            (Some(Reason::CacheMiss), CacheUse::Miss),
            (Some(Reason::CacheStale), CacheUse::Miss),
            (Some(Reason::CacheBypass), CacheUse::Unused),
            (None, CacheUse::Unused),
        ];
        for (cache, expected) in rows {
            assert_eq!(CacheUse::of(cache), expected, "{cache:?}");
        }
        assert!((0..).zip(CacheUse::ALL).all(|(place, usage)| usage as usize == place));
        assert!((0..).zip(Problem::ALL).all(|(place, problem)| problem as usize == place));
    }
}
