//! Which request headers a policy can read before the request leaves the edge.
//!
//! A host for which every header that crosses a boundary costs something sends these first. Most answers of the edge
//! itself (a block, a redirect, a fixed response, a 404) need no other; see [`Engine::answer_alone`](crate::engine::Engine::answer_alone).

use http::header;

use crate::experiment::{Experiment, Identity};
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

/// Returns the names in lower case, in order and each once.
#[must_use]
pub fn request_headers(policy: &Policy) -> Vec<String> {
    let mut interest = Interest { names: ALWAYS.map(str::to_owned).to_vec() };
    if policy.cors.is_some() || policy.routes.iter().any(|route| route.cors.is_some()) {
        interest.names.extend(CORS.map(str::to_owned));
    }
    policy.headers.response.templates().for_each(|template| interest.template(template));
    policy.routes.iter().for_each(|route| interest.route(route));
    policy.experiments.iter().for_each(|experiment| interest.experiment(experiment));
    interest.names.sort_unstable();
    interest.names.dedup();
    interest.names
}

struct Interest {
    names: Vec<String>,
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
            Identity::Header(name) => self.names.push(name.to_ascii_lowercase()),
        }
        if experiment.sticky.is_some() {
            self.cookie();
        }
        for variation in &experiment.variations {
            variation.response_headers.iter().for_each(|(_, template)| self.template(template));
        }
    }

    fn conditions(&mut self, conditions: &Conditions) {
        self.names.extend(conditions.headers.iter().map(|(name, _)| name.to_ascii_lowercase()));
        if !conditions.cookies.is_empty() {
            self.cookie();
        }
    }

    fn template(&mut self, template: &Template) {
        for variable in template.variables() {
            match variable {
                Variable::Cookie(_) => self.cookie(),
                Variable::Header(name) => self.names.push(name.to_ascii_lowercase()),
                Variable::Capture(_)
                | Variable::Country
                | Variable::Continent
                | Variable::Region
                | Variable::City
                | Variable::TimeZone
                | Variable::Asn
                | Variable::ClientIp
                | Variable::Device
                | Variable::Bot
                | Variable::RequestId
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
        self.names.push(header::COOKIE.as_str().to_owned());
    }
}

#[cfg(all(test, feature = "policy-file"))]
mod tests {
    use super::*;
    use crate::policy::read::read;

    fn beyond_always(policy: &str) -> Vec<String> {
        let policy = read(policy).unwrap_or_else(|errors| panic!("{policy}: {errors}"));
        let mut names = request_headers(&policy);
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
    fn what_only_a_backend_is_told_does_not_count() {
        let policy = "[backends.a]\nurl = \"http://a.test\"\n\
                      [[routes]]\npath = \"/\"\nbackend = \"a\"\nheaders.request.set = { x-a = \"{header.x-six}\" }";
        assert_eq!(beyond_always(policy), [""; 0]);
    }
}
