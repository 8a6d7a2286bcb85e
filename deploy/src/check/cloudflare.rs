//! What Cloudflare Workers do not do of a policy, or not as one may expect.
//!
//! Numbers come from [the limits of Workers](https://developers.cloudflare.com/workers/platform/limits/) where a rule
//! names no page of its own. Cloudflare writes KB and MB; here they are the larger KiB and MiB, so that nothing is
//! refused that may be meant to fit.
//!
//! No rule stands here for what has no limit: bodies of responses, the time that a backend takes, and the windows of
//! `action = "limit"`. The 10 and 60 seconds of Cloudflare's
//! [Rate Limiting binding](https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/) do not bind,
//! since limits are counted in a Durable Object for each client, exactly and over any window.

mod backends;
mod jobs;
mod subrequests;
#[cfg(test)]
mod tests;

use std::iter::once;

use selvedge_core::bot::rules::{BotAction, RateLimit};
use selvedge_core::headers::rules::HeaderChanges;
use selvedge_core::limits::Limits;
use selvedge_core::policy::read::child;
use selvedge_core::policy::{Policy, blob};
use selvedge_core::route::Action;

use super::{Finding, Severity, health};
use crate::cli::Plan;

const MAX_HEADER_BYTES: u64 = 128 * 1024;

const MAX_URL_BYTES: u64 = 16 * 1024;

/// Of zones on the plans Free and Pro; Business takes 200 MB, Enterprise up to 5 GB.
const MAX_BODY_BYTES: u64 = 100 * 1024 * 1024;

/// The module, the scripts and the compiled policy together, before compression; the same on every plan.
const MAX_WORKER_BYTES: usize = 64 * 1024 * 1024;

/// The soft limit of [one Durable Object](https://developers.cloudflare.com/durable-objects/platform/limits/).
const MAX_COUNTS_PER_SECOND: u64 = 1000;

/// The methods of workerd's HTTP parser; a request with another one is answered
/// [501](https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/error-501/)
/// before any Worker sees it.
const METHODS: &str = "GET HEAD POST PUT DELETE PATCH PURGE OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH \
                       SEARCH UNLOCK ACL REPORT MKACTIVITY CHECKOUT MERGE MSEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE \
                       QUERY BAN";

/// Returns everything that a policy asks of Workers in vain or at a price; nothing when it simply works.
pub(crate) fn findings(policy: &Policy, plan: Option<Plan>) -> Vec<Finding> {
    let is_free = plan == Some(Plan::Free);
    let mut found = requests(&policy.limits);
    found.extend(methods(policy));
    found.extend(response_headers(policy));
    found.extend(limited_bots(policy).filter_map(|(path, limit)| too_many_counts(path, limit)));
    if is_free {
        found.extend(limited_bots(policy).map(|(path, _)| daily_counts(path)));
        found.extend(daily_writes(policy));
    }
    found.extend(subrequests::findings(policy, plan));
    found.extend(backends::findings(policy, plan));
    found.extend(jobs::findings(policy, plan));
    found.extend(health::checks(policy, "Cloudflare"));
    found.extend(worker_size(blob::encode(policy).len()));
    found
}

/// What Cloudflare refuses before the Worker sees it: the policy's own limit and its answer have no effect beyond.
fn requests(limits: &Limits) -> Vec<Finding> {
    let [header, url, body] = ["max-header-bytes", "max-url-bytes", "max-body-bytes"];
    let rows = [
        (Severity::Error, header, limits.max_header_bytes, MAX_HEADER_BYTES, "128KiB", ""),
        (Severity::Error, url, limits.max_url_bytes, MAX_URL_BYTES, "16KiB", ""),
        (
            Severity::Warning,
            body,
            limits.max_body_bytes,
            MAX_BODY_BYTES,
            "100MiB",
            " on zones of the plans Free and Pro",
        ),
    ];
    let beyond = rows.into_iter().filter(|(_, _, own, limit, ..)| own > limit);
    let finding = |(severity, key, own, limit, text, zones)| {
        let message = format!("{own} bytes are more than the {limit} that Cloudflare lets through{zones}");
        let help = format!("write `{key} = \"{text}\"`: Cloudflare refuses more by itself");
        Finding::new(severity, child("limits", key), message, help)
    };
    beyond.map(finding).collect()
}

fn methods(policy: &Policy) -> Vec<Finding> {
    let of_routes = policy.routes.iter().enumerate();
    let of_routes = of_routes.map(|(at, route)| (format!("routes[{at}].methods"), &route.methods));
    let lists = once(("limits.methods".to_owned(), &policy.limits.methods)).chain(of_routes);
    let unknown = lists.flat_map(|(path, methods)| {
        let named = methods
            .iter()
            .enumerate()
            .filter(|(_, method)| METHODS.split(' ').all(|known| known != method.as_str()));
        named.map(move |(at, method)| unknown_method(format!("{path}[{at}]"), method)).collect::<Vec<_>>()
    });
    unknown.collect()
}

fn unknown_method(path: String, method: &str) -> Finding {
    let message = format!("Cloudflare answers `{method}` with 501 itself: Workers do not know the method");
    Finding::error(path, message, "drop it here, and let clients use `POST` in its place")
}

