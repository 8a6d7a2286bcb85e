//! What a policy can read of a request before it leaves the edge.
//!
//! A host for which everything that crosses a boundary costs something sends this first. Most answers of the edge
//! itself (a block, a redirect, a fixed response, a 404) need no other; see [`Engine::answer_alone`](crate::engine::Engine::answer_alone).

use http::header;

use crate::experiment::{Experiment, Identity};
use crate::facts::{Fact, FactSet};
use crate::policy::Policy;
use crate::route::{Action, Conditions, Route};
use crate::template::{Template, Variable};

/// Headers that the first and the last phase read whatever the policy says: for the target, for limits, and
/// for what kind of client it is.
const ALWAYS: [&str; 15] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "content-length",
    "content-type",
    "host",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "upgrade",
    "user-agent",
];

/// What cross-origin rules read.
const CORS: [&str; 3] = ["access-control-request-headers", "access-control-request-method", "origin"];

/// Facts that the first and the last phase read whatever the policy says.
const ALWAYS_FACTS: [Fact; 5] =
    [Fact::Country, Fact::Continent, Fact::IsHttps, Fact::BotScore, Fact::IsVerifiedBot];

/// What a policy can read of a request before it leaves the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Names of header fields, lower case, in order and each once.
    pub headers: Vec<String>,
    /// What it can read of the platform's facts.
    pub facts: FactSet,
    /// Whether an answer may name the request's own id, so that no two requests are answered alike.
    pub request_id: bool,
}

/// Returns what a policy can read.
#[must_use]
pub fn of(policy: &Policy) -> Interest {
    let mut interest = Interest {
        headers: ALWAYS.map(str::to_owned).to_vec(),
        facts: FactSet::of(&ALWAYS_FACTS),
        request_id: false,
    };
    if policy.cors.is_some() || policy.routes.iter().any(|route| route.cors.is_some()) {
        interest.headers.extend(CORS.map(str::to_owned));
    }
    policy.headers.response.templates().for_each(|template| interest.template(template));
    policy.routes.iter().for_each(|route| interest.route(route));
    policy.experiments.iter().for_each(|experiment| interest.experiment(experiment));
    if policy.maintenance.as_ref().is_some_and(|maintenance| !maintenance.allow.is_empty()) {
        interest.facts.insert(Fact::ClientIp);
    }
    interest.headers.sort_unstable();
    interest.headers.dedup();
    interest
}

impl Interest {
    fn route(&mut self, route: &Route) {
        self.conditions(&route.when);
        route.headers.response.templates().for_each(|template| self.template(template));
        match &route.action {
            Action::Redirect(redirect) => redirect.target.values().for_each(|target| self.template(target)),
            Action::Respond(fixed) => self.template(&fixed.body),
            // What goes to a backend or a handler is sent whole.
            Action::Proxy { .. } | Action::Handle(_) => {}
        }
    }

    fn experiment(&mut self, experiment: &Experiment) {
        self.conditions(&experiment.when);
        match &experiment.identity {
            Identity::Cookie(_) => self.cookie(),
            Identity::Header(name) => self.headers.push(name.to_ascii_lowercase()),
        }
        if experiment.sticky.is_some() {
            self.cookie();
        }
        for variation in &experiment.variations {
            variation.response_headers.iter().for_each(|(_, template)| self.template(template));
        }
    }

    fn conditions(&mut self, conditions: &Conditions) {
        self.headers.extend(conditions.headers.iter().map(|(name, _)| name.to_ascii_lowercase()));
        if !conditions.cookies.is_empty() {
            self.cookie();
        }
    }

