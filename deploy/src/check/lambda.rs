//! What AWS Lambda does not do of a policy, or not as one may expect.
//!
//! Numbers come from [the quotas of Lambda](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html) where
//! a rule names no page of its own. No rule stands here for what only some of the fronts have, such as the methods and
//! the size of headers of API Gateway.

use std::time::Duration;

use selvedge_core::bot::rules::BotAction;
use selvedge_core::cache::rule::Storing;
use selvedge_core::job::QueueStore;
use selvedge_core::limits::Limits;
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::child;
use selvedge_core::route::Action;

use super::{Finding, health};
use crate::build::lambda::{MAX_TIMEOUT, time_of};

/// Most bytes of an event: 6 MB, of which a body that is no text fills a third more in base64.
const MAX_BODY_BYTES: u64 = 6 * 1024 * 1024;

/// Most bytes of a compiled policy: those of a whole function, unzipped, are 250 MB.
const MAX_POLICY_BYTES: usize = 200 * 1024 * 1024;

/// How long an [HTTP API](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html) waits, the
/// longest of API Gateway's own accord.
const API_GATEWAY_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns everything that a policy asks of Lambda in vain or at a price; nothing when it simply works.
pub(crate) fn findings(policy: &Policy) -> Vec<Finding> {
    let mut found: Vec<Finding> = limits(policy).collect();
    found.extend(body(&policy.limits));
    found.extend(timeouts(policy));
    found.extend(caches(policy));
    found.extend(values(policy));
    found.extend(queues(policy));
    found.extend(health::checks(policy, "Lambda"));
    found.extend(size(selvedge_core::policy::blob::encode(policy).len()));
    found
}

/// Nothing counts across the processes of a function.
fn limits(policy: &Policy) -> impl Iterator<Item = Finding> {
    let limited = policy.bots.rules.iter().filter_map(|(category, action)| match action {
        BotAction::Limit(_) => Some(child("bots.rules", category.as_str())),
        BotAction::Allow | BotAction::Tag | BotAction::Block(_) => None,
    });
    limited.map(|path| {
        let help = "write `action = \"block\"`, or let AWS WAF limit rates in front of the function";
        Finding::error(path, "Lambda has no counters, so that every client would be let in", help)
    })
}

/// A limit that the policy does not set itself says nothing about what it needs.
fn body(limits: &Limits) -> Option<Finding> {
    let own = limits.max_body_bytes;
    if own <= MAX_BODY_BYTES || own == Limits::default().max_body_bytes {
        return None;
    }
    let message = format!(
        "{own} bytes are more than the {MAX_BODY_BYTES} of a whole event, the body in base64 included"
    );
    let help = "write `max-body-bytes = \"4.5MiB\"` for bodies that are no text; a load balancer takes 1 MB. Let clients \
                upload what is larger to S3 directly";
    Some(Finding::warning("limits.max-body-bytes", message, help))
}

fn timeouts(policy: &Policy) -> impl Iterator<Item = Finding> {
    policy.backends.iter().filter_map(|backend| {
        let path = child("backends", &backend.name);
        let all = time_of(policy, backend);
        if all > MAX_TIMEOUT {
            let (all, most) = (all.as_secs(), MAX_TIMEOUT.as_secs());
            let message = format!("with those that it fails over to it may take {all} s, and a function at most {most}");
            return Some(Finding::error(path, message, "shorten the `timeout` of each, or name fewer"));
        }
        (backend.timeout > API_GATEWAY_TIMEOUT).then(|| {
            let message = format!("{} s are more than the 30 for which API Gateway waits", backend.timeout.as_secs());
            let help = "write `timeout = \"29s\"`, or put a function URL or a load balancer in front of the function";
            Finding::warning(child(&path, "timeout"), message, help)
        })
    })
}

/// What no store keeps is fetched each time.
fn caches(policy: &Policy) -> impl Iterator<Item = Finding> {
    policy.routes.iter().enumerate().filter_map(|(at, route)| {
        let rule = &route.cache;
        if rule.store != Storing::Store {
            return None;
        }
        let key = [
            ("edge", rule.edge.is_some()),
            ("stale-while-revalidate", rule.stale_while_revalidate.is_some()),
            ("stale-if-error", rule.stale_if_error.is_some()),
        ];
        let (key, _) = key.into_iter().find(|(_, is_set)| *is_set)?;
        let message = "Lambda stores no responses, so that each request asks the backend";
        let help =
            "put CloudFront in front of the function and let backends send `Cache-Control`, or drop the rule";
        Some(Finding::warning(format!("routes[{at}].cache.{key}"), message, help))
    })
}

