//! What CloudFront with Lambda@Edge does not do of a policy, or not as one may expect.
//!
//! Numbers come from [the quotas](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html)
//! where a rule names no page of its own, and from [`selvedge_cloudfront::rules`] where that crate has them.
//!
//! No rule stands here for stale responses, which CloudFront serves as the response's headers say, and for bodies that
//! go through: no trigger holds them.

mod backends;
mod headers;
mod places;
#[cfg(test)]
mod tests;

use std::iter::once;

use selvedge_cloudfront::event::Trigger;
use selvedge_cloudfront::policy::behaviours::{Behaviours, MAX_BEHAVIOURS, Origins};
use selvedge_cloudfront::policy::distribution::Distribution;
use selvedge_cloudfront::rules::limits::{MAX_HEAD_BYTES, URI_BYTES, max_generated_bytes};
use selvedge_core::bot::rules::BotAction;
use selvedge_core::geo::rules::GeoAction;
use selvedge_core::limits::Limits;
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::child;
use selvedge_core::route::{Action, Route};

use super::{Finding, health};
use crate::build::lambda_edge::geography;

/// The most headers of a cache policy, and of an origin request policy.
const MAX_POLICY_HEADERS: usize = 10;

/// Returns everything that a policy asks of Lambda@Edge in vain or at a price; nothing when it simply works.
pub(crate) fn findings(policy: &Policy) -> Vec<Finding> {
    let geography = geography(policy);
    let distribution = Distribution::of(policy, geography);
    let mut found = requests(&policy.limits);
    found.extend(methods(policy));
    found.extend(counters(policy));
    found.extend(jobs(policy));
    found.extend(handlers(policy));
    found.extend(pages(policy));
    found.extend(headers::findings(policy));
    found.extend(places::findings(policy, geography));
    found.extend(backends::findings(policy));
    found.extend(failover(policy));
    found.extend(health::all(policy, "CloudFront"));
    found.extend(server_timing(policy));
    found.extend(baked(policy));
    for (kind, headers) in [
        ("cache policy", &distribution.cache_key_headers),
        ("origin request policy", &distribution.origin_request_headers),
    ] {
        found.extend(policy_headers(kind, headers.len()));
    }
    found
}

/// What CloudFront refuses before the function sees it: the policy's own limit and its answer have no effect beyond.
fn requests(limits: &Limits) -> Vec<Finding> {
    let rows = [
        ("max-header-bytes", limits.max_header_bytes, MAX_HEAD_BYTES),
        ("max-url-bytes", limits.max_url_bytes, URI_BYTES),
    ];
    let beyond = rows.into_iter().filter(|(_, own, most)| usize::try_from(*own).is_ok_and(|own| own > *most));
    let finding = |(key, own, most): (&str, u64, usize)| {
        let message = format!("{own} bytes are more than the {most} that CloudFront lets through");
        let help = format!("write `{key} = \"{}KiB\"`: CloudFront refuses more by itself", most / 1024);
        Finding::error(child("limits", key), message, help)
    };
    beyond.map(finding).collect()
}

fn methods(policy: &Policy) -> Vec<Finding> {
    let of_routes = policy.routes.iter().enumerate();
    let of_routes = of_routes.map(|(at, route)| (format!("routes[{at}].methods"), &route.methods));
    let lists = once(("limits.methods".to_owned(), &policy.limits.methods)).chain(of_routes);
    let all = Origins::Primary.methods();
    let unknown = lists.flat_map(|(path, methods)| {
        let named = methods.iter().enumerate().filter(|(_, method)| !all.contains(&method.as_str()));
        named.map(move |(at, method)| unknown_method(format!("{path}[{at}]"), method)).collect::<Vec<_>>()
    });
    unknown.collect()
}

fn unknown_method(path: String, method: &str) -> Finding {
    let message = format!(
        "CloudFront refuses `{method}` itself: it takes {} only",
        Origins::Primary.methods().join(", ")
    );
    Finding::error(path, message, "drop it here, and let clients use `POST` in its place")
}

/// Functions share nothing that could count.
fn counters(policy: &Policy) -> Vec<Finding> {
    let limited = policy.bots.rules.iter().filter(|(_, action)| matches!(action, BotAction::Limit(_)));
    let finding = |category: &str| {
        let message = "Lambda@Edge has no counter that its functions share, so that nothing can be limited";
        let help = "write `action = \"block\"`, or limit with a rate-based rule of AWS WAF, whose web ACL the \
                    template takes as `WebAclArn`";
        Finding::error(child("bots.rules", category), message, help)
    };
    limited.map(|(category, _)| finding(category.as_str())).collect()
}

fn jobs(policy: &Policy) -> Vec<Finding> {
    let queues = policy.queues.iter().map(|queue| (child("queues", &queue.name), "keeps no messages"));
    let schedules =
        policy.schedules.iter().map(|schedule| (child("schedules", &schedule.name), "has no schedules"));
    let finding = |(path, what)| {
        let help = "run a policy with the queues and schedules alone with `--target lambda`";
        Finding::error(path, format!("Lambda@Edge {what}: a function ends with its answer"), help)
    };
    queues.chain(schedules).map(finding).collect()
}

