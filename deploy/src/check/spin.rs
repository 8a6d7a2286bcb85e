//! What Spin does not do of a policy, or not as one may expect.
//!
//! Numbers of Akamai Functions come from [their quotas](https://techdocs.akamai.com/akamai-functions/docs/quotas-and-limits).
//! No rule stands here for SQLite, which Akamai Functions do not have: nothing is kept in it.

mod places;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::Method;
use selvedge_core::backend::HostSource;
use selvedge_core::bot::rules::BotAction;
use selvedge_core::policy::read::child;
use selvedge_core::policy::{Policy, blob};
use selvedge_core::route::{Action, Route};
use selvedge_core::spin::Front;

use super::hosts::Host;
use super::{Finding, health};
use crate::build::spin::stores;
use crate::cli::Via;

/// Most bytes of a request, and of a response.
const AKAMAI_MAX_BODY_BYTES: u64 = 10 * 1024 * 1024;

/// Most bytes of a whole application, its files included.
const AKAMAI_MAX_APP_BYTES: usize = 50 * 1024 * 1024;

/// Most bytes of all key-value stores together, as 2 GB can be meant at most.
const AKAMAI_MAX_STORE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// How long a request may take.
const AKAMAI_MAX_TIME: Duration = Duration::from_secs(30);

/// Returns everything that a policy asks of Spin in vain or at a price; nothing when it simply works.
pub(crate) fn findings(policy: &Policy, via: Option<Via>) -> Vec<Finding> {
    let mut found: Vec<Finding> = limits(policy).collect();
    found.extend(jobs(policy));
    found.extend(client_hosts(policy));
    found.extend(contents(policy));
    found.extend(health::checks(policy, "Spin"));
    found.extend(places::findings(policy));
    found.extend(responses(policy, via));
    found.extend(values(policy, via));
    match via {
        Some(Via::Aka) => found.extend(akamai(policy)),
        Some(Via::Kube) => found.push(shim()),
        Some(Via::Spin) | None => {}
    }
    found
}

/// Nothing counts across instances.
fn limits(policy: &Policy) -> impl Iterator<Item = Finding> {
    let limited = policy.bots.rules.iter().filter_map(|(category, action)| match action {
        BotAction::Limit(_) => Some(child("bots.rules", category.as_str())),
        BotAction::Allow | BotAction::Tag | BotAction::Block(_) => None,
    });
    limited.map(|path| {
        let message = "Spin has no counters, and its key-value store no compare-and-swap to count with, so that every \
                       client would be let in";
        let help = "write `action = \"block\"`, or limit rates with what stands before Spin";
        Finding::error(path, message, help)
    })
}

/// An application is started by requests alone, and ends with them.
fn jobs(policy: &Policy) -> impl Iterator<Item = Finding> {
    let queues = policy.queues.iter().map(|queue| (child("queues", &queue.name), "has no queues"));
    let schedules =
        policy.schedules.iter().map(|schedule| (child("schedules", &schedule.name), "has no schedules"));
    queues.chain(schedules).map(|(path, what)| {
        let message = format!("Spin {what}: an application is there for requests alone");
        let help = "run a policy with the queues and schedules alone with `--target cloudflare` or `--target lambda`";
        Finding::error(path, message, help)
    })
}

/// `wasi:http` has no field `Host`: it is that of the URL.
fn client_hosts(policy: &Policy) -> impl Iterator<Item = Finding> {
    let own = policy.backends.iter().filter(|backend| backend.host == HostSource::Client);
    own.map(|backend| {
        let message = "on Spin a backend is sent the host of its own URL, whatever else it should be sent";
        let help = "drop `host`, and let the backend read `X-Forwarded-Host`, which is the client's";
        Finding::error(child(&child("backends", &backend.name), "host"), message, help)
    })
}

/// Nothing says of a route whether its clients send such content, so that it is told once.
fn contents(policy: &Policy) -> Option<Finding> {
    let passes_on = |route: &Route| {
        let is_read = route.takes(&Method::GET) || route.takes(&Method::HEAD);
        is_read && matches!(route.action, Action::Proxy { .. } | Action::Handle(_))
    };
    let at = policy.routes.iter().position(passes_on)?;
    let message = "the content of a `GET` or a `HEAD` is dropped where no `Content-Length` announces it: Spin does not tell \
                   that there is some";
    let help = "let clients that send such content announce its length, or send it with `POST`";
    Some(Finding::warning(format!("routes[{at}]"), message, help))
}

