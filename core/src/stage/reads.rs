//! Which facts a policy reads, and where the client's place makes a difference.

use crate::cache::key::KeyFact;
use crate::facts::{Fact, FactSet};
use crate::policy::Policy;
use crate::route::{Action, BackendChoice, Conditions, Route};
use crate::template::{Template, Variable};

const COUNTRY: [Fact; 2] = [Fact::Country, Fact::Continent];

/// Facts about where a client is.
const PLACE: [Fact; 8] = [
    Fact::Country,
    Fact::Continent,
    Fact::Region,
    Fact::City,
    Fact::Latitude,
    Fact::Longitude,
    Fact::TimeZone,
    Fact::Asn,
];

/// Returns the facts about the client that decide what a response is, but for those about its bot verdict and its own address: a cache
/// that stands before the policy has to tell responses apart by them.
///
/// Only what is decided counts, and not what merely goes to a backend; of that, [`facts_read`] knows.
#[must_use]
pub fn deciding_facts(policy: &Policy) -> FactSet {
    let mut facts = FactSet::default();
    if !policy.geo.lets_everybody_in() {
        insert(&mut facts, &COUNTRY);
    }
    let conditions = policy.routes.iter().map(|route| &route.when);
    let conditions = conditions.chain(policy.experiments.iter().map(|experiment| &experiment.when));
    if conditions.into_iter().any(|when: &Conditions| when.place.is_some()) {
        insert(&mut facts, &COUNTRY);
    }
    for route in &policy.routes {
        route_facts(route, &mut facts);
    }
    let variations = policy.experiments.iter().flat_map(|experiment| &experiment.variations);
    let by_variation =
        variations.flat_map(|v| v.rewrite.iter().chain(v.response_headers.iter().map(|(_, t)| t)));
    policy.headers.response.templates().chain(by_variation).for_each(|t| template_facts(t, &mut facts));
    facts
}

/// Returns every fact about the client that a policy can read, also to tell it to a backend.
#[must_use]
pub fn facts_read(policy: &Policy) -> FactSet {
    let mut facts = deciding_facts(policy);
    let routes = policy.routes.iter().flat_map(|route| route.headers.request.templates().chain(&route.tags));
    let variations = policy.experiments.iter().flat_map(|experiment| &experiment.variations);
    let variations = variations.flat_map(|variation| variation.request_headers.iter().map(|(_, t)| t));
    let site = policy.headers.request.templates();
    site.chain(routes).chain(variations).for_each(|template| template_facts(template, &mut facts));
    let measures =
        |route: &Route| matches!(&route.action, Action::Proxy { backend: BackendChoice::Nearest { .. }, .. });
    if policy.routes.iter().any(measures) {
        insert(&mut facts, &[Fact::Latitude, Fact::Longitude]);
    }
    if policy.routes.iter().any(|route| matches!(route.action, Action::Handle(_))) {
        insert(&mut facts, &PLACE);
    }
    facts
}

/// Whether what a route answers by itself could be another thing in another place.
pub(crate) fn answer_depends_on_place(route: &Route) -> bool {
    match &route.action {
        Action::Redirect(redirect) => {
            redirect.target.depends_on_place() || redirect.target.values().any(Template::names_place)
        }
        Action::Respond(fixed) => fixed.body.names_place(),
        Action::Proxy { .. } | Action::Handle(_) => false,
    }
}

/// Returns whether the client's place makes a difference to a response that a backend gave, beside which backend it was.
#[must_use]
pub fn response_depends_on_place(policy: &Policy) -> bool {
    let routes = policy.routes.iter();
    headers_depend_on_place(policy, None)
        || routes
            .into_iter()
            .any(|route| route.when.place.is_some() || headers_depend_on_place(policy, Some(route)))
}

/// Whether the header changes of a response could be others in another place.
pub(super) fn headers_depend_on_place(policy: &Policy, route: Option<&Route>) -> bool {
    let of_route = route.into_iter().flat_map(|route| route.headers.response.templates());
    policy.headers.response.templates().chain(of_route).any(Template::names_place)
}

fn route_facts(route: &Route, facts: &mut FactSet) {
    route.headers.response.templates().for_each(|template| template_facts(template, facts));
    for fact in &route.key.facts {
        match fact {
            KeyFact::Country => facts.insert(Fact::Country),
            KeyFact::Continent => facts.insert(Fact::Continent),
            KeyFact::Region => facts.insert(Fact::Region),
            KeyFact::City => facts.insert(Fact::City),
            KeyFact::Device | KeyFact::Bot => {}
        }
    }
    match &route.action {
        Action::Redirect(redirect) => {
            if redirect.target.depends_on_place() {
                insert(facts, &COUNTRY);
            }
            redirect.target.values().for_each(|target| template_facts(target, facts));
        }
        Action::Respond(fixed) => template_facts(&fixed.body, facts),
        Action::Proxy { backend, rewrite } => {
            let by_place = match backend {
                BackendChoice::One(_) | BackendChoice::Weighted(_) => false,
                BackendChoice::ByPlace(by_place) => by_place.depends_on_place(),
                // By the coordinates where they are known; no cache could tell responses apart by those.
                BackendChoice::Nearest { .. } => true,
            };
            if by_place {
                insert(facts, &COUNTRY);
            }
            rewrite.iter().for_each(|template| template_facts(template, facts));
        }
        Action::Handle(_) => {}
    }
}

fn template_facts(template: &Template, facts: &mut FactSet) {
    template.variables().filter_map(Variable::place).for_each(|fact| facts.insert(fact));
}

fn insert(set: &mut FactSet, facts: &[Fact]) {
    facts.iter().for_each(|fact| set.insert(*fact));
}
