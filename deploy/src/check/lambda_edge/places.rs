//! What depends on where the client is: CloudFront tells that to functions behind its cache only.

use selvedge_cloudfront::policy::distribution::Geography;
use selvedge_core::cache::rule::Storing;
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::child;
use selvedge_core::route::{Action, BackendChoice, Route};
use selvedge_core::template::{Template, Variable};

use super::Finding;

/// What makes the place known before the cache.
const DATABASE: &str = "write `[geo] source = \"database\"` and build with `--geoip FILE`";

pub(super) fn findings(policy: &Policy, geography: Geography) -> Vec<Finding> {
    if geography == Geography::Database {
        return Vec::new();
    }
    let mut found: Vec<_> = policy
        .experiments
        .iter()
        .filter(|experiment| experiment.when.place.is_some())
        .map(|experiment| experiment_place(&child("experiments", &experiment.name)))
        .collect();
    for (at, route) in policy.routes.iter().enumerate() {
        let path = format!("routes[{at}]");
        found.extend(route.when.place.is_some().then(|| route_place(&path)));
        found.extend(nearest(&path, route));
        found.extend(stored_asn(&path, route));
    }
    found.extend(shared_asn(policy));
    found
}

fn experiment_place(path: &str) -> Finding {
    let message = "CloudFront tells the place behind its cache: which variation a visitor sees is known too late for \
                   its cache key, so that nothing at the experiment's paths is shared between requests";
    let help = format!("{DATABASE}, or narrow the experiment with `paths`");
    Finding::warning(child(path, "when"), message, help)
}

fn route_place(path: &str) -> Finding {
    let message = "CloudFront tells the place behind its cache: which route a request takes is known too late for \
                   its cache key, so that nothing at such a path is shared between requests";
    let help = format!("{DATABASE}, or choose by place with `backend` or `redirect`");
    Finding::warning(child(path, "when"), message, help)
}

fn nearest(path: &str, route: &Route) -> Option<Finding> {
    let Action::Proxy { backend: BackendChoice::Nearest { .. }, .. } = &route.action else { return None };
    is_stored(route).then(|| {
        let message = "the cache tells clients apart by country: a stored response comes from the backend that is \
                       nearest to whoever asked first in the country";
        let help = "write `cache = { store = false }` where backends answer differently";
        Finding::warning(child(path, "backend"), message, help)
    })
}

/// CloudFront takes [no ASN](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html)
/// into a cache key.
fn stored_asn(path: &str, route: &Route) -> Vec<Finding> {
    let Action::Proxy { rewrite, .. } = &route.action else { return Vec::new() };
    if !is_stored(route) {
        return Vec::new();
    }
    let response = &route.headers.response;
    let mut templates = response.set.iter().chain(&response.append).map(|(_, template)| template);
    let places = [
        (child(path, "rewrite"), rewrite.iter().any(names_asn)),
        (format!("{path}.headers.response"), templates.any(names_asn)),
    ];
    places.into_iter().filter(|(_, names)| *names).map(|(path, _)| unkeyed_asn(path)).collect()
}

/// The same for what concerns every route.
fn shared_asn(policy: &Policy) -> Vec<Finding> {
    let proxies = |route: &Route| matches!(route.action, Action::Proxy { .. }) && is_stored(route);
    if !policy.routes.iter().any(proxies) {
        return Vec::new();
    }
    let response = &policy.headers.response;
    let mut templates = response.set.iter().chain(&response.append).map(|(_, template)| template);
    let mut found: Vec<_> =
        templates.any(names_asn).then(|| unkeyed_asn("headers.response".to_owned())).into_iter().collect();
    for experiment in &policy.experiments {
        for (at, variation) in experiment.variations.iter().enumerate() {
            let headers = variation.response_headers.iter().map(|(_, template)| template);
            if variation.rewrite.iter().chain(headers).any(names_asn) {
                let path = format!("{}.variations[{at}]", child("experiments", &experiment.name));
                found.push(unkeyed_asn(path));
            }
        }
    }
    found
}

fn unkeyed_asn(path: String) -> Finding {
    let message = "CloudFront's cache cannot tell clients apart by `{asn}`, so that one would get another's";
    Finding::error(path, message, "tell backends in `headers.request`, or write `cache = { store = false }`")
}

fn names_asn(template: &Template) -> bool {
    template.variables().any(|variable| *variable == Variable::Asn)
}

fn is_stored(route: &Route) -> bool {
    route.cache.store == Storing::Store
        && (route.takes(&http::Method::GET) || route.takes(&http::Method::HEAD))
}
