//! What a platform does not do about backends that fail.

use selvedge_core::policy::Policy;
use selvedge_core::policy::read::child;

use super::Finding;

/// Checks of backends, where nothing runs between requests.
pub(super) fn checks(policy: &Policy, platform: &str) -> Vec<Finding> {
    let checked = policy.backends.iter().filter(|backend| backend.health.check.is_some());
    let finding = |backend: &selvedge_core::backend::Backend| {
        let message = format!("{platform} runs nothing between requests, so that no check is made");
        let help = "add `breaker = {}`: it learns from the requests themselves";
        Finding::warning(child(&child("backends", &backend.name), "check"), message, help)
    };
    checked.map(finding).collect()
}

/// Everything about backends' health, where the platform asks them by itself.
pub(super) fn all(policy: &Policy, platform: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for backend in &policy.backends {
        let health = &backend.health;
        let keys = [
            ("retry", health.retry.is_some()),
            ("breaker", health.breaker.is_some()),
            ("max-concurrent", health.max_concurrent.is_some()),
            ("hedge", health.hedge.is_some()),
            ("check", health.check.is_some()),
            ("total-timeout", backend.total_timeout.is_some()),
        ];
        for (key, _) in keys.iter().filter(|(_, is_there)| *is_there) {
            let message = format!("{platform} asks the backends by itself, so that this has no effect");
            let help = "let `failover` name another backend, or drop this";
            found.push(Finding::warning(child(&child("backends", &backend.name), key), message, help));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    #[test]
    fn what_has_no_effect_is_told_with_its_place() {
        let keys = "retry = {}\nbreaker = {}\nmax-concurrent = 5\nhedge = {}\ncheck = { path = \"/health\" }\n\
                    total-timeout = \"1m\"";
        let policy = |keys: &str| {
            let text = format!("[backends.a]\nurl = \"http://a.test\"\n{keys}");
            read(&text).unwrap_or_else(|errors| panic!("{errors}"))
        };
        let paths =
            |found: Vec<Finding>| -> Vec<String> { found.into_iter().map(|finding| finding.path).collect() };
        assert_eq!(paths(checks(&policy(keys), "Spin")), ["backends.a.check"]);
        let all_of = ["retry", "breaker", "max-concurrent", "hedge", "check", "total-timeout"];
        assert_eq!(paths(all(&policy(keys), "CloudFront")), all_of.map(|key| format!("backends.a.{key}")));
        assert_eq!(all(&policy("timeout = \"1s\""), "CloudFront"), []);
        assert_eq!(checks(&policy("breaker = {}"), "Spin"), []);
    }
}
