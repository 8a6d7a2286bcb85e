//! What a deployment says: the mounted policy, and the variables that change it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use selvedge_core::engine::{Engine, EngineBuilder};
use selvedge_core::policy::{Policy, blob};
use selvedge_log::sample::SampleRate;

use crate::variables::{ACCESS_LOG, Variables};

/// Where `selvedge build` mounts the compiled policy.
pub(crate) const POLICY: &str = "/policy.bin";

/// Where it mounts the geolocation database, when the policy says `[geo] source = "database"`.
pub(crate) const DATABASE: &str = "/geo.mmdb";

/// What a compiled policy seldom is longer than.
const USUAL_POLICY_BYTES: usize = 64 * 1024;

/// Reads the compiled policy.
///
/// Every instance does so before its first answer, and each call of a file costs the host as much as several answers:
/// hence a single read, where that gives a whole policy.
pub(crate) fn policy(path: &Path) -> Result<Policy, String> {
    if let Some(policy) = start(path).ok().and_then(|bytes| blob::decode(&bytes).ok()) {
        return Ok(policy);
    }
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        format!("cannot read the policy {shown}: {error} (`selvedge build` mounts it by spin.toml)")
    })?;
    blob::decode(&bytes).map_err(|error| format!("the policy {shown}: {error}"))
}

/// Reads as much of a file as one read gives.
fn start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; USUAL_POLICY_BYTES];
    let length = File::open(path)?.read(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Reads how many requests have a line in the log; `None` for no word about requests.
pub(crate) fn access_log(values: &BTreeMap<String, String>) -> Result<Option<SampleRate>, String> {
    let text = values.get(ACCESS_LOG).filter(|text| !text.is_empty());
    let share =
        text.map(|text| text.parse().map_err(|error| format!("the variable `{ACCESS_LOG}` is {error}")));
    share.transpose()
}

/// Compiles a policy with the values of its variables; a value that is empty counts as not set.
///
/// A backend that a variable moves to what is no origin is an error: its old place would be the wrong one.
pub(crate) fn compile(
    mut policy: Policy,
    variables: Variables,
    values: BTreeMap<String, String>,
    handlers: fn(EngineBuilder) -> EngineBuilder,
) -> Result<Engine, String> {
    let chosen = variables.choose_backends(&mut policy, |name| values.get(name).cloned());
    chosen.map_err(|error| error.to_string())?;
    let secret = move |name: &str| {
        let value = variables.secret(name).and_then(|variable| values.get(variable));
        value.filter(|value| !value.is_empty()).cloned()
    };
    handlers(Engine::builder(policy).environment(secret)).compile().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    const POLICY: &str = "[backends.shop]\nurl = \"https://shop.test/v1\"\n\
                          request-headers = { X-Token = { env = \"EU_TOKEN\" } }";

    fn compiled(values: &[(&str, &str)]) -> Result<Engine, String> {
        let policy = read(POLICY).unwrap_or_else(|errors| panic!("{errors}"));
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variables = Variables::of(&policy);
        compile(policy, variables, values.collect(), |edge| edge)
    }

    #[test]
    fn a_variable_moves_a_backend_and_another_gives_a_secret() {
        let engine = compiled(&[("backend_shop", "http://127.0.0.1:8080"), ("eu_token", "s3")]);
        let engine = engine.expect("both are set");
        assert_eq!(engine.policy().backends[0].urls, ["http://127.0.0.1:8080/v1"]);
    }

    #[test]
    fn what_is_wrong_or_missing_is_named_and_no_secret_is_shown() {
        let moved = [("backend_shop", "ftp://user:hunter2@shop.test"), ("eu_token", "s3")];
        let error = compiled(&moved).expect_err("it is no origin");
        assert!(error.contains("`backend_shop`") && !error.contains("hunter2"), "{error}");
        for values in [&[][..], &[("eu_token", "")]] {
            let error = compiled(values).expect_err("the secret is not set");
            assert!(error.contains("`EU_TOKEN`"), "{error}");
        }
        let error = compiled(&[("eu_token", "hunter2\n")]).expect_err("it is no header value");
        assert!(error.contains("`EU_TOKEN`") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_access_log_is_a_share_of_requests_and_off_unless_wanted() {
        let read = |text: &str| access_log(&BTreeMap::from([(ACCESS_LOG.to_owned(), text.to_owned())]));
        assert_eq!((access_log(&BTreeMap::new()), read("")), (Ok(None), Ok(None)));
        for (text, share) in [("1", 1.0), ("0.1", 0.1), ("0", 0.0)] {
            assert_eq!(read(text), Ok(SampleRate::new(share)), "{text}");
        }
        let error = read("on").expect_err("it is no number");
        assert!(error.contains("`selvedge_access_log`") && error.contains("from 0"), "{error}");
    }

    #[test]
    fn a_policy_comes_back_whether_it_is_short_or_long() {
        let short = read(POLICY).unwrap_or_else(|errors| panic!("{errors}"));
        let long = Policy { name: "n".repeat(USUAL_POLICY_BYTES), ..short.clone() };
        for written in [short, long] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), blob::encode(&written)).expect("it is written");
            assert_eq!(policy(file.path()), Ok(written));
        }
    }

    #[test]
    fn a_policy_that_is_missing_or_damaged_is_named() {
        let missing = policy(Path::new("/nowhere/policy.bin")).expect_err("it is not there");
        assert!(missing.contains("/nowhere/policy.bin"), "{missing}");
        let this = policy(Path::new("src/lib.rs"));
        let damaged = this.expect_err("it is source");
        assert!(damaged.contains("src/lib.rs") && damaged.contains("not a compiled policy"), "{damaged}");
    }
}
