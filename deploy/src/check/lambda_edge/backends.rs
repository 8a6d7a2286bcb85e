//! Backends that CloudFront cannot ask, or not as the policy says.

use std::time::Duration;

use http::Uri;
use selvedge_core::backend::Backend;
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::child;

use super::Finding;
use crate::build::lambda_edge::template::MAX_READ_SECONDS;
use crate::check::hosts::Host;

/// What a function has for all of its own attempts.
const FUNCTION_TIME: Duration = Duration::from_secs(30);

pub(super) fn findings(policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    for backend in &policy.backends {
        let path = child("backends", &backend.name);
        found.extend(timeout(&path, backend));
        found.extend(attempts(&path, policy, backend));
        let is_list = backend.urls.len() > 1;
        for (at, url) in backend.urls.iter().enumerate() {
            let path = child(&path, "url");
            found.extend(url_finding(if is_list { format!("{path}[{at}]") } else { path }, url));
        }
    }
    found
}

fn timeout(path: &str, backend: &Backend) -> Option<Finding> {
    let path = child(path, "timeout");
    let seconds = backend.timeout.as_secs_f64();
    if backend.timeout > Duration::from_secs(MAX_READ_SECONDS) {
        let message =
            format!("CloudFront waits at most {MAX_READ_SECONDS} seconds for an origin, and not {seconds}");
        return Some(Finding::error(
            path,
            message,
            format!("write at most `timeout = \"{MAX_READ_SECONDS}s\"`"),
        ));
    }
    (backend.timeout.subsec_nanos() > 0).then(|| {
        let message =
            format!("CloudFront counts timeouts in whole seconds, and {seconds} becomes {}", seconds.ceil());
        Finding::warning(path, message, "write whole seconds")
    })
}

/// What the function does by itself after CloudFront's own attempt at the first URL.
fn attempts(path: &str, policy: &Policy, backend: &Backend) -> Option<Finding> {
    let others = backend.failover.iter().map(|id| policy.backend(*id));
    let last =
        policy.fallback.backend.filter(|id| !backend.failover.contains(id)).map(|id| policy.backend(id));
    let all = |backend: &Backend, urls: usize| {
        backend.timeout.saturating_mul(u32::try_from(urls).unwrap_or(u32::MAX))
    };
    let own = all(backend, backend.urls.len().saturating_sub(1));
    let further = others.chain(last.filter(|last| last.name != backend.name));
    let sum = further.map(|other| all(other, other.urls.len())).fold(own, Duration::saturating_add);
    (sum > FUNCTION_TIME).then(|| {
        let message = format!(
            "the attempts after the first can wait {} seconds together, and the function ends after {}",
            sum.as_secs(),
            FUNCTION_TIME.as_secs()
        );
        let help = "shorten `timeout` of what is asked after it, or name fewer URLs in `url` and `failover`";
        Finding::warning(path, message, help)
    })
}

fn url_finding(path: String, url: &str) -> Option<Finding> {
    let host = Host::of(url)?;
    let name = &host.name;
    if host.is_local() {
        let message =
            format!("CloudFront cannot reach `{name}`: only the machine or network around it knows it");
        return Some(Finding::warning(path, message, "write a public name before you deploy"));
    }
    if host.address.is_some() {
        let message = format!("CloudFront asks no origin by its address, as `{name}` is one");
        return Some(Finding::error(path, message, "give the backend a name, and write that"));
    }
    let port = url.parse::<Uri>().ok()?.port_u16()?;
    // <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CustomOriginConfig.html>
    (!matches!(port, 80 | 443 | 1024..)).then(|| {
        let message =
            format!("CloudFront asks origins at the ports 80, 443 and from 1024 on, and not at {port}");
        Finding::error(path, message, "let the backend listen on another port")
    })
}