/// Whether handlers keep values at all is not to be seen in a policy, so that it is told once.
fn values(policy: &Policy) -> Option<Finding> {
    let at = policy.routes.iter().position(|route| matches!(route.action, Action::Handle(_)))?;
    let message =
        "Lambda has no key-value store: what a handler keeps is refused, and it has to say what then";
    let help = "keep values behind a backend; this is no error where handlers keep none";
    Some(Finding::warning(format!("routes[{at}].handler"), message, help))
}

fn queues(policy: &Policy) -> impl Iterator<Item = Finding> {
    let own = policy.queues.iter().filter(|queue| queue.store == QueueStore::Edge);
    own.map(|queue| {
        let message = "Lambda keeps nothing between requests, so that messages need a queue of SQS";
        Finding::error(child("queues", &queue.name), message, "write `store = \"platform\"`")
    })
}

fn size(bytes: usize) -> Option<Finding> {
    (bytes > MAX_POLICY_BYTES).then(|| {
        let message = format!("the compiled policy has {bytes} bytes, and a whole function at most 250 MB");
        Finding::error("", message, "let a backend serve large bodies, or split the policy")
    })
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::super::{Severity, Told, assert_told};
    use super::*;

    /// A rule: a policy that is just beyond it, with what is told, and one that is just inside.
    struct Case {
        beyond: &'static str,
        inside: &'static str,
        severity: Severity,
        path: &'static str,
        /// What stands in the file at the place of the path.
        at: &'static str,
        says: &'static str,
    }

    fn found(text: &str) -> Vec<Finding> {
        findings(&read(text).unwrap_or_else(|errors| panic!("{text}: {errors}")))
    }

    #[test]
    fn what_lambda_does_not_do_is_told_with_its_place_and_a_way_out() {
        let cases = [
            Case {
                beyond: "[bots.rules]\nseo = { action = \"limit\", requests = 1, per = \"10s\" }",
                inside: "[bots.rules]\nseo = { action = \"block\" }",
                severity: Severity::Error,
                path: "bots.rules.seo",
                at: "seo",
                says: "`action = \"block\"`",
            },
            Case {
                beyond: "[limits]\nmax-body-bytes = 6291457",
                inside: "[limits]\nmax-body-bytes = \"6MiB\"",
                severity: Severity::Warning,
                path: "limits.max-body-bytes",
                at: "6291457",
                says: "6291457 bytes are more than the 6291456",
            },
            Case {
                beyond: "[backends.a]\nurl = \"http://a.test\"\ntimeout = \"31s\"",
                inside: "[backends.a]\nurl = \"http://a.test\"\ntimeout = \"30s\"",
                severity: Severity::Warning,
                path: "backends.a.timeout",
                at: "\"31s\"",
                says: "`timeout = \"29s\"`",
            },
            Case {
                beyond: "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { edge = \"1h\" }",
                inside: "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { browser = \"1h\" }",
                severity: Severity::Warning,
                path: "routes[0].cache.edge",
                at: "\"1h\"",
                says: "put CloudFront in front",
            },
            Case {
                beyond: "[[routes]]\npath = \"/\"\nhandler = \"a\"",
                inside: "[[routes]]\npath = \"/\"\nrespond = {}",
                severity: Severity::Warning,
                path: "routes[0].handler",
                at: "\"a\"",
                says: "no key-value store",
            },
            Case {
                beyond: "[queues.q]\nhandler = \"a\"",
                inside: "[queues.q]\nhandler = \"a\"\nstore = \"platform\"",
                severity: Severity::Error,
                path: "queues.q",
                at: "q]",
                says: "`store = \"platform\"`",
            },
        ];
        for Case { beyond, inside, severity, path, at, says } in cases {
            assert_eq!(found(inside), [], "just inside: {inside}");
            let told = Told { severity, path, at, says: &[says] };
            assert_told(path, beyond, &found(beyond), &told);
        }
    }

    #[test]
    fn a_policy_that_is_larger_than_a_function_is_refused() {
        assert_eq!(size(MAX_POLICY_BYTES), None);
        assert!(size(MAX_POLICY_BYTES + 1).is_some_and(|finding| finding.message.contains("250 MB")));
    }

    #[test]
    fn backends_that_take_longer_than_a_function_runs_are_refused() {
        let policy = |urls: usize| {
            let urls: Vec<_> = (0..urls).map(|at| format!("\"http://a{at}.test\"")).collect();
            format!("[backends.a]\nurl = [{}]\ntimeout = \"30s\"", urls.join(", "))
        };
        assert_eq!(found(&policy(29)), [], "870 s and five of its own");
        let findings = found(&policy(30));
        let [finding] = findings.as_slice() else { panic!("one finding and not {findings:#?}") };
        assert_eq!((finding.severity, finding.path.as_str()), (Severity::Error, "backends.a"));
        assert!(finding.message.contains("905 s, and a function at most 900"), "{}", finding.message);
    }
}
