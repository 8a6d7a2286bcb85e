//! Cloudflare's own runtime: one workerd with the Worker that is deployed, and a server for all backends.

mod backends;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use selvedge_core::policy::blob;
use selvedge_emulator::runtime::cloudflare::{self, ADDRESS_HEADER, CF_HEADER, SCHEME_HEADER, request_cf};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::build;
use crate::case::{Case, Step};
use crate::engine::{SECRET, policy, secrets};
use crate::http1;
use crate::{Observed, Platform, Session};
use backends::Backends;

const WORKER: &str = include_str!("worker.mjs");

/// The platform `cloudflare`.
pub struct Workerd {
    runtime: Arc<Runtime>,
    backends: Backends,
    process: cloudflare::Workerd,
    _folder: TempDir,
    policies: BTreeMap<String, String>,
    next_case: AtomicU32,
}

impl Workerd {
    /// Builds the Worker and starts workerd with every policy of the cases.
    ///
    /// # Errors
    /// When a part is missing; the message says which command brings it.
    pub fn start(cases: &[Case]) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let folder = tempfile::tempdir()?;
        build::handlers(&root, "cloudflare", "edge.toml", &folder.path().join("dist"))?;
        let policies = write_policies(cases, folder.path())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let backends = runtime.block_on(Backends::start())?;
        std::fs::write(folder.path().join("worker.mjs"), WORKER)?;
        std::fs::create_dir(folder.path().join("objects"))?;
        let stores = root.join("adapters/cloudflare/local/stores.mjs");
        std::fs::copy(stores, folder.path().join("stores.mjs"))?;
        std::fs::write(folder.path().join("config.capnp"), config(&policies, backends.address()))?;
        let process = cloudflare::Workerd::start(&cloudflare::program(&root.join("deploy"))?, folder.path())?;
        let (runtime, next_case) = (Arc::new(runtime), AtomicU32::new(1));
        Ok(Self { runtime, backends, process, _folder: folder, policies, next_case })
    }
}

/// Writes each different policy once; returns the name of each by its text.
fn write_policies(cases: &[Case], folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    for case in cases {
        if names.contains_key(&case.policy) {
            continue;
        }
        let name = format!("policy{}", names.len());
        std::fs::write(folder.join(&name), blob::encode(&policy(case)?))?;
        names.insert(case.policy.clone(), name);
    }
    Ok(names)
}

fn config(policies: &BTreeMap<String, String>, backends: SocketAddr) -> String {
    let blobs = policies.values().map(|name| format!("(name = \"{name}\", data = embed \"{name}\")"));
    let secrets = secrets(policies.keys());
    let secrets = secrets.iter().map(|name| format!("(name = \"{name}\", text = \"{SECRET}\")"));
    let bindings: Vec<_> = blobs.chain(secrets).collect();
    include_str!("config.capnp")
        .replace("{{cf-header}}", CF_HEADER)
        .replace("{{scheme-header}}", SCHEME_HEADER)
        .replace("{{backends}}", &backends.to_string())
        .replace("{{bindings}}", &bindings.join(",\n    "))
}

impl Platform for Workerd {
    fn name(&self) -> &'static str {
        "cloudflare"
    }

    fn joins_fields(&self) -> bool {
        true
    }

    fn start(&self, case: &Case) -> anyhow::Result<Box<dyn Session>> {
        let number = self.next_case.fetch_add(1, Ordering::Relaxed).to_string();
        let policy = self.policies.get(&case.policy).context("every policy was written")?.clone();
        self.backends.begin(&number, &case.unreachable);
        Ok(Box::new(WorkerdSession {
            runtime: Arc::clone(&self.runtime),
            backends: self.backends.clone(),
            address: self.process.address(),
            number,
            policy,
        }))
    }
}

struct WorkerdSession {
    runtime: Arc<Runtime>,
    backends: Backends,
    address: SocketAddr,
    number: String,
    policy: String,
}

impl Session for WorkerdSession {
    fn send(&mut self, step: &Step) -> anyhow::Result<Observed> {
        self.backends.set_answers(&self.number, &step.answers);
        let mut cf = request_cf(&step.facts);
        let mut test = json!({ "case": self.number, "policy": self.policy, "now": step.now.as_millis() });
        if let Some(job) = &step.job {
            test["job"] =
                json!({ "source": job.source, "name": job.name, "id": "job", "attempt": job.attempt });
        }
        cf.insert("selvedge".to_owned(), test);
        let scheme = if step.facts.is_https == Some(true) { "https" } else { "http" };
        let client = step.facts.client_ip.context("every client has an address")?.to_string();
        let extra = [
            (CF_HEADER, Value::Object(cf).to_string()),
            (SCHEME_HEADER, scheme.to_owned()),
            (ADDRESS_HEADER, client),
        ];
        // Cloudflare's network takes the place of whatever a client says here.
        let mut step = step.clone();
        step.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(ADDRESS_HEADER));
        let mut observed = self.runtime.block_on(http1::exchange(self.address, &step, &extra))?;
        observed.fetches = self.backends.take_fetches(&self.number);
        Ok(observed)
    }
}