/// What every stored response shares is told once.
fn responses(policy: &Policy, via: Option<Via>) -> Option<Finding> {
    let at = policy.routes.iter().position(stores)?;
    let mut message =
        "responses are kept in Spin's key-value store, which has no expiry: they stay there until others \
                       take their place, at most `limits.max-store-bytes` of them"
            .to_owned();
    let mut help =
        "give responses long lifetimes, and write `cache = { store = false }` where few are asked for twice"
            .to_owned();
    if matches!(via, Some(Via::Aka) | None) {
        message += "; Akamai Functions take 50 writes and 1,000 reads a second, and each response is one or more of them";
        help += "; what is refused is fetched again";
    }
    Some(Finding::warning(format!("routes[{at}].cache"), message, help))
}

/// Whether handlers keep values at all is not to be seen in a policy, so that it is told once.
fn values(policy: &Policy, via: Option<Via>) -> Option<Finding> {
    let at = policy.routes.iter().position(|route| matches!(route.action, Action::Handle(_)))?;
    let mut message =
        "what handlers keep goes to Spin's key-value store, which has no compare-and-swap and no expiry: of \
                       two that write at once, the last one wins"
            .to_owned();
    if matches!(via, Some(Via::Aka) | None) {
        message += "; Akamai Functions take 50 writes and 1,000 reads a second, and 1 MB a value";
    }
    let help = "keep what must not be lost behind a backend; this is no error where handlers keep nothing";
    Some(Finding::warning(format!("routes[{at}].handler"), message, help))
}

/// What embeds a Spin of its own is as old as that.
fn shim() -> Finding {
    let message = "SpinKube's shim 0.24 has Spin 3.6.3 in it, which does not run components of WASI 0.3.0";
    Finding::warning("", message, "install a shim on the nodes that has Spin 4.1 or newer in it")
}

fn akamai(policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    let limits = &policy.limits;
    if limits.max_body_bytes > AKAMAI_MAX_BODY_BYTES {
        let message = format!(
            "{} bytes are more than the {AKAMAI_MAX_BODY_BYTES} of a request to Akamai Functions",
            limits.max_body_bytes
        );
        let help = "write `max-body-bytes = \"10MiB\"`, and let clients upload what is larger elsewhere";
        found.push(Finding::warning("limits.max-body-bytes", message, help));
    }
    if limits.max_store_bytes > AKAMAI_MAX_STORE_BYTES {
        let message = format!(
            "{} bytes are more than the {AKAMAI_MAX_STORE_BYTES} that Akamai Functions keep",
            limits.max_store_bytes
        );
        found.push(Finding::error(
            "limits.max-store-bytes",
            message,
            "write at most `max-store-bytes = \"1GiB\"`",
        ));
    }
    found.extend(front(policy));
    found.extend(backends(policy));
    found.extend(size(blob::encode(policy).len()));
    found
}

/// Akamai Functions tell the client's address in a header of Akamai's alone.
fn front(policy: &Policy) -> Option<Finding> {
    (policy.spin.front != Some(Front::Akamai)).then(|| {
        let message = "without a front, no client's address is known: Akamai tells it in `True-Client-IP`";
        Finding::warning("spin.front", message, "write `[spin]` and below it `front = \"akamai\"`")
    })
}

fn backends(policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    for backend in &policy.backends {
        let path = child("backends", &backend.name);
        if backend.timeout > AKAMAI_MAX_TIME {
            let message = format!(
                "{} s are more than the {} that Akamai Functions give a request",
                backend.timeout.as_secs(),
                AKAMAI_MAX_TIME.as_secs()
            );
            found.push(Finding::warning(
                child(&path, "timeout"),
                message,
                "write at most `timeout = \"25s\"`",
            ));
        }
        let is_list = backend.urls.len() > 1;
        for (at, url) in backend.urls.iter().enumerate() {
            let path = child(&path, "url");
            found.extend(local(if is_list { format!("{path}[{at}]") } else { path }, url));
        }
    }
    found
}

fn local(path: String, url: &str) -> Option<Finding> {
    let host = Host::of(url).filter(Host::is_local)?;
    let message =
        format!("Akamai cannot reach `{}`: only the machine or network around it knows it", host.name);
    let help = "write a public name, or give one at deployment with `--variable`";
    Some(Finding::warning(path, message, help))
}

fn size(bytes: usize) -> Option<Finding> {
    (bytes > AKAMAI_MAX_APP_BYTES).then(|| {
        let message = format!(
            "the compiled policy has {bytes} bytes, and a whole application at most {AKAMAI_MAX_APP_BYTES}"
        );
        Finding::error("", message, "let a backend serve large bodies, or split the policy")
    })
}
