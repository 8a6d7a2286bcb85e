//! What happened: counted by each thread for itself, added up when somebody asks.

pub(crate) mod buckets;
pub(crate) mod by_name;
pub(crate) mod counts;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use selvedge_core::effect::{FetchError, StoreError};
use tokio::task::JoinError;

use counts::{CacheUse, Counts, Problem};

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
    connections: AtomicI64,
    connections_begun: AtomicU64,
    /// Bytes that came from clients and went to them, heads and all.
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
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

    /// Returns how many connections from clients are open, and how many there have been.
    pub(crate) fn connections(&self) -> (i64, u64) {
        let open = self.threads.iter().map(|thread| thread.connections.load(Ordering::Relaxed)).sum();
        (open, self.threads.iter().map(|thread| thread.connections_begun.load(Ordering::Relaxed)).sum())
    }

    /// Returns how many bytes came from clients, and how many went to them.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let bytes_in = self.threads.iter().map(|thread| thread.bytes_in.load(Ordering::Relaxed)).sum();
        (bytes_in, self.threads.iter().map(|thread| thread.bytes_out.load(Ordering::Relaxed)).sum())
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
    /// What was counted, to count further.
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a response that ended, or broke off.
    pub(crate) fn count_end(&self, cache: CacheUse, duration: Duration, is_aborted: bool) {
        self.counts().count_end(cache, duration, is_aborted);
    }

    /// Counts what a backend answered, and after what time.
    pub(crate) fn count_fetched(
        &self,
        backend: &str,
        result: Result<StatusCode, FetchError>,
        waited: Duration,
    ) {
        self.counts().count_fetched(backend, result, waited);
    }

    pub(crate) fn count_problem(&self, problem: Problem) {
        self.counts().count_problem(problem);
    }

    /// Counts a task's panic, if it ended with one.
    pub(crate) fn count_end_of_task(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            self.count_problem(Problem::TaskPanicked);
        }
    }

    /// Counts a store's failure, if it is one.
    pub(crate) fn count_store<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|_| self.count_problem(Problem::StoreFailed))
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

    pub(crate) fn begin_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.connections_begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end_connection(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn count_bytes_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_bytes_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use selvedge_core::reason::Reason;

    use super::*;
    use crate::stats::counts::Answered;

    #[test]
    fn the_total_is_the_sum_of_the_threads() {
        let stats = Stats::new(2);
        let hit = |latency| Answered {
            status: StatusCode::OK,
            reason: Reason::CacheHit,
            cache: Some(Reason::CacheHit),
            failed_over: Some(Reason::BackendErrorStatus),
            route: Some("shop"),
            latency,
        };
        let refused = Answered {
            status: StatusCode::NOT_FOUND,
            reason: Reason::RouteResponded,
            cache: None,
            failed_over: None,
            route: None,
            latency: Duration::from_micros(101),
        };
        stats.thread(0).counts().count(&hit(Duration::from_micros(100)));
        stats.thread(1).counts().count(&refused);
        stats.thread(1).counts().count(&hit(Duration::from_secs(3600)));
        let error = Err(FetchError::Timeout);
        stats.thread(0).count_fetched("a", error, Duration::from_secs(1));
        stats.thread(1).count_fetched("a", Ok(StatusCode::OK), Duration::from_secs(2));
        for thread in [0, 1] {
            stats.thread(thread).count_problem(Problem::HandlerFailed);
            stats.thread(thread).count_end(CacheUse::Hit, Duration::from_millis(1), thread == 1);
            stats.thread(thread).count_bytes_in(2);
            stats.thread(thread).begin_connection();
        }
        stats.thread(1).end_connection();
        let total = stats.total();
        let reasons: Vec<_> = total.by_reason.into_iter().collect();
        assert_eq!(reasons, [("cache.hit", 2), ("route.responded", 1)]);
        assert_eq!(total.by_failover.into_iter().collect::<Vec<_>>(), [("backend.error-status", 2)]);
        let routes: Vec<_> = total.by_route.iter().map(|(name, classes)| (name, *classes)).collect();
        assert_eq!(routes, [("", [0, 0, 0, 1, 0]), ("shop", [0, 2, 0, 0, 0])]);
        assert_eq!((total.requests, total.by_status), (3, [0, 2, 0, 1, 0]));
        assert_eq!((total.head.total(), total.latency.len()), (3, 3));
        let (name, backend) = total.by_backend.iter().next().unwrap();
        assert_eq!((name, backend.errors["timeout"], backend.by_status), ("a", 1, [0, 1, 0, 0, 0]));
        assert_eq!(backend.first_byte.sum_micros(), 2_000_000, "what failed sent no byte");
        assert_eq!((total.problems[Problem::HandlerFailed as usize], total.aborted), (2, 1));
        assert_eq!(total.durations[CacheUse::Hit as usize].total(), 2);
        assert_eq!((stats.bytes(), stats.connections()), ((4, 0), (1, 2)));
    }

    #[tokio::test]
    async fn a_task_that_ends_with_a_panic_is_counted_and_no_other() {
        let stats = Stats::new(1);
        let tasks = LocalSet::new();
        let panicked = tasks.spawn_local(async { panic!("a task panics for this test") });
        let (fine, cancelled) = (tasks.spawn_local(async {}), tasks.spawn_local(std::future::pending()));
        cancelled.abort();
        for task in [panicked, fine, cancelled] {
            stats.thread(0).count_end_of_task(&tasks.run_until(task).await);
        }
        assert_eq!(stats.total().problems[Problem::TaskPanicked as usize], 1);
    }
}
