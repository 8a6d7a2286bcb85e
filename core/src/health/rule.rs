//! What a policy says of a backend's failures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How requests to one backend are protected. The default has time limits and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRule {
    /// When the same URL is asked again after a failure.
    pub retry: Option<RetryRule>,
    /// When a URL is not asked for a while.
    pub breaker: Option<BreakerRule>,
    /// Most requests that wait for the head of a response of one URL at the same time.
    pub max_concurrent: Option<u32>,
    /// When a second request is sent because the first one takes long.
    pub hedge: Option<HedgeRule>,
    /// What the edge asks by itself to learn whether a URL answers.
    pub check: Option<CheckRule>,
}

/// When the same URL is asked again after a failure. Only requests that can be repeated are: see
/// [`Engine::on_origin_response`](crate::engine::Engine::on_origin_response).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRule {
    /// Most further attempts at one URL, for one request.
    pub attempts: u32,
    /// The longest wait before the first of them; it doubles with each, up to 32 times. The wait is drawn evenly from zero to that,
    /// so that clients that failed together do not come back together.
    pub backoff: Duration,
    /// How many further attempts there may be for 100 requests. Ten are always there for a quiet time.
    pub budget_percent: u32,
}

/// When a URL is not asked for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRule {
    /// Failures one after the other that open the circuit.
    pub failures: u32,
    /// Percentage of failures among the last requests that opens it.
    pub rate_percent: u32,
    /// For how long the first time; twice as long each time that a probe fails, up to 4 times.
    pub open: Duration,
    /// Most requests at the same time that try the URL after that; as many whole bodies close the circuit. One whose body still comes `open`
    /// after its head is not counted among them.
    pub probes: u32,
}

/// When a second request is sent because the first one takes long. Only requests that read are: `GET` and `HEAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HedgeRule {
    /// It is sent when the first one takes longer than this percentage of the last answers.
    pub percentile: u32,
    /// And at least so long. Until there were 20 answers, only this counts.
    pub min: Duration,
}

/// What the edge asks by itself to learn whether a URL answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRule {
    /// Path and query that are asked for, after the URL's own path.
    pub path: String,
    /// From one check to the next.
    pub every: Duration,
    /// Longest wait for the head of the response.
    pub timeout: Duration,
    /// Failures one after the other after which the URL is not asked.
    pub unhealthy: u32,
    /// Successes one after the other after which it is again.
    pub healthy: u32,
}

impl HealthRule {
    /// Returns whether requests need not be counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.retry.is_none()
            && self.breaker.is_none()
            && self.max_concurrent.is_none()
            && self.hedge.is_none()
            && self.check.is_none()
    }
}
