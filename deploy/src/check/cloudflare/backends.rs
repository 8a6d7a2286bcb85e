//! Backends that a Worker cannot reach, or not as the policy says.

use std::collections::BTreeSet;

use selvedge_core::backend::{Backend, HeaderSource, HostSource};
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::child;

use super::{Finding, PerPlan};
use crate::build::cloudflare::Needs;
use crate::check::hosts::Host;
use crate::cli::Plan;

/// The most [variables](https://developers.cloudflare.com/workers/platform/limits/#environment-variables) of a Worker,
/// secrets included.
const VARIABLES: PerPlan = PerPlan { free: 64, paid: 128 };

pub(super) fn findings(policy: &Policy, plan: Option<Plan>) -> Vec<Finding> {
    let bindings = bindings(Needs::of(policy));
    let mut found: Vec<_> = variables(policy, plan).into_iter().collect();
    for backend in &policy.backends {
        let path = child("backends", &backend.name);
        found.extend(urls(&path, &backend.urls));
        found.extend(client_host(&path, backend));
        found.extend(taken_names(&path, backend, &bindings));
    }
    found
}

fn urls(path: &str, urls: &[String]) -> impl Iterator<Item = Finding> {
    let is_list = urls.len() > 1;
    urls.iter().enumerate().filter_map(move |(at, url)| {
        let path = child(path, "url");
        unreachable(if is_list { format!("{path}[{at}]") } else { path }, url)
    })
}

/// Workers fetch names that public DNS knows, and
/// [no IP addresses](https://developers.cloudflare.com/workers/platform/known-issues/#fetch-to-ip-addresses).
///
/// A warning, since the Worker can be built and tried where it runs locally.
fn unreachable(path: String, url: &str) -> Option<Finding> {
    let host = Host::of(url)?;
    let Host { name, address } = &host;
    if host.is_local() {
        let message =
            format!("Cloudflare cannot reach `{name}`: only the machine or network around it knows it");
        return Some(Finding::warning(path, message, "write a public name before you deploy"));
    }
    let message = format!("Workers cannot fetch `{name}`: they fetch names and no IP addresses");
    let help = "add an A or AAAA record for it to your zone, and write that name";
    address.map(|_| Finding::warning(path, message, help))
}

/// Cloudflare [sends no `Host`](https://developers.cloudflare.com/workers/runtime-apis/request/#the-cf-property-requestinitcfproperties)
/// of another zone than the Worker's, but for that of the URL.
fn client_host(path: &str, backend: &Backend) -> Option<Finding> {
    (backend.host == HostSource::Client).then(|| {
        let message = "a Worker sends a `Host` other than the URL's only where it belongs to its own zone, so not that of \
                       workers.dev or of another zone's name";
        let help = "let the backend read `X-Forwarded-Host`, which always has the host that the client asked for";
        Finding::warning(child(path, "host"), message, help)
    })
}

/// Secrets and other [bindings](https://developers.cloudflare.com/workers/runtime-apis/bindings/) share their names.
fn taken_names(path: &str, backend: &Backend, bindings: &BTreeSet<&str>) -> Vec<Finding> {
    let names = backend.request_headers.iter().filter_map(|(_, source)| match source {
        HeaderSource::Env(name) => Some(name.as_str()),
        HeaderSource::Text(_) => None,
    });
    let taken = names.filter(|name| bindings.contains(name));
    let finding = |name: &str| {
        let message = format!("`{name}` cannot be a secret: a binding of the Worker has this name");
        Finding::error(child(path, "request-headers"), message, "choose another name for the variable")
    };
    taken.map(finding).collect()
}

fn bindings(needs: Needs) -> BTreeSet<&'static str> {
    let all = [
        ("SELVEDGE_COUNTERS", needs.counters),
        ("SELVEDGE_QUEUES", needs.queues),
        ("SELVEDGE_QUEUE_PREFIX", needs.events),
        ("SELVEDGE_SCHEDULES", needs.events),
        ("SELVEDGE_KV", needs.kv),
        ("SELVEDGE_RECORDS", needs.records),
    ];
    all.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

fn variables(policy: &Policy, plan: Option<Plan>) -> Option<Finding> {
    let number = policy.secrets().len();
    let beyond = PerPlan { free: number, paid: number }.beyond(VARIABLES, plan)?;
    let message = format!(
        "headers of backends read {number} variables, more than the {} that a Worker has on the {} plan",
        beyond.limit, beyond.plan
    );
    let help = format!("let backends share variables{}", beyond.help);
    Some(Finding::new(beyond.severity, "backends", message, help))
}
