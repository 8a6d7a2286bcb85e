//! What `wrangler` deploys: the Worker, its module, the compiled policy and `wrangler.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use selvedge_core::bot::rules::BotAction;
use selvedge_core::job::{Queue, QueueStore};
use selvedge_core::policy::{Policy, blob};

use super::module::{self, Host};
use super::source::quote;
use super::{Project, Written, empty_folder, source, write};

/// The date whose behaviour the Worker is written for
/// (<https://developers.cloudflare.com/workers/configuration/compatibility-dates/>).
pub(crate) const COMPATIBILITY_DATE: &str = "2026-10-01";

/// What that date does not bring yet, as a list: a Worker is told that its client has gone
/// (<https://developers.cloudflare.com/workers/configuration/compatibility-flags/#enable-requestsignal-for-incoming-requests>).
pub(crate) const COMPATIBILITY_FLAGS: &str = "[\"enable_request_signal\"]";

const INDEX: &str = include_str!("../../../adapters/cloudflare/worker/index.mjs");

const INDEX_JOBS: &str = include_str!("../../../adapters/cloudflare/worker/index_jobs.mjs");

const JOBS: &str = include_str!("../../../adapters/cloudflare/worker/jobs.mjs");

const COUNTER: &str = include_str!("../../../adapters/cloudflare/worker/counter.mjs");

const QUEUE: &str = include_str!("../../../adapters/cloudflare/worker/queue.mjs");

const WORKER: [(&str, &str); 8] = [
    ("runtime.mjs", include_str!("../../../adapters/cloudflare/worker/runtime.mjs")),
    ("platform.mjs", include_str!("../../../adapters/cloudflare/worker/platform.mjs")),
    ("access.mjs", include_str!("../../../adapters/js/access.mjs")),
    ("access_line.mjs", include_str!("../../../adapters/js/access_line.mjs")),
    ("bodies.mjs", include_str!("../../../adapters/js/bodies.mjs")),
    ("driver.mjs", include_str!("../../../adapters/js/driver.mjs")),
    ("exchange.mjs", include_str!("../../../adapters/js/exchange.mjs")),
    ("instance.mjs", include_str!("../../../adapters/js/instance.mjs")),
];

/// What a policy needs of Cloudflare beside the Worker itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// A Durable Object that counts, for limits.
    pub(crate) counters: bool,
    /// A Durable Object that keeps messages, for queues.
    pub(crate) queues: bool,
    /// Cloudflare Queues or Cron Triggers.
    pub(crate) events: bool,
    /// A KV namespace, for handlers.
    pub(crate) kv: bool,
    /// A dataset of Analytics Engine, for exposures and handlers' events.
    pub(crate) records: bool,
}

impl Needs {
    pub(crate) fn of(policy: &Policy) -> Self {
        let has_handlers = policy.handlers().next().is_some();
        let stores = |store| policy.queues.iter().any(|queue| queue.store == store);
        Self {
            queues: stores(QueueStore::Edge),
            events: stores(QueueStore::Platform) || !policy.schedules.is_empty(),
            counters: policy.bots.rules.values().any(|action| matches!(action, BotAction::Limit(_))),
            kv: has_handlers,
            records: has_handlers || !policy.experiments.is_empty() || !policy.queues.is_empty(),
        }
    }

    /// Whether the module of what is stateful is shipped.
    pub(crate) fn state(self) -> bool {
        self.counters || self.queues
    }
}

/// Writes everything into a folder.
pub(crate) fn build(project: &Project, out: &Path) -> anyhow::Result<Vec<Written>> {
    let sources = source::find(project)?;
    let needs = Needs::of(&project.policy);
    let wasm = module::policy(&sources, Host::JavaScript)?;
    let state = if needs.state() { Some(module::state(&sources)?) } else { None };
    empty_folder(out, "wrangler.toml")?;
    let mut written = Vec::new();
    written.push(write(out, "index.mjs", index(needs).as_bytes())?);
    if needs.events {
        written.push(write(out, "jobs.mjs", JOBS.as_bytes())?);
    }
    for (name, text) in WORKER {
        written.push(write(out, name, text.as_bytes())?);
    }
    if let Some(files) = state {
        written.push(write(out, "counter.mjs", COUNTER.as_bytes())?);
        written.push(write(out, "queue.mjs", QUEUE.as_bytes())?);
        for (name, content) in files {
            written.push(write(out, &name, &content)?);
        }
    }
    written.push(write(out, "policy.wasm", &wasm)?);
    written.push(write(out, "policy.bin", &blob::encode(&project.policy))?);
    written.push(write(out, "wrangler.toml", wrangler_toml(&project.policy).as_bytes())?);
    Ok(written)
}

