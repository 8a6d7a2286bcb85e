//! The values of template variables for one request.

use std::fmt::Write as _;

use crate::engine::Engine;
use crate::headers::cookies;
use crate::template::{Values, Variable};
use crate::transaction::Transaction;

/// A request and the policy that it is judged by.
pub(crate) struct RequestValues<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) tx: &'a Transaction,
}

impl Values for RequestValues<'_> {
    fn write_value(&self, variable: &Variable, out: &mut String) {
        match variable {
            Variable::Capture(name) => push(out, self.engine.capture(self.tx, name)),
            Variable::Country => push(out, self.tx.facts.country.as_ref().map(|code| code.as_str())),
            Variable::Continent => {
                push(out, self.tx.facts.continent().map(|continent| continent.as_str()));
            }
            Variable::Region => push(out, self.tx.facts.region.as_deref()),
            Variable::City => push(out, self.tx.facts.city.as_deref()),
            Variable::TimeZone => push(out, self.tx.facts.time_zone.as_deref()),
            Variable::Asn => write_number(out, self.tx.facts.asn),
            Variable::ClientIp => write_number(out, self.tx.facts.client_ip),
            Variable::Device => out.push_str(self.tx.device.as_str()),
            Variable::Bot => {
                out.push_str(self.tx.verdict.category().map_or("human", |category| category.as_str()))
            }
            Variable::RequestId => out.push_str(&self.tx.request_id()),
            Variable::Method => out.push_str(self.tx.request.method().as_str()),
            Variable::Scheme => out.push_str(self.tx.scheme()),
            Variable::Host => push(out, self.tx.target.as_ref().map(|target| target.host())),
            Variable::Path => push(out, self.tx.target.as_ref().map(|target| target.path())),
            Variable::Query => push(out, self.tx.request.uri().query()),
            Variable::Route => push(out, self.engine.route_of(self.tx).map(|route| route.name.as_str())),
            Variable::QueryParameter(name) => push(out, self.tx.query().value(name).as_deref()),
            Variable::Cookie(name) => push(out, cookies::find(self.tx.request.headers(), name)),
            Variable::Header(name) => push(out, self.header(name)),
            Variable::Variation(name) => push(out, self.variation(name)),
        }
    }
}

impl<'a> RequestValues<'a> {
    fn header(&self, name: &str) -> Option<&'a str> {
        self.tx.request.headers().get(name)?.to_str().ok()
    }

    fn variation(&self, name: &str) -> Option<&'a str> {
        let policy = self.engine.policy();
        let assigned = self.tx.assigned.iter().find(|a| policy.experiment(a.experiment).name == name)?;
        Some(policy.experiment(assigned.experiment).variations[assigned.variation].name.as_str())
    }
}

fn push(out: &mut String, value: Option<&str>) {
    out.push_str(value.unwrap_or_default());
}

fn write_number(out: &mut String, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        write!(out, "{value}").expect("writing to a String cannot fail");
    }
}