/// What handlers ask for is code and not to be seen here, so that it is told once.
fn handlers(policy: &Policy) -> Option<Finding> {
    let at = policy.routes.iter().position(|route| matches!(route.action, Action::Handle(_)))?;
    let message = format!(
        "handlers run at origin-request: they find no key-value store and no queue, read at most 1 MB of a body, \
         answer with at most {} bytes, and end within 30 seconds",
        max_generated_bytes(Trigger::OriginRequest)
    );
    let help = "let a handler keep what it has with a backend, and let a backend answer with large bodies";
    Some(Finding::warning(format!("routes[{at}].handler"), message, help))
}

/// Bodies of the policy's own answers.
fn pages(policy: &Policy) -> Vec<Finding> {
    let refusal = |path: &str, action: &GeoAction| match action {
        GeoAction::Allow => None,
        GeoAction::Block(refusal) => Some((path.to_owned(), refusal.body.len())),
    };
    let geo = &policy.geo;
    let mut bodies: Vec<_> = [refusal("geo.default", &geo.default), refusal("geo.unknown", &geo.unknown)]
        .into_iter()
        .flatten()
        .collect();
    bodies.extend(
        geo.rules
            .iter()
            .enumerate()
            .filter_map(|(at, rule)| refusal(&format!("geo.rules[{at}].body"), &rule.action)),
    );
    bodies.extend(policy.bots.rules.iter().filter_map(|(category, action)| match action {
        BotAction::Block(refusal) => Some((child("bots.rules", category.as_str()), refusal.body.len())),
        BotAction::Allow | BotAction::Tag | BotAction::Limit(_) => None,
    }));
    bodies.extend(policy.routes.iter().enumerate().filter_map(|(at, route)| match &route.action {
        Action::Respond(fixed) => {
            let body = fixed.body.as_literal().unwrap_or_else(|| fixed.body.literal_prefix());
            Some((format!("routes[{at}].respond.body"), body.len()))
        }
        Action::Proxy { .. } | Action::Redirect(_) | Action::Handle(_) => None,
    }));
    let fallback = &policy.fallback;
    bodies.extend(fallback.page.as_ref().map(|page| ("fallback.page.body".to_owned(), page.body.len())));
    bodies.push(("fallback.not-found.body".to_owned(), fallback.not_found.body.len()));
    bodies.extend(
        policy.maintenance.iter().map(|closed| ("maintenance.body".to_owned(), closed.page.body.len())),
    );
    bodies.into_iter().filter_map(|(path, bytes)| too_large(path, bytes)).collect()
}

fn too_large(path: String, bytes: usize) -> Option<Finding> {
    let most = max_generated_bytes(Trigger::ViewerRequest);
    (bytes > most).then(|| {
        let message = format!(
            "{bytes} bytes are more than the {most} that a response of a viewer-request function may have, \
             headers included"
        );
        Finding::error(path, message, "shorten it, or let a backend serve it")
    })
}

/// Routes that CloudFront does not fail over.
fn failover(policy: &Policy) -> Vec<Finding> {
    let Behaviours { ordered, without } = Behaviours::of(policy);
    let mut found: Vec<_> = without.iter().map(|at| without_failover(*at, &policy.routes[*at])).collect();
    if ordered.len() > MAX_BEHAVIOURS {
        let message = format!(
            "failover needs {} path patterns of its own, more than the {MAX_BEHAVIOURS} of a distribution",
            ordered.len()
        );
        found.push(Finding::error(
            "routes",
            message,
            "let routes share paths with captures, or split the policy",
        ));
    }
    found
}

fn without_failover(at: usize, route: &Route) -> Finding {
    let safe = Origins::Group.methods().join(", ");
    let message = format!(
        "CloudFront fails over only where a path takes nothing but {safe}, and `{}` shares its requests with other \
         methods: when its backend fails, no other one is asked, and when it cannot be reached, the client gets \
         CloudFront's own error",
        route.path.as_str()
    );
    let help = "write `methods = [\"GET\"]` where that is all, and other methods under a path of their own; paths \
                with other characters than letters, digits and `_-.$/~\"'@:+` have no failover";
    Finding::warning(format!("routes[{at}].path"), message, help)
}

/// No event sees the whole of a request.
fn server_timing(policy: &Policy) -> Option<Finding> {
    policy.server_timing.then(|| {
        let message =
            "functions see no request as a whole, so that no response has `Server-Timing` of the edge's";
        let help =
            "drop it, and turn on CloudFront's own: `ServerTimingHeadersConfig` of a response headers policy";
        Finding::warning("server-timing", message, help)
    })
}

fn baked(policy: &Policy) -> Option<Finding> {
    let names = policy.secrets();
    (!names.is_empty()).then(|| {
        let message = format!(
            "Lambda@Edge has no environment variables: the build writes the value of {} into the function's zip",
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        );
        let help = "keep `dist` and the bucket private, and build and deploy again when a value changes";
        Finding::warning("backends", message, help)
    })
}

fn policy_headers(kind: &str, number: usize) -> Option<Finding> {
    (number > MAX_POLICY_HEADERS).then(|| {
        let message = format!(
            "the policy reads so much of the client's place that the {kind} has {number} headers, more than \
             {MAX_POLICY_HEADERS}"
        );
        Finding::error("", message, "read fewer facts, or let a backend read CloudFront's headers")
    })
}
