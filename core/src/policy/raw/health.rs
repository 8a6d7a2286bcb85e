//! How requests to a backend are protected.

use schemars::JsonSchema;
use serde::Deserialize;

/// When the same URL is asked again after a failure: requests that can be repeated, which are those of an idempotent method with a body in memory, and all whose connection failed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Retry {
    /// Most further attempts at one URL for one request, 1 to 10. Default: 1.
    pub attempts: Option<u32>,
    /// Longest wait before the first of them; it doubles with each, and each wait is drawn from zero to that. Default: `"50ms"`; at most `"10s"`.
    pub backoff: Option<String>,
    /// How many further attempts there may be for 100 requests, 1 to 100. Default: 20.
    pub budget: Option<u32>,
}

/// When a URL is not asked for a while, so that a server that is down costs no waiting.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Breaker {
    /// Failures one after the other that open the circuit, 1 to 1000. Default: 5.
    pub failures: Option<u32>,
    /// Percentage of failures among the last 64 requests, once there were 20, that opens it, 1 to 100. Default: 50.
    pub rate: Option<u32>,
    /// For how long; twice as long each time that a probe fails, up to 4 times. Default: `"10s"`; at most `"5m"`.
    pub open: Option<String>,
    /// Most requests at the same time that try it after that, and how many must succeed, their bodies included, to close it, 1 to 100. Default: 1.
    pub probes: Option<u32>,
}

/// When a second `GET` or `HEAD` is sent, to the next URL or backend, because the first one takes long. Whichever answers first counts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Hedge {
    /// It is sent when an answer takes longer than this percentage of the last 128, 50 to 99. Default: 95.
    pub percentile: Option<u32>,
    /// And at least so long. Default: `"50ms"`; at most `"30s"`.
    pub min: Option<String>,
}

/// What the edge asks by itself to learn whether a URL answers, on hosts that can make requests of their own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Check {
    /// Path and query, such as `/health`: a status of 200 to 399 is a success.
    pub path: Option<String>,
    /// From one check to the next. Default: `"10s"`; `"100ms"` to `"1h"`.
    pub every: Option<String>,
    /// Longest wait for an answer. Default: `"2s"`; at most `"1m"`.
    pub timeout: Option<String>,
    /// Failures one after the other after which the URL is not asked, 1 to 100. Default: 3.
    pub unhealthy: Option<u32>,
    /// Successes one after the other after which it is again, 1 to 100. Default: 2.
    pub healthy: Option<u32>,
}
