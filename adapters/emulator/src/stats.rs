//! What happened: counted by each thread for itself, added up when somebody asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http::StatusCode;
use selvedge_core::reason::Reason;

/// Upper bounds of the latency buckets, in microseconds.
pub(crate) const LATENCY_BOUNDS_MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];
/// Longest latency that is told apart from longer ones.
const MAX_LATENCY_MICROS: u64 = 60_000_000;

/// Everything counted since the start.
#[derive(Debug)]
pub(crate) struct Stats {
    started: Instant,
    threads: Vec<ThreadStats>,
}

/// One thread's counts; the lock is contended only while somebody reads.
#[derive(Debug, Default)]
pub(crate) struct ThreadStats {
    counts: Mutex<Counts>,
    in_flight: AtomicI64,
    after_response: AtomicI64,
}

/// What is counted about requests.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) by_status: [u64; 5],
    pub(crate) by_reason: BTreeMap<&'static str, u64>,
    pub(crate) by_cache: BTreeMap<&'static str, u64>,
    pub(crate) exposures: u64,
    pub(crate) latency: Histogram<u64>,
    pub(crate) latency_buckets: [u64; LATENCY_BOUNDS_MICROS.len() + 1],
    pub(crate) latency_sum_micros: u64,
}

impl Stats {
    pub(crate) fn new(threads: usize) -> Self {
        Self { started: Instant::now(), threads: (0..threads).map(|_| ThreadStats::default()).collect() }
    }

    pub(crate) fn thread(&self, index: usize) -> &ThreadStats {
        &self.threads[index]
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns how many responses are not yet sent to their end.
    pub(crate) fn in_flight(&self) -> i64 {
        self.threads.iter().map(|thread| thread.in_flight.load(Ordering::Relaxed)).sum()
    }

    /// Returns how many sent responses still have work to do behind them, and jobs.
    pub(crate) fn after_response(&self) -> i64 {
        self.threads.iter().map(|thread| thread.after_response.load(Ordering::Relaxed)).sum()
    }

    /// Adds up the counts of all threads.
    pub(crate) fn total(&self) -> Counts {
        let mut total = Counts::default();
        for thread in &self.threads {
            total.add(&thread.counts());
        }
        total
    }
}

impl ThreadStats {
    /// Counts one answered request: its status, the reason of its outcome, and what the cache had to do with it.
    pub(crate) fn count(&self, status: StatusCode, reason: Reason, cache: Option<Reason>, latency: Duration) {
        self.counts().count(status, reason, cache, latency);
    }

    pub(crate) fn count_exposure(&self) {
        self.counts().exposures += 1;
    }

    pub(crate) fn begin_after_response(&self) {
        self.after_response.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end_after_response(&self) {
        self.after_response.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Counts {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_MICROS, 2).expect("the bounds are in order");
        Self {
            requests: 0,
            by_status: [0; 5],
            by_reason: BTreeMap::new(),
            by_cache: BTreeMap::new(),
            exposures: 0,
            latency,
            latency_buckets: [0; LATENCY_BOUNDS_MICROS.len() + 1],
            latency_sum_micros: 0,
        }
    }
}

impl Counts {
    fn count(&mut self, status: StatusCode, reason: Reason, cache: Option<Reason>, latency: Duration) {
        self.requests += 1;
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.by_status[class - 1] += 1;
        *self.by_reason.entry(reason.code()).or_default() += 1;
        if let Some(cache) = cache {
            *self.by_cache.entry(cache.code()).or_default() += 1;
        }
        self.count_latency(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    fn count_latency(&mut self, micros: u64) {
        self.latency.saturating_record(micros);
        self.latency_buckets[LATENCY_BOUNDS_MICROS.partition_point(|bound| *bound < micros)] += 1;
        self.latency_sum_micros = self.latency_sum_micros.saturating_add(micros);
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.exposures += other.exposures;
        self.latency_sum_micros = self.latency_sum_micros.saturating_add(other.latency_sum_micros);
        add_all(&mut self.by_status, &other.by_status);
        add_all(&mut self.latency_buckets, &other.latency_buckets);
        add_by_name(&mut self.by_reason, &other.by_reason);
        add_by_name(&mut self.by_cache, &other.by_cache);
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
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
    fn the_total_is_the_sum_of_the_threads() {
        let stats = Stats::new(2);
        let (hit, responded) = (Reason::CacheHit, Reason::RouteResponded);
        stats.thread(0).count(StatusCode::OK, hit, Some(hit), Duration::from_micros(100));
        stats.thread(1).count(StatusCode::NOT_FOUND, responded, None, Duration::from_micros(101));
        stats.thread(1).count(StatusCode::OK, hit, Some(hit), Duration::from_secs(3600));
        let total = stats.total();
        assert_eq!(total.by_reason, BTreeMap::from([("cache.hit", 2), ("route.responded", 1)]));
        assert_eq!((total.cache("cache.hit"), total.cache("cache.miss")), (2, 0));
        assert_eq!((total.requests, total.by_status), (3, [0, 2, 0, 1, 0]));
        assert_eq!(total.latency_buckets[0], 1, "a bucket holds its upper bound");
        assert_eq!(total.latency_buckets[1], 1, "one microsecond more is in the next");
        assert_eq!(total.latency_buckets[LATENCY_BOUNDS_MICROS.len()], 1, "an hour is beyond every bound");
        assert_eq!(total.latency.len(), 3);
    }

    #[test]
    fn outcomes_are_the_first_word_of_the_reasons() {
        let mut counts = Counts::default();
        counts.by_reason.extend([("geo.blocked", 2), ("geo.unknown-blocked", 3), ("maintenance", 1)]);
        assert_eq!(counts.by_outcome(), BTreeMap::from([("geo", 5), ("maintenance", 1)]));
    }
}
