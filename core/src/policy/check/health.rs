//! How requests to a backend are protected.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Checker;
use crate::health::rule::{BreakerRule, CheckRule, HealthRule, HedgeRule, RetryRule};
use crate::policy::raw;
use crate::policy::report::join;

const MILLIS: fn(u64) -> Duration = Duration::from_millis;
const SECONDS: fn(u64) -> Duration = Duration::from_secs;

impl Checker<'_> {
    pub(super) fn health(&mut self, path: &str, raw: &raw::Backend) -> HealthRule {
        let most = self.count(&join(path, "max-concurrent"), raw.max_concurrent, 1..=1_000_000);
        HealthRule {
            retry: raw.retry.as_ref().map(|retry| self.retry(&join(path, "retry"), retry)),
            breaker: raw.breaker.as_ref().map(|breaker| self.breaker(&join(path, "breaker"), breaker)),
            max_concurrent: most,
            hedge: raw.hedge.as_ref().map(|hedge| self.hedge(&join(path, "hedge"), hedge)),
            check: raw.check.as_ref().and_then(|check| self.check(&join(path, "check"), check)),
        }
    }

    fn retry(&mut self, path: &str, raw: &raw::Retry) -> RetryRule {
        let backoff = self.time(&join(path, "backoff"), raw.backoff.as_ref(), Duration::ZERO..=SECONDS(10));
        RetryRule {
            attempts: self.count(&join(path, "attempts"), raw.attempts, 1..=10).unwrap_or(1),
            backoff: backoff.unwrap_or(MILLIS(50)),
            budget_percent: self.count(&join(path, "budget"), raw.budget, 1..=100).unwrap_or(20),
        }
    }

    fn breaker(&mut self, path: &str, raw: &raw::Breaker) -> BreakerRule {
        let open = self.time(&join(path, "open"), raw.open.as_ref(), MILLIS(1)..=SECONDS(300));
        BreakerRule {
            failures: self.count(&join(path, "failures"), raw.failures, 1..=1000).unwrap_or(5),
            rate_percent: self.count(&join(path, "rate"), raw.rate, 1..=100).unwrap_or(50),
            open: open.unwrap_or(SECONDS(10)),
            probes: self.count(&join(path, "probes"), raw.probes, 1..=100).unwrap_or(1),
        }
    }

    fn hedge(&mut self, path: &str, raw: &raw::Hedge) -> HedgeRule {
        let min = self.time(&join(path, "min"), raw.min.as_ref(), MILLIS(1)..=SECONDS(30));
        let percentile = self.count(&join(path, "percentile"), raw.percentile, 50..=99);
        HedgeRule { percentile: percentile.unwrap_or(95), min: min.unwrap_or(MILLIS(50)) }
    }

    fn check(&mut self, path: &str, raw: &raw::Check) -> Option<CheckRule> {
        let every = self.time(&join(path, "every"), raw.every.as_ref(), MILLIS(100)..=SECONDS(3600));
        let timeout = self.time(&join(path, "timeout"), raw.timeout.as_ref(), MILLIS(1)..=SECONDS(60));
        let unhealthy = self.count(&join(path, "unhealthy"), raw.unhealthy, 1..=100).unwrap_or(3);
        let healthy = self.count(&join(path, "healthy"), raw.healthy, 1..=100).unwrap_or(2);
        let is_path =
            |text: &&String| text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok();
        let Some(asked) = raw.path.as_ref().filter(is_path) else {
            let help = "add a path that begins with `/`, such as `path = \"/health\"`";
            self.report.error_with_help(join(path, "path"), "a check needs something to ask for", help);
            return None;
        };
        let (every, timeout) = (every.unwrap_or(SECONDS(10)), timeout.unwrap_or(SECONDS(2)));
        Some(CheckRule { path: asked.clone(), every, timeout, unhealthy, healthy })
    }

    fn time(
        &mut self,
        path: &str,
        text: Option<&String>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        text.and_then(|text| self.duration(path, text, *range.start(), *range.end()))
    }

    /// Checks a number against a range.
    pub(super) fn count(
        &mut self,
        path: &str,
        number: Option<u32>,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let number = number?;
        if range.contains(&number) {
            return Some(number);
        }
        let range = format!("from {} to {}", range.start(), range.end());
        self.report.error(path, format!("`{number}` is out of range: it must be {range}"));
        None
    }
}
