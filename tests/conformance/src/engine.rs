//! The engine that a case runs on.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use selvedge_core::engine::Engine;
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::read;

use crate::case::Case;
use crate::origin::Origins;

/// The policy that a case names as `storefront`, its backends at `http://NAME.test`.
pub const STOREFRONT: &str = include_str!("../../../examples/storefront/edge.toml");

/// The value of every environment variable whose name begins with `CONFORMANCE_`.
pub const SECRET: &str = "5ecret";

/// Compiles a case's policy with the handlers that cases may name; `place` gives each backend URL
/// of the policy (`http://us.test`) the one that it has on the platform.
///
/// # Errors
/// When the policy is refused; the message holds every error.
pub fn compile(case: &Case, place: impl Fn(&str) -> String) -> anyhow::Result<Arc<Engine>> {
    let mut policy = policy(case)?;
    for backend in &mut policy.backends {
        for url in &mut backend.urls {
            *url = place(url);
        }
    }
    let builder = Engine::builder(policy)
        .environment(|name| name.starts_with("CONFORMANCE_").then(|| SECRET.to_owned()))
        .collapsing();
    let engine = selvedge_conformance_handlers::handlers(builder).compile();
    engine.map(Arc::new).map_err(|error| anyhow!("{error}"))
}

/// Reads a case's policy.
///
/// # Errors
/// When the policy is refused; the message holds every error.
pub fn policy(case: &Case) -> anyhow::Result<Policy> {
    let mut policy = read(&case.policy).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("the policy is refused:\n{}", lines.join("\n"))
    })?;
    if case.policy == STOREFRONT {
        for backend in &mut policy.backends {
            backend.urls = vec![format!("http://{}.test", backend.name)];
        }
    }
    Ok(policy)
}

/// A policy whose backends are where the case's servers listen.
#[must_use]
pub fn placed(mut policy: Policy, origins: &Origins) -> Policy {
    for url in policy.backends.iter_mut().flat_map(|backend| &mut backend.urls) {
        let place = label(url).ok().and_then(|label| Some((label.to_owned(), origins.address(label)?)));
        if let Some((label, at)) = place {
            *url = url.replacen(&format!("{label}.test"), &at.to_string(), 1);
        }
    }
    policy
}

/// The label of a backend's URL: `us` for `http://us.test/prefix`.
///
/// # Errors
/// When the URL is not of that form.
pub fn label(url: &str) -> anyhow::Result<&str> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} is not http"))?;
    rest.split_once(".test").map(|(label, _)| label).with_context(|| format!("{url} is not at LABEL.test"))
}

/// The variables that policies name.
#[must_use]
pub fn secrets<'a>(policies: impl Iterator<Item = &'a String>) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names: Vec<String> = policies
        .flat_map(|text| text.split(move |c| !is_name(c)).filter(|word| word.starts_with("CONFORMANCE_")))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The labels of every backend URL of the case's policy.
///
/// # Errors
/// When the policy is refused or a URL is not of that form.
pub fn labels(case: &Case) -> anyhow::Result<Vec<String>> {
    let policy = policy(case)?;
    let urls = policy.backends.iter().flat_map(|backend| &backend.urls);
    let mut labels = urls.map(|url| label(url).map(str::to_owned)).collect::<anyhow::Result<Vec<_>>>()?;
    labels.sort();
    labels.dedup();
    Ok(labels)
}
