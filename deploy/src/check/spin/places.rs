//! What depends on where the client is: Spin does not know that, a database or Akamai in front of it does.

use selvedge_core::experiment::Experiment;
use selvedge_core::geo::rules::{GeoAction, GeoSource};
use selvedge_core::headers::rules::HeaderChanges;
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::child;
use selvedge_core::route::{Action, BackendChoice, Route};
use selvedge_core::spin::Front;
use selvedge_core::template::Template;

use super::Finding;

/// What makes the place known.
const HELP: &str = "write `[geo] source = \"database\"` and build with `--geoip FILE`, or, where Akamai is in front of \
                    every request, `[spin] front = \"akamai\"`";

pub(super) fn findings(policy: &Policy) -> Vec<Finding> {
    if policy.geo.source == GeoSource::Database || policy.spin.front == Some(Front::Akamai) {
        return Vec::new();
    }
    let mut found: Vec<Finding> = admission(policy).into_iter().collect();
    let chosen = policy.experiments.iter().filter(|experiment| experiment.when.place.is_some());
    found.extend(chosen.map(|experiment| choice(format!("{}.when", child("experiments", &experiment.name)))));
    for (at, route) in policy.routes.iter().enumerate() {
        let path = format!("routes[{at}]");
        found.extend(choices(route).into_iter().map(|key| choice(child(&path, key))));
    }
    found.extend(texts(policy).map(text));
    found
}

/// Who comes in by place.
fn admission(policy: &Policy) -> Option<Finding> {
    let path = match (policy.geo.rules.is_empty(), &policy.geo.unknown) {
        (false, _) => "geo.rules",
        (true, GeoAction::Block(_)) => "geo.unknown",
        (true, GeoAction::Allow) => return None,
    };
    let message = "Spin does not know where a client is, so that each one is in an unknown place";
    Some(Finding::error(path, message, HELP))
}

/// The keys of a route by which it chooses by place.
fn choices(route: &Route) -> Vec<&'static str> {
    let by_place = match &route.action {
        Action::Proxy { backend: BackendChoice::ByPlace(by_place), .. } => {
            by_place.depends_on_place().then_some("backend")
        }
        Action::Proxy { backend: BackendChoice::Nearest { .. }, .. } => Some("backend"),
        Action::Redirect(redirect) => redirect.target.depends_on_place().then_some("redirect"),
        Action::Proxy { backend: BackendChoice::One(_) | BackendChoice::Weighted(_), .. }
        | Action::Respond(_)
        | Action::Handle(_) => None,
    };
    route.when.place.is_some().then_some("when").into_iter().chain(by_place).collect()
}

fn choice(path: String) -> Finding {
    let message = "Spin does not know where a client is, so that this always chooses for an unknown place";
    Finding::error(path, message, HELP)
}

/// The paths of texts that name the place, each once.
fn texts(policy: &Policy) -> impl Iterator<Item = String> {
    let site = sides(String::new(), &policy.headers.request, &policy.headers.response);
    let routes = policy.routes.iter().enumerate().flat_map(|(at, route)| {
        let path = format!("routes[{at}]");
        let body = match &route.action {
            Action::Respond(fixed) => fixed.body.names_place().then(|| format!("{path}.respond.body")),
            Action::Redirect(redirect) => {
                redirect.target.values().any(Template::names_place).then(|| format!("{path}.redirect"))
            }
            Action::Proxy { rewrite, .. } => {
                rewrite.iter().any(Template::names_place).then(|| format!("{path}.rewrite"))
            }
            Action::Handle(_) => None,
        };
        let headers = sides(format!("{path}."), &route.headers.request, &route.headers.response);
        body.into_iter().chain(headers)
    });
    let experiments = policy.experiments.iter().filter(|experiment| varies_by_name(experiment));
    let experiments = experiments.map(|experiment| child("experiments", &experiment.name));
    site.into_iter().chain(routes).chain(experiments)
}

fn sides(path: String, request: &HeaderChanges, response: &HeaderChanges) -> Vec<String> {
    let sides = [("request", request), ("response", response)];
    let naming = sides.into_iter().filter(|(_, changes)| {
        let mut templates = changes.set.iter().chain(&changes.append).map(|(_, template)| template);
        templates.any(Template::names_place)
    });
    naming.map(|(side, _)| format!("{path}headers.{side}")).collect()
}

fn varies_by_name(experiment: &Experiment) -> bool {
    experiment.variations.iter().any(|variation| {
        let headers = variation.request_headers.iter().chain(&variation.response_headers);
        variation.rewrite.iter().chain(headers.map(|(_, template)| template)).any(Template::names_place)
    })
}

fn text(path: String) -> Finding {
    let message = "Spin does not know where a client is, so that what stands for the place is empty";
    Finding::warning(path, message, HELP)
}