/// The Worker's main module. Both classes go with the module of what is stateful: a deployment that once had
/// a class cannot do without it.
fn index(needs: Needs) -> String {
    let main = if needs.events { INDEX_JOBS } else { INDEX };
    if needs.state() {
        format!(
            "{main}\nexport {{ Counter }} from \"./counter.mjs\";\nexport {{ Queue }} from \"./queue.mjs\";\n"
        )
    } else {
        main.to_owned()
    }
}

fn wrangler_toml(policy: &Policy) -> String {
    let name = worker_name(&policy.name);
    let needs = Needs::of(policy);
    let mut text = format!(
        "# Made by `selvedge build --target cloudflare`; changes are written over.\n\
         name = {}\nmain = \"index.mjs\"\ncompatibility_date = \"{COMPATIBILITY_DATE}\"\n\
         compatibility_flags = {COMPATIBILITY_FLAGS}\n",
        quote(&name)
    );
    let secrets = policy.secrets();
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
                 class_name = \"Counter\"\n";
    }
    if needs.queues {
        text += "\n# Messages of queues.\n[[durable_objects.bindings]]\nname = \"SELVEDGE_QUEUES\"\n\
                 class_name = \"Queue\"\n";
    }
    if needs.state() {
        text += "\n[[migrations]]\ntag = \"v1\"\nnew_sqlite_classes = [\"Counter\", \"Queue\"]\n";
    }
    text + &events(policy, &name)
}

/// The policy's queues that are Cloudflare's, and its schedules.
fn events(policy: &Policy, name: &str) -> String {
    let mut text = String::new();
    let queues: Vec<_> = policy.queues.iter().filter(|queue| queue.store == QueueStore::Platform).collect();
    for queue in &queues {
        text += &platform_queue(&platform_queue_name(policy, queue), queue);
    }
    let mut schedules = BTreeMap::<_, Vec<_>>::new();
    for schedule in &policy.schedules {
        schedules.entry(quote(&schedule.cron.to_string())).or_default().push(quote(&schedule.name));
    }
    if !schedules.is_empty() {
        let crons: Vec<_> = schedules.keys().map(String::as_str).collect();
        text += &format!("\n# Schedules, in UTC.\n[triggers]\ncrons = [{}]\n", crons.join(", "));
    }
    if !queues.is_empty() || !schedules.is_empty() {
        text += "\n[vars]\n";
    }
    if !queues.is_empty() {
        text += &format!("SELVEDGE_QUEUE_PREFIX = {}\n", quote(&format!("{name}-")));
    }
    if !schedules.is_empty() {
        let named = schedules.iter().map(|(cron, names)| format!("{cron} = [{}]", names.join(", ")));
        text += &format!("SELVEDGE_SCHEDULES = {{ {} }}\n", named.collect::<Vec<_>>().join(", "));
    }
    text
}

/// What one of Cloudflare's queues is called: its names are those of an account.
pub(crate) fn platform_queue_name(policy: &Policy, queue: &Queue) -> String {
    format!("{}-{}", worker_name(&policy.name), queue.name)
}

/// A queue of Cloudflare's: the policy counts attempts itself, so Cloudflare allows as many as it can.
fn platform_queue(name: &str, queue: &Queue) -> String {
    let binding = quote(&format!("SELVEDGE_QUEUE_{}", queue.name.replace('-', "_").to_uppercase()));
    let name = quote(name);
    format!(
        "\n# Make it once with `wrangler queues create {name}`.\n\
         [[queues.producers]]\nbinding = {binding}\nqueue = {name}\n\n\
         [[queues.consumers]]\nqueue = {name}\nmax_batch_timeout = 1\nmax_retries = 100\n"
    )
}

/// A Worker's name: lower-case letters, digits and hyphens, at most 63.
pub(super) fn worker_name(policy: &str) -> String {
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
        let none = Needs { counters: false, queues: false, events: false, kv: false, records: false };
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
            (
                "[backends.a]\nurl = \"http://a.test\"\n[queues.q]\nbackend = \"a\"",
                Needs { queues: true, records: true, ..none },
            ),
            (
                "[backends.a]\nurl = \"http://a.test\"\n[queues.q]\nbackend = \"a\"\nstore = \"platform\"",
                Needs { events: true, records: true, ..none },
            ),
            (
                "[backends.a]\nurl = \"http://a.test\"\n[schedules.s]\nbackend = \"a\"\ncron = \"0 3 * * *\"",
                Needs { events: true, ..none },
            ),
        ];
        for (text, needs) in rows {
            let policy = read(text).unwrap_or_else(|errors| panic!("{text}: {errors}"));
            assert_eq!(Needs::of(&policy), needs, "{text}");
            let toml = wrangler_toml(&policy);
            let bindings = [
                ("SELVEDGE_COUNTERS", needs.counters),
                ("SELVEDGE_QUEUES\"", needs.queues),
                ("[[migrations]]", needs.state()),
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
