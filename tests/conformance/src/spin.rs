//! Spin: the component on the emulator's host, an instance with the policy of each case.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use selvedge_core::facts::Facts;
use selvedge_core::policy::{Policy, blob};
use selvedge_core::spin::Front;
use selvedge_emulator::runtime::spin::{self, ADDRESS_HEADER, SCHEME_HEADER, SpinApp, SpinConfig};
use selvedge_emulator::{Clock, ManualClock};
use selvedge_spin::variables::{ACCESS_LOG, Variables};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::build;
use crate::case::{Case, START, Step};
use crate::engine::{SECRET, labels, placed, policy};
use crate::http1;
use crate::origin::Origins;
use crate::{Observed, Platform, Session};

/// Longest time of one request: longer than any backend's timeout.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The platform `spin`.
#[derive(Debug)]
pub struct Spin {
    folder: TempDir,
}

impl Spin {
    /// Builds the component.
    ///
    /// # Errors
    /// When a part is missing; the message says which command brings it.
    pub fn build() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let folder = tempfile::tempdir()?;
        build::handlers(&root, "spin", "edge-only.toml", folder.path())?;
        Ok(Self { folder })
    }

    /// Writes an application with the component that was built and a policy, which may reach any backend on this machine, and returns
    /// the values of its variables.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, policy: &Policy) -> anyhow::Result<BTreeMap<String, String>> {
        std::fs::copy(self.folder.path().join("edge.wasm"), folder.join("edge.wasm"))?;
        std::fs::write(folder.join("policy.bin"), blob::encode(policy))?;
        let variables = Variables::of(policy);
        let secrets: Vec<_> = variables.secrets().map(|(_, variable)| variable).collect();
        let others = variables.backends().flatten().map(String::as_str).chain([ACCESS_LOG]);
        std::fs::write(folder.join("spin.toml"), manifest(&secrets, &others.collect::<Vec<_>>()))?;
        Ok(secrets.into_iter().map(|name| (name.to_owned(), SECRET.to_owned())).collect())
    }
}

/// A manifest as `selvedge build` makes it, but for the backends, which are wherever a test's servers listen.
fn manifest(secrets: &[&str], others: &[&str]) -> String {
    let text = "spin_manifest_version = 2\n[application]\nname = \"conformance\"\nversion = \"1.0.0\"\n\
                    [[trigger.http]]\nroute = \"/...\"\ncomponent = \"edge\"\n\
                    [component.edge]\nsource = \"edge.wasm\"\n\
                    files = [{ source = \"policy.bin\", destination = \"/policy.bin\" }]\n\
                    allowed_outbound_hosts = [\"*://127.0.0.1:*\"]\nkey_value_stores = [\"default\"]\n"
        .to_owned();
    let secret = secrets.iter().map(|name| format!("{name} = {{ required = true, secret = true }}\n"));
    // One that is empty changes nothing.
    let optional = others.iter().map(|name| format!("{name} = {{ default = \"\" }}\n"));
    let declared = secret.chain(optional);
    let given = secrets.iter().chain(others).map(|name| format!("{name} = \"{{{{ {name} }}}}\"\n"));
    let (declared, given) = (declared.collect::<String>(), given.collect::<String>());
    format!("{text}[component.edge.variables]\n{given}[variables]\n{declared}")
}

fn told_by_spin(facts: &Facts) -> Facts {
    let mut told = Facts::default();
    (told.client_ip, told.is_https) = (facts.client_ip, facts.is_https);
    told
}

impl Platform for Spin {
    fn name(&self) -> &'static str {
        "spin"
    }

    fn start(&self, case: &Case) -> anyhow::Result<Box<dyn Session>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let origins = runtime.block_on(Origins::start(&labels(case)?, &case.unreachable))?;
        let mut policy = placed(policy(case)?, &origins);
        // Spin itself knows nothing else of a client than these; the rest is what the front tells.
        let has_front = policy.spin.front.is_some()
            || case.steps.iter().any(|step| step.facts != told_by_spin(&step.facts));
        policy.spin.front = has_front.then_some(Front::Akamai);
        let folder = tempfile::tempdir()?;
        let clock = ManualClock::new(START);
        let mut config = SpinConfig::new(folder.path().to_owned());
        config.variables = self.write(folder.path(), &policy)?;
        config.clock = Clock::Manual(clock.clone());
        config.trusts_edge = true;
        config.timeout = TIMEOUT;
        config.threads = 1;
        config.output = Some(File::create(folder.path().join("output"))?);
        let application = SpinApp::start(config)?;
        Ok(Box::new(ApplicationSession { runtime, origins, application, clock, has_front, _folder: folder }))
    }
}

struct ApplicationSession {
    runtime: Runtime,
    origins: Origins,
    application: SpinApp,
    clock: ManualClock,
    has_front: bool,
    _folder: TempDir,
}

impl Session for ApplicationSession {
    fn send(&mut self, step: &Step) -> anyhow::Result<Observed> {
        ensure!(step.job.is_none(), "Spin has no jobs");
        self.clock.set(step.now);
        self.origins.set_answers(&step.answers);
        let mut extra = spin::headers(&step.facts);
        extra.retain(|(name, _)| self.has_front || matches!(*name, ADDRESS_HEADER | SCHEME_HEADER));
        let mut step = step.clone();
        step.headers.retain(|(name, _)| !extra.iter().any(|(own, _)| name.eq_ignore_ascii_case(own)));
        let mut observed =
            self.runtime.block_on(http1::exchange(self.application.address(), &step, &extra))?;
        self.runtime.block_on(self.application.settled());
        observed.fetches = self.origins.take_fetches();
        Ok(observed)
    }
}
