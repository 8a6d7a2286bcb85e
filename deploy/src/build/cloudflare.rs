//! What `wrangler` deploys: the Worker, its module, the compiled policy and `wrangler.toml`.

use std::path::Path;

use selvedge_core::backend::HeaderSource;
use selvedge_core::bot::rules::BotAction;
use selvedge_core::policy::{Policy, blob};

use super::source::quote;
use super::{Project, Written, empty_folder, module, source, write};

/// The date whose behaviour the Worker is written for
/// (<https://developers.cloudflare.com/workers/configuration/compatibility-dates/>).
pub(crate) const COMPATIBILITY_DATE: &str = "2026-10-01";

const INDEX: &str = include_str!("../../../adapters/cloudflare/worker/index.mjs");

const COUNTER: &str = include_str!("../../../adapters/cloudflare/worker/counter.mjs");

const WORKER: [(&str, &str); 3] = [
    ("platform.mjs", include_str!("../../../adapters/cloudflare/worker/platform.mjs")),
    ("driver.mjs", include_str!("../../../adapters/js/driver.mjs")),
    ("instance.mjs", include_str!("../../../adapters/js/instance.mjs")),
];

/// What a policy needs of Cloudflare beside the Worker itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// A Durable Object that counts, for limits.
    pub(crate) counters: bool,
    /// A KV namespace, for handlers.
    pub(crate) kv: bool,
    /// A dataset of Analytics Engine, for exposures and handlers' events.
    pub(crate) records: bool,
}

impl Needs {
    pub(crate) fn of(policy: &Policy) -> Self {
        let has_handlers =
            policy.routes.iter().any(|route| matches!(route.action, selvedge_core::route::Action::Handle(_)));
        Self {
            counters: policy.bots.rules.values().any(|action| matches!(action, BotAction::Limit(_))),
            kv: has_handlers,
            records: has_handlers || !policy.experiments.is_empty(),
        }
    }
}

/// Writes everything into a folder.
pub(crate) fn build(project: &Project, out: &Path) -> anyhow::Result<Vec<Written>> {
    let sources = source::find(project)?;
    let needs = Needs::of(&project.policy);
    let wasm = module::policy(&sources)?;
    let state = if needs.counters { Some(module::state(&sources)?) } else { None };
    empty_folder(out, "wrangler.toml")?;
    let mut written = Vec::new();
    let export = if needs.counters { "\nexport { Counter } from \"./counter.mjs\";\n" } else { "" };
    written.push(write(out, "index.mjs", format!("{INDEX}{export}").as_bytes())?);
    for (name, text) in WORKER {
        written.push(write(out, name, text.as_bytes())?);
    }
    if let Some(files) = state {
        written.push(write(out, "counter.mjs", COUNTER.as_bytes())?);
        for (name, content) in files {
            written.push(write(out, &name, &content)?);
        }
    }
    written.push(write(out, "policy.wasm", &wasm)?);
    written.push(write(out, "policy.bin", &blob::encode(&project.policy))?);
    written.push(write(out, "wrangler.toml", wrangler_toml(&project.policy).as_bytes())?);
    Ok(written)
}

/// Names of the environment that backends' headers are read from.
pub(crate) fn secrets(policy: &Policy) -> Vec<&str> {
    let headers = policy.backends.iter().flat_map(|backend| &backend.request_headers);
    let mut names: Vec<_> = headers
        .filter_map(|(_, source)| match source {
            HeaderSource::Env(name) => Some(name.as_str()),
            HeaderSource::Text(_) => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn wrangler_toml(policy: &Policy) -> String {
    let name = worker_name(&policy.name);
    let needs = Needs::of(policy);
    let mut text = format!(
        "# Made by `selvedge build --target cloudflare`; changes are written over.\n\
         name = {}\nmain = \"index.mjs\"\ncompatibility_date = \"{COMPATIBILITY_DATE}\"\n",
        quote(&name)
    );
    let secrets = secrets(policy);
    if !secrets.is_empty() {
        text += "\n# Secrets that backends need; set each once with `wrangler secret put NAME`:\n";
        for secret in secrets {
            text += &format!("#   {secret}\n");
        }
    }
    if needs.kv {
        text += "\n# Handlers' key-value store; `wrangler deploy` makes the namespace when it is not there.\n\
                 [[kv_namespaces]]\nbinding = \"SELVEDGE_KV\"\n";
    }
    if needs.records {
        text += &format!(
            "\n# Exposures and events.\n[[analytics_engine_datasets]]\nbinding = \"SELVEDGE_RECORDS\"\ndataset = {}\n",
            quote(&name.replace('-', "_"))
        );
    }
    if needs.counters {
        text += "\n# Counters of limits.\n[[durable_objects.bindings]]\nname = \"SELVEDGE_COUNTERS\"\n\
                 class_name = \"Counter\"\n\n[[migrations]]\ntag = \"v1\"\nnew_sqlite_classes = [\"Counter\"]\n";
    }
    text
}

/// A Worker's name: lower-case letters, digits and hyphens, at most 63.
fn worker_name(policy: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = policy.chars().map(plain).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "selvedge".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    #[test]
    fn a_policy_gets_the_bindings_it_needs_and_no_others() {
        let none = Needs { counters: false, kv: false, records: false };
        let rows = [
            ("", none),
            (
                "[bots.rules]\nseo = { action = \"limit\", requests = 1, per = \"10s\" }",
                Needs { counters: true, ..none },
            ),
            ("[[routes]]\npath = \"/\"\nhandler = \"a\"", Needs { kv: true, records: true, ..none }),
            (
                "[experiments.a]\nvariations = [{ name = \"b\" }, { name = \"c\" }]",
                Needs { records: true, ..none },
            ),
        ];
        for (text, needs) in rows {
            let policy = read(text).unwrap_or_else(|errors| panic!("{text}: {errors}"));
            assert_eq!(Needs::of(&policy), needs, "{text}");
            let toml = wrangler_toml(&policy);
            let bindings = [
                ("SELVEDGE_COUNTERS", needs.counters),
                ("SELVEDGE_KV", needs.kv),
                ("SELVEDGE_RECORDS", needs.records),
            ];
            for (binding, is_there) in bindings {
                assert_eq!(toml.contains(binding), is_there, "{binding} in {toml}");
            }
        }
    }

    #[test]
    fn a_workers_name_is_one_that_wrangler_takes() {
        for (policy, name) in [
            ("storefront", "storefront"),
            ("My Shop!", "my-shop"),
            ("", "selvedge"),
            ("--", "selvedge"),
            ("Käse", "k-se"),
        ] {
            assert_eq!(worker_name(policy), name, "{policy}");
        }
        assert_eq!(worker_name(&"a".repeat(100)).len(), 63);
    }
}