/// Response headers have 128 KB in all; counted is what every response of a route has, whatever its variables give.
fn response_headers(policy: &Policy) -> Vec<Finding> {
    let of_site = bytes(&policy.headers.response);
    if of_site > MAX_HEADER_BYTES {
        return vec![large_headers("headers.response".to_owned(), of_site)];
    }
    let of_routes = policy.routes.iter().map(|route| of_site + bytes(&route.headers.response)).enumerate();
    let beyond = of_routes.filter(|(_, bytes)| *bytes > MAX_HEADER_BYTES);
    beyond.map(|(at, bytes)| large_headers(format!("routes[{at}].headers.response"), bytes)).collect()
}

fn bytes(changes: &HeaderChanges) -> u64 {
    let fields = changes.set.iter().chain(&changes.append);
    let sizes = fields.map(|(name, value)| {
        name.as_str().len() + value.as_literal().unwrap_or_else(|| value.literal_prefix()).len()
    });
    sizes.map(|size| u64::try_from(size).unwrap_or(u64::MAX)).sum()
}

fn large_headers(path: String, bytes: u64) -> Finding {
    let message =
        format!("{bytes} bytes are more than the {MAX_HEADER_BYTES} that the headers of a response may have");
    Finding::error(path, message, "shorten the values, or let backends send them in a body")
}

fn limited_bots(policy: &Policy) -> impl Iterator<Item = (String, &RateLimit)> {
    policy.bots.rules.iter().filter_map(|(category, action)| match action {
        BotAction::Limit(limit) => Some((child("bots.rules", category.as_str()), limit)),
        BotAction::Allow | BotAction::Tag | BotAction::Block(_) => None,
    })
}

/// One client's requests are counted by one Durable Object, and one that has too much to do does not answer.
fn too_many_counts(path: String, limit: &RateLimit) -> Option<Finding> {
    let most = MAX_COUNTS_PER_SECOND.saturating_mul(limit.window.as_secs());
    let RateLimit { requests, .. } = limit;
    (u64::from(*requests) > most).then(|| {
        let message = format!(
            "{requests} requests are more than the {most} that a Durable Object can count in this window, \
             {MAX_COUNTS_PER_SECOND} a second"
        );
        Finding::warning(
            path,
            message,
            format!("write at most `requests = {most}`: what is not counted is let in"),
        )
    })
}

/// [The free plan](https://developers.cloudflare.com/durable-objects/platform/pricing/) has so many requests to Durable
/// Objects, alarms included, and refuses more until midnight UTC. A counter that does not answer limits nobody.
fn daily_counts(path: String) -> Finding {
    let message =
        "each request of such a client asks a Durable Object, which the free plan allows 100,000 times a day";
    Finding::warning(
        path,
        message,
        "use the paid plan or `action = \"block\"`: beyond that number every client is let in",
    )
}

/// [The free plan](https://developers.cloudflare.com/kv/platform/limits/) has so many writes to KV. Whether handlers
/// write at all is not to be seen in a policy, so that it is told once and not on plans that have them without end.
fn daily_writes(policy: &Policy) -> Option<Finding> {
    let at = policy.routes.iter().position(|route| matches!(route.action, Action::Handle(_)))?;
    let message = "what handlers keep is written to KV, which the free plan allows 1,000 times a day";
    Some(Finding::warning(
        format!("routes[{at}].handler"),
        message,
        "use the paid plan where handlers write often",
    ))
}

fn worker_size(bytes: usize) -> Option<Finding> {
    (bytes > MAX_WORKER_BYTES).then(|| {
        let message =
            format!("the compiled policy has {bytes} bytes, and a whole Worker at most {MAX_WORKER_BYTES}");
        Finding::error("", message, "let a backend serve large bodies, or split the policy")
    })
}

/// A number on each plan.
#[derive(Clone, Copy, Debug)]
struct PerPlan {
    free: usize,
    paid: usize,
}

/// A limit that a policy is beyond.
struct Beyond {
    severity: Severity,
    needed: usize,
    limit: usize,
    plan: &'static str,
    help: &'static str,
}

impl PerPlan {
    /// Compares what a policy needs with what a plan has; of an unknown plan the paid one counts, with a warning
    /// where the free one would not do.
    fn beyond(self, limit: Self, plan: Option<Plan>) -> Option<Beyond> {
        let is_free = plan == Some(Plan::Free);
        if !is_free && self.paid > limit.paid {
            let (needed, limit) = (self.paid, limit.paid);
            return Some(Beyond { severity: Severity::Error, needed, limit, plan: "paid", help: "" });
        }
        let (severity, help) = match plan {
            Some(Plan::Paid) => return None,
            Some(Plan::Free) => (Severity::Error, ", or use the paid plan"),
            None => (Severity::Warning, ", or use the paid plan and say so with `--plan paid`"),
        };
        let (needed, limit) = (self.free, limit.free);
        (needed > limit).then_some(Beyond { severity, needed, limit, plan: "free", help })
    }
}
