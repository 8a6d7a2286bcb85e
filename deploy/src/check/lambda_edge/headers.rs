//! Headers that CloudFront lets no function write.
//!
//! What the core writes by itself is not told: the adapter leaves out what CloudFront writes in its place.

use selvedge_cloudfront::event::Trigger;
use selvedge_cloudfront::rules::{is_disallowed, read_only};
use selvedge_core::bot::rules::BotAction;
use selvedge_core::headers::name::FieldName;
use selvedge_core::headers::rules::{HeaderChanges, HeaderRules};
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::child;

use super::Finding;

/// Where a policy's requests to backends and its responses to clients are written.
const REQUEST: &[Trigger] = &[Trigger::OriginRequest];
const RESPONSE: &[Trigger] = &[Trigger::OriginResponse, Trigger::ViewerResponse];

pub(super) fn findings(policy: &Policy) -> Vec<Finding> {
    let mut found = rules("headers", &policy.headers);
    for (at, route) in policy.routes.iter().enumerate() {
        found.extend(rules(&format!("routes[{at}].headers"), &route.headers));
    }
    for backend in &policy.backends {
        let path = child(&child("backends", &backend.name), "request-headers");
        found.extend(written(&path, backend.request_headers.iter().map(|(name, _)| name), REQUEST));
    }
    for experiment in &policy.experiments {
        for (at, variation) in experiment.variations.iter().enumerate() {
            let path = format!("{}.variations[{at}]", child("experiments", &experiment.name));
            let (request, response) = (&variation.request_headers, &variation.response_headers);
            found.extend(written(
                &child(&path, "request-headers"),
                request.iter().map(|(name, _)| name),
                REQUEST,
            ));
            found.extend(written(
                &child(&path, "response-headers"),
                response.iter().map(|(name, _)| name),
                RESPONSE,
            ));
        }
    }
    let tags = policy.bots.rules.values().any(|action| matches!(action, BotAction::Tag));
    let tag = tags.then_some(&policy.bots.tag_header);
    found.extend(tag.iter().filter_map(|name| forbidden("bots.tag-header", name, REQUEST)));
    found
}

fn rules(path: &str, rules: &HeaderRules) -> Vec<Finding> {
    let mut found = changes(&child(path, "request"), &rules.request, REQUEST);
    found.extend(changes(&child(path, "response"), &rules.response, RESPONSE));
    found
}

fn changes(path: &str, changes: &HeaderChanges, triggers: &[Trigger]) -> Vec<Finding> {
    let removals = changes.remove.iter().enumerate();
    let removals = removals.filter_map(|(at, name)| {
        let trigger = read_only_at(name, triggers)?;
        Some(finding(format!("{path}.remove[{at}]"), name, &format!("remove at {trigger}")))
    });
    let mut found: Vec<_> = removals.collect();
    found.extend(written(&child(path, "set"), changes.set.iter().map(|(name, _)| name), triggers));
    found.extend(written(&child(path, "append"), changes.append.iter().map(|(name, _)| name), triggers));
    found
}

fn written<'a>(path: &str, names: impl Iterator<Item = &'a FieldName>, triggers: &[Trigger]) -> Vec<Finding> {
    names.filter_map(|name| forbidden(path, name, triggers)).collect()
}

fn forbidden(path: &str, name: &FieldName, triggers: &[Trigger]) -> Option<Finding> {
    if is_disallowed(name.as_str()) {
        return Some(finding(path.to_owned(), name, "write"));
    }
    let trigger = read_only_at(name, triggers)?;
    Some(finding(path.to_owned(), name, &format!("write at {trigger}")))
}

fn read_only_at(name: &FieldName, triggers: &[Trigger]) -> Option<Trigger> {
    triggers.iter().copied().find(|trigger| read_only(*trigger).contains(&name.as_str()))
}

/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html>
fn finding(path: String, name: &FieldName, what: &str) -> Finding {
    let message = format!("`{}` is a header that CloudFront lets no function {what}", name.as_str());
    Finding::error(path, message, "drop it, or choose another name")
}
