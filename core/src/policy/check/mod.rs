//! From the raw policy to the checked one: every value that is wrong is reported, not the first only.

mod actions;
mod backends;
mod conditions;
mod experiments;
mod headers;
mod health;
mod jobs;
mod routes;
mod site;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use super::Policy;
use super::raw;
use super::report::{Report, join};
use crate::backend::BackendId;
use crate::geo::group::{BUILTIN_NAMES, CountrySet, builtin};
use crate::log::Log;
use crate::spin::Spin;

/// Most routes, backends and experiments: their ids have 16 bits.
const MAX_ENTRIES: usize = 65_535;

/// Checks a raw policy. What is returned is whole only when nothing was reported.
pub(crate) fn check(raw: &raw::Policy, report: &mut Report) -> Policy {
    let located = raw.backends.iter().filter(|(_, backend)| backend.coordinates.is_some());
    let mut checker = Checker {
        report,
        backends: raw.backends.keys().map(String::as_str).collect(),
        located: located.map(|(name, _)| name.as_str()).collect(),
        groups: BTreeMap::new(),
        lists_redirect_hosts: !raw.redirects.allowed_hosts.is_empty(),
    };
    checker.groups(&raw.groups);
    let experiments: Vec<&str> = raw.experiments.keys().map(String::as_str).collect();
    let scope = Scope { captures: &[], experiments: &experiments };
    let name = raw.name.clone().unwrap_or_else(|| "edge".to_owned());
    Policy {
        name,
        server_timing: raw.server_timing,
        backends: checker.backends(&raw.backends),
        routes: checker.routes(&raw.routes, &experiments),
        geo: checker.geo(&raw.geo),
        bots: checker.bots(&raw.bots),
        experiments: checker.experiments(&raw.experiments),
        headers: checker.headers("headers", &raw.headers, scope),
        cors: raw.cors.as_ref().and_then(|cors| checker.cors("cors", cors)),
        limits: checker.limits(&raw.limits),
        fallback: checker.fallback(&raw.fallback),
        maintenance: raw.maintenance.as_ref().and_then(|maintenance| checker.maintenance(maintenance)),
        redirect_hosts: checker.redirect_hosts(&raw.redirects),
        queues: checker.queues(&raw.queues),
        schedules: checker.schedules(&raw.schedules),
        log: log(&raw.log),
        spin: Spin { front: raw.spin.front },
    }
}

fn log(raw: &raw::Log) -> Log {
    let raw::Log { client_address, query, user_agent } = *raw;
    Log { client_address, query: query.unwrap_or_default(), user_agent }
}

/// The names that values may refer to, and where errors go.
struct Checker<'a> {
    report: &'a mut Report,
    backends: Vec<&'a str>,
    /// Names of backends with coordinates.
    located: BTreeSet<&'a str>,
    groups: BTreeMap<String, CountrySet>,
    /// Whether `redirects.allowed-hosts` bounds where a request may lead a redirect.
    lists_redirect_hosts: bool,
}

/// What templates in one place can name.
#[derive(Clone, Copy)]
struct Scope<'a> {
    captures: &'a [&'a str],
    experiments: &'a [&'a str],
}

impl Checker<'_> {
    /// Resolves the name of a backend.
    fn backend(&mut self, path: &str, name: &str) -> Option<BackendId> {
        let found = self.backends.iter().position(|known| *known == name);
        if found.is_none() {
            self.report.unknown(path, "backend", name, self.backends.iter().copied());
        }
        found.and_then(|at| u16::try_from(at).ok()).map(BackendId)
    }

    /// Resolves the name of a group of countries.
    fn group(&mut self, path: &str, name: &str) -> Option<CountrySet> {
        let found = self.groups.get(name).cloned().or_else(|| builtin(name));
        if found.is_none() {
            let known = self.groups.keys().map(String::as_str).chain(BUILTIN_NAMES);
            self.report.unknown(path, "group", name, known);
        }
        found
    }

    fn groups(&mut self, groups: &BTreeMap<String, Vec<String>>) {
        for (name, codes) in groups {
            let path = join("groups", name);
            if builtin(name).is_some() {
                self.report.error_with_help(
                    &path,
                    format!("group `{name}` is built in"),
                    "choose another name",
                );
            }
            if codes.is_empty() {
                self.report.error(&path, format!("group `{name}` has no countries"));
            }
            let set = self.countries(&path, codes);
            self.groups.insert(name.clone(), set);
        }
    }

    /// Reports a list that is longer than ids can count.
    fn bound(&mut self, path: &str, length: usize) {
        if length > MAX_ENTRIES {
            self.report.error(path, format!("{length} entries are more than the {MAX_ENTRIES} that fit"));
        }
    }
}
