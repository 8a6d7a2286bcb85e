//! Experiments.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Checker, Scope};
use crate::experiment::bucket::{Namespace, ranges};
use crate::experiment::hash::HashVersion;
use crate::experiment::{BotsTakePart, Experiment, Identity, Sticky, Variation};
use crate::policy::raw;
use crate::policy::report::join;
use crate::route::PathPattern;

/// Browsers keep no cookie longer.
const MAX_COOKIE_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

const DEFAULT_STICKY_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const DEFAULT_IDENTITY_COOKIE: &str = "selvedge_visitor";

impl Checker<'_> {
    pub(super) fn experiments(&mut self, experiments: &BTreeMap<String, raw::Experiment>) -> Vec<Experiment> {
        self.bound("experiments", experiments.len());
        let names: Vec<&str> = experiments.keys().map(String::as_str).collect();
        let checked: Vec<_> =
            experiments.iter().map(|(name, raw)| self.experiment(name, raw, &names)).collect();
        self.shared_cookies(&checked);
        checked
    }

    fn experiment(&mut self, name: &str, raw: &raw::Experiment, names: &[&str]) -> Experiment {
        let path = join("experiments", name);
        let coverage = raw.coverage.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&coverage) {
            self.report.error(join(&path, "coverage"), format!("coverage {coverage} is not from 0 to 1"));
        }
        let variations = self.variations(&path, raw, names);
        let weights = self.weights(&path, &raw.variations);
        Experiment {
            name: name.to_owned(),
            seed: raw.seed.clone().unwrap_or_else(|| name.to_owned()),
            hash_version: self.hash_version(&path, raw.hash_version),
            identity: self.identity(&path, raw),
            namespace: raw.namespace.as_ref().and_then(|namespace| self.namespace(&path, namespace)),
            paths: self.experiment_paths(&path, raw.paths.as_ref()),
            when: self.conditions(&join(&path, "when"), &raw.when),
            sticky: raw.sticky.as_ref().map(|sticky| self.sticky(&path, name, sticky)),
            force_query: raw.force_query.clone(),
            bots: if raw.include_bots { BotsTakePart::Yes } else { BotsTakePart::No },
            variations,
            ranges: ranges(coverage, &weights),
        }
    }

    fn hash_version(&mut self, path: &str, version: Option<u8>) -> HashVersion {
        match version {
            Some(1) => HashVersion::V1,
            Some(2) | None => HashVersion::V2,
            Some(other) => {
                self.report.error(
                    join(path, "hash-version"),
                    format!("hash version {other} does not exist: use 1 or 2"),
                );
                HashVersion::V2
            }
        }
    }

    fn identity(&mut self, path: &str, raw: &raw::Experiment) -> Identity {
        if raw.identity_cookie.is_some() && raw.identity_header.is_some() {
            let message = "a visitor is identified by a cookie or by a header, not by both";
            self.report.error(join(path, "identity-header"), message);
        }
        if let Some(name) = &raw.identity_header {
            self.header_name(&join(path, "identity-header"), name);
            return Identity::Header(name.to_ascii_lowercase());
        }
        let name = raw.identity_cookie.as_deref().unwrap_or(DEFAULT_IDENTITY_COOKIE);
        self.cookie_name(&join(path, "identity-cookie"), name);
        Identity::Cookie(name.to_owned())
    }

    fn namespace(&mut self, path: &str, raw: &raw::Namespace) -> Option<Namespace> {
        let [start, end] = raw.range;
        let is_range = start < end && start >= 0.0 && end <= 1.0;
        if !is_range {
            let message = format!("[{start}, {end}] is not a range within 0 to 1");
            self.report.error(join(&join(path, "namespace"), "range"), message);
        }
        is_range.then(|| Namespace { id: raw.id.clone(), start, end })
    }

    fn experiment_paths(&mut self, path: &str, paths: Option<&raw::OneOrMany>) -> Vec<PathPattern> {
        let Some(paths) = paths else { return Vec::new() };
        let path = join(path, "paths");
        let is_list = matches!(paths, raw::OneOrMany::Many(_));
        let indexed = paths.as_slice().iter().enumerate();
        let place = |at: usize| if is_list { format!("{path}[{at}]") } else { path.clone() };
        indexed.filter_map(|(at, text)| self.path_pattern(&place(at), text)).collect()
    }

    fn sticky(&mut self, path: &str, name: &str, raw: &raw::Sticky) -> Sticky {
        let path = join(path, "sticky");
        let cookie = raw.cookie.clone().unwrap_or_else(|| format!("selvedge_{name}"));
        self.cookie_name(&join(&path, "cookie"), &cookie);
        let max_age = raw.max_age.as_ref().and_then(|text| {
            self.duration(&join(&path, "max-age"), text, Duration::from_secs(1), MAX_COOKIE_AGE)
        });
        Sticky { cookie, max_age: max_age.unwrap_or(DEFAULT_STICKY_AGE) }
    }

    fn variations(&mut self, path: &str, raw: &raw::Experiment, names: &[&str]) -> Vec<Variation> {
        let path = join(path, "variations");
        if raw.variations.len() < 2 {
            self.report.error(&path, "an experiment needs at least two variations");
        }
        let scope = Scope { captures: &[], experiments: names };
        let mut variations: Vec<Variation> = Vec::new();
        for (at, variation) in raw.variations.iter().enumerate() {
            let variation = self.variation(&format!("{path}[{at}]"), variation, scope);
            if variations.iter().any(|other| other.name == variation.name) {
                let message = format!("variation name `{}` is taken", variation.name);
                self.report.error(format!("{path}[{at}].name"), message);
            }
            variations.push(variation);
        }
        variations
    }

    fn variation(&mut self, path: &str, raw: &raw::ExperimentVariation, scope: Scope<'_>) -> Variation {
        let name = raw.name.clone().unwrap_or_default();
        let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(is_word) {
            let help = "it ends up in cookies: use letters, digits, `-`, `_` and `.`";
            self.report.error_with_help(path, "a variation needs a `name`", help);
        }
        Variation {
            name,
            backend: raw.backend.as_ref().and_then(|name| self.backend(&join(path, "backend"), name)),
            rewrite: raw.rewrite.as_ref().and_then(|text| self.rewrite(&join(path, "rewrite"), text, scope)),
            request_headers: self.header_templates(
                &join(path, "request-headers"),
                &raw.request_headers,
                scope,
            ),
            response_headers: self.header_templates(
                &join(path, "response-headers"),
                &raw.response_headers,
                scope,
            ),
        }
    }

    /// Reads weights that can be shared out.
    fn weights(&mut self, path: &str, variations: &[raw::ExperimentVariation]) -> Vec<f64> {
        let path = join(path, "variations");
        let weights: Vec<f64> = variations.iter().map(|variation| variation.weight.unwrap_or(1.0)).collect();
        for (at, weight) in weights.iter().enumerate() {
            if !(weight.is_finite() && *weight >= 0.0) {
                self.report.error(
                    format!("{path}[{at}].weight"),
                    format!("weight {weight} is not a number from 0 up"),
                );
            }
        }
        let sum: f64 = weights.iter().sum();
        if sum == 0.0 && !weights.is_empty() {
            self.report.error_with_help(
                path,
                "the weights sum to nothing",
                "give at least one variation a weight",
            );
        }
        weights
    }

    fn shared_cookies(&mut self, experiments: &[Experiment]) {
        let cookie = |experiment: &Experiment| experiment.sticky.as_ref().map(|sticky| sticky.cookie.clone());
        for (at, experiment) in experiments.iter().enumerate() {
            let Some(own) = cookie(experiment) else { continue };
            if let Some(other) = experiments[..at].iter().find(|other| cookie(other).as_ref() == Some(&own)) {
                let path = join(&join("experiments", &experiment.name), "sticky");
                let message =
                    format!("cookie `{own}` already keeps the variation of experiment `{}`", other.name);
                self.report.error(join(&path, "cookie"), message);
            }
        }
    }
}