    fn template(&mut self, template: &Template) {
        for variable in template.variables() {
            match variable {
                Variable::Cookie(_) => self.cookie(),
                Variable::Header(name) => self.headers.push(name.to_ascii_lowercase()),
                Variable::Region => self.facts.insert(Fact::Region),
                Variable::City => self.facts.insert(Fact::City),
                Variable::TimeZone => self.facts.insert(Fact::TimeZone),
                Variable::Asn => self.facts.insert(Fact::Asn),
                Variable::ClientIp => self.facts.insert(Fact::ClientIp),
                Variable::RequestId => self.request_id = true,
                Variable::Capture(_)
                | Variable::Country
                | Variable::Continent
                | Variable::Device
                | Variable::Bot
                | Variable::Method
                | Variable::Scheme
                | Variable::Host
                | Variable::Path
                | Variable::Query
                | Variable::Route
                | Variable::QueryParameter(_)
                | Variable::Variation(_) => {}
            }
        }
    }

    fn cookie(&mut self) {
        self.headers.push(header::COOKIE.as_str().to_owned());
    }
}

#[cfg(all(test, feature = "policy-file"))]
mod tests {
    use super::*;
    use crate::policy::read::read;

    fn beyond_always(policy: &str) -> Vec<String> {
        let policy = read(policy).unwrap_or_else(|errors| panic!("{policy}: {errors}"));
        let mut names = of(&policy).headers;
        names.retain(|name| !ALWAYS.contains(&name.as_str()));
        names
    }

    #[test]
    fn every_place_of_a_policy_that_reads_a_header_counts() {
        let rows: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("[cors]\norigins = [\"https://a.example\"]", &CORS),
            ("[headers.response.set]\nx-echo = \"{header.X-One}\"", &["x-one"]),
            ("[[routes]]\npath = \"/\"\nwhen = { headers = { x-two = \"*\" } }\nrespond = {}", &["x-two"]),
            ("[[routes]]\npath = \"/\"\nwhen = { cookies = { a = \"*\" } }\nrespond = {}", &["cookie"]),
            ("[[routes]]\npath = \"/\"\nredirect = \"/{cookie.a}\"", &["cookie"]),
            ("[[routes]]\npath = \"/\"\nrespond = { body = \"{header.x-three}\" }", &["x-three"]),
            (
                "[experiments.a]\nidentity-header = \"X-Four\"\nvariations = [{ name = \"b\", \
                 response-headers = { x-b = \"{header.x-five}\" } }, { name = \"c\" }]",
                &["x-five", "x-four"],
            ),
        ];
        for (policy, expected) in rows {
            assert_eq!(beyond_always(policy), expected, "{policy}");
        }
    }

    #[test]
    fn every_place_of_a_policy_that_reads_a_fact_counts() {
        let rows: [(&str, &[Fact]); 4] = [
            ("", &[]),
            (
                "[headers.response.set]\nx = \"{city} {time-zone} {region}\"",
                &[Fact::City, Fact::TimeZone, Fact::Region],
            ),
            (
                "[[routes]]\npath = \"/\"\nrespond = { body = \"{client-ip} {asn}\" }",
                &[Fact::ClientIp, Fact::Asn],
            ),
            ("[maintenance]\nenabled = true\nallow = [\"192.0.2.0/24\"]", &[Fact::ClientIp]),
        ];
        for (policy, expected) in rows {
            let expected = FactSet::of(&[expected, &ALWAYS_FACTS[..]].concat());
            let found = of(&read(policy).unwrap_or_else(|errors| panic!("{policy}: {errors}")));
            assert_eq!((found.facts, found.request_id), (expected, false), "{policy}");
        }
        let named = read("[[routes]]\npath = \"/\"\nrespond = { body = \"{request-id}\" }").unwrap();
        assert!(of(&named).request_id, "every answer is another");
    }

    #[test]
    fn what_only_a_backend_is_told_does_not_count() {
        let policy = "[backends.a]\nurl = \"http://a.test\"\n\
                      [[routes]]\npath = \"/\"\nbackend = \"a\"\nheaders.request.set = { x-a = \"{header.x-six}\" }";
        assert_eq!(beyond_always(policy), [""; 0]);
    }
}
