//! What the environment says: where the policy is, and what the deployment chose.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use selvedge_core::engine::{Engine, EngineBuilder};
use selvedge_core::policy::{Policy, blob};
use selvedge_log::sample::SampleRate;
use subtle::ConstantTimeEq as _;

/// Names another file than `policy.bin` beside the binary.
pub(crate) const POLICY: &str = "SELVEDGE_POLICY";

/// How the function URL invokes the function: `BUFFERED`, the default, or `RESPONSE_STREAM`.
pub(crate) const INVOKE_MODE: &str = "SELVEDGE_INVOKE_MODE";

/// The secret by which CloudFront proves itself.
pub(crate) const CLOUDFRONT_SECRET: &str = "SELVEDGE_CLOUDFRONT_SECRET";

/// The share of requests whose records are logged, from 0 to 1; without it nothing is written of requests.
pub(crate) const ACCESS_LOG: &str = "SELVEDGE_ACCESS_LOG";

/// Shortest secret that is believed to be one.
const MIN_SECRET_BYTES: usize = 16;

/// What the deployment chose.
#[derive(Debug)]
pub(crate) struct Settings {
    policy: PathBuf,
    /// Whether the front takes responses as streams.
    pub(crate) streams: bool,
    /// What CloudFront sends to be believed.
    pub(crate) secret: Option<Secret>,
    /// How many requests have a record in the log, beside their metrics; `None` for no word about requests at all.
    pub(crate) access_log: Option<SampleRate>,
}

/// A secret that is compared and never shown.
pub(crate) struct Secret(Vec<u8>);

impl Settings {
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        Self::read(variable)
    }

    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let beside = || PathBuf::from(variable("LAMBDA_TASK_ROOT").unwrap_or_default()).join("policy.bin");
        let streams = match variable(INVOKE_MODE).as_deref() {
            None | Some("BUFFERED") => false,
            Some("RESPONSE_STREAM") => true,
            Some(other) => bail!("{INVOKE_MODE} is `{other}`, and neither BUFFERED nor RESPONSE_STREAM"),
        };
        let share = |text: String| {
            text.parse().map_err(|error| anyhow!("{ACCESS_LOG} is `{text}`, which is {error}"))
        };
        Ok(Self {
            access_log: variable(ACCESS_LOG).map(share).transpose()?,
            policy: variable(POLICY).map_or_else(beside, PathBuf::from),
            streams,
            secret: variable(CLOUDFRONT_SECRET).map(Secret::new).transpose()?,
        })
    }

    /// Compiles the policy with the handlers that it names and the secrets of the environment.
    pub(crate) fn engine(&self, handlers: fn(EngineBuilder) -> EngineBuilder) -> anyhow::Result<Arc<Engine>> {
        let builder = Engine::builder(self.policy()?).environment(variable).without_store();
        handlers(builder).compile().map(Arc::new).map_err(|error| anyhow!("{error}"))
    }

    fn policy(&self) -> anyhow::Result<Policy> {
        let path = self.policy.display();
        let bytes = std::fs::read(&self.policy)
            .with_context(|| format!("cannot read the policy {path} (`selvedge build` writes it)"))?;
        blob::decode(&bytes).map_err(|error| anyhow!("{path}: {error}"))
    }
}

/// A variable that is not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Secret {
    fn new(text: String) -> anyhow::Result<Self> {
        if text.len() < MIN_SECRET_BYTES {
            bail!(
                "{CLOUDFRONT_SECRET} has {} bytes and not at least {MIN_SECRET_BYTES}; take 32 random ones",
                text.len()
            );
        }
        Ok(Self(text.into_bytes()))
    }

    /// Compares in a time that tells nothing but the length.
    pub(crate) fn is(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Settings::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_policy_lies_beside_the_binary_unless_another_is_named() {
        let beside = settings(&[("LAMBDA_TASK_ROOT", "/var/task")]).unwrap();
        assert_eq!(beside.policy, PathBuf::from("/var/task/policy.bin"));
        let named = settings(&[("LAMBDA_TASK_ROOT", "/var/task"), (POLICY, "/opt/p.bin")]).unwrap();
        assert_eq!(named.policy, PathBuf::from("/opt/p.bin"));
    }

    #[test]
    fn the_invoke_mode_is_one_of_two_words() {
        assert!(!settings(&[]).unwrap().streams);
        assert!(!settings(&[(INVOKE_MODE, "BUFFERED")]).unwrap().streams);
        assert!(settings(&[(INVOKE_MODE, "RESPONSE_STREAM")]).unwrap().streams);
        let error = settings(&[(INVOKE_MODE, "response_stream")]).unwrap_err().to_string();
        assert!(error.contains("response_stream"), "{error}");
    }

    #[test]
    fn the_access_log_is_a_share_of_requests_and_off_unless_wanted() {
        assert_eq!(settings(&[]).unwrap().access_log, None);
        for (text, share) in [("1", 1.0), ("0.1", 0.1), ("0", 0.0)] {
            assert_eq!(settings(&[(ACCESS_LOG, text)]).unwrap().access_log, SampleRate::new(share), "{text}");
        }
        let error = settings(&[(ACCESS_LOG, "on")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "SELVEDGE_ACCESS_LOG is `on`, which is no share of requests from 0 (none) to 1 (all)"
        );
    }

    #[test]
    fn a_short_secret_is_refused_and_never_shown() {
        let error = settings(&[(CLOUDFRONT_SECRET, "0123456789abcde")]).unwrap_err().to_string();
        assert!(error.contains("15 bytes") && !error.contains("0123"), "{error}");
        let settings = settings(&[(CLOUDFRONT_SECRET, "0123456789abcdef")]).unwrap();
        let secret = settings.secret.as_ref().unwrap();
        assert!(secret.is(b"0123456789abcdef"));
        assert!(!secret.is(b"0123456789abcdeg") && !secret.is(b"0123456789abcde") && !secret.is(b""));
        assert!(!format!("{settings:?}").contains("0123"));
    }
}
