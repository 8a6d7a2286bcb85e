//! Cloudflare's runtime behind the local point of presence.

use std::path::PathBuf;

use anyhow::Context as _;
use selvedge_core::policy::{Policy, blob};
use selvedge_emulator::runtime::cloudflare::{CF_HEADER, SCHEME_HEADER, Workerd, program};
use selvedge_emulator::runtime::{Platform, RuntimeHandle};

use crate::build::cloudflare::{COMPATIBILITY_DATE, COMPATIBILITY_FLAGS, Needs};
use crate::build::{Project, cloudflare};
use crate::cli::DIM;
use crate::tools;

use super::Retired;

/// Files of a build that workerd is told of.
const MODULES: [&str; 15] = [
    "index.mjs",
    "runtime.mjs",
    "jobs.mjs",
    "queue.mjs",
    "access.mjs",
    "access_line.mjs",
    "bodies.mjs",
    "driver.mjs",
    "exchange.mjs",
    "instance.mjs",
    "platform.mjs",
    "policy.wasm",
    "counter.mjs",
    "state.js",
    "state_bg.wasm",
];

/// Durable Objects: binding, class, and the name of its storage.
const OBJECTS: [(&str, &str, &str); 2] =
    [("SELVEDGE_COUNTERS", "Counter", "counter"), ("SELVEDGE_QUEUES", "Queue", "queue")];

/// A workerd with the policy in use.
pub(crate) struct Worker {
    program: PathBuf,
    folder: PathBuf,
    handle: RuntimeHandle,
    running: Workerd,
    retired: Retired<Workerd>,
    /// The policy for which the module was built; another one needs the same parts.
    needs: Needs,
    reloads: u32,
}

impl Worker {
    /// Builds the Worker and starts workerd on it.
    pub(crate) fn start(project: &Project) -> anyhow::Result<Self> {
        let program = program(&tools::folder()?)?;
        anstream::eprintln!("{DIM}building the Worker{DIM:#}");
        let folder = project.folder.join("dist/dev-cloudflare");
        cloudflare::build(project, &folder)?;
        std::fs::write(
            folder.join("stores.mjs"),
            include_str!("../../../adapters/cloudflare/local/stores.mjs"),
        )?;
        std::fs::create_dir_all(folder.join("objects"))?;
        write_config(&folder, &project.policy, "policy.bin")?;
        let running = Workerd::start(&program, &folder)?;
        let handle = RuntimeHandle::new(running.address());
        Ok(Self {
            program,
            folder,
            handle,
            running,
            retired: Retired::default(),
            needs: Needs::of(&project.policy),
            reloads: 0,
        })
    }

    pub(crate) fn platform(&self) -> Platform {
        Platform::Cloudflare(self.handle.clone())
    }

    /// Lets another policy answer from the next request on; nothing is compiled.
    pub(crate) fn reload(&mut self, policy: &Policy) -> anyhow::Result<()> {
        if Needs::of(policy).state() && !self.needs.state() {
            anyhow::bail!(
                "the policy limits clients or has queues now, which needs another part of the Worker; start again"
            );
        }
        self.reloads += 1;
        let name = format!("policy-{}.bin", self.reloads);
        let path = self.folder.join(&name);
        std::fs::write(&path, blob::encode(policy))
            .with_context(|| format!("cannot write {}", path.display()))?;
        write_config(&self.folder, policy, &name)?;
        let next = Workerd::start(&self.program, &self.folder)?;
        self.handle.replace(next.address());
        self.retired.push(std::mem::replace(&mut self.running, next));
        Ok(())
    }
}

fn write_config(folder: &std::path::Path, policy: &Policy, policy_file: &str) -> anyhow::Result<()> {
    let snippets = (0..8).map(|number| format!("state_{number}.js"));
    let names =
        MODULES.into_iter().map(str::to_owned).chain(snippets).filter(|name| folder.join(name).is_file());
    let modules = names.map(|name| {
        let kind = if name.ends_with(".wasm") { "wasm" } else { "esModule" };
        format!("(name = \"{name}\", {kind} = embed \"{name}\")")
    });
    let modules: Vec<_> =
        modules.chain([format!("(name = \"policy.bin\", data = embed \"{policy_file}\")")]).collect();
    let mut bindings =
        vec!["(name = \"SELVEDGE_KV\", kvNamespace = (name = \"stores\", entrypoint = \"kv\"))".to_owned()];
    for secret in policy.secrets() {
        bindings.push(format!("(name = \"{secret}\", fromEnvironment = \"{secret}\")"));
    }
    let mut objects = String::new();
    if Needs::of(policy).state() {
        let mut namespaces = Vec::new();
        for (binding, class, key) in OBJECTS {
            bindings.push(format!("(name = \"{binding}\", durableObjectNamespace = \"{class}\")"));
            namespaces.push(format!("(className = \"{class}\", uniqueKey = \"{key}\", enableSql = true)"));
        }
        objects = format!(
            "durableObjectNamespaces = [{}],\n  durableObjectStorage = (localDisk = \"objects\"),",
            namespaces.join(", ")
        );
    }
    let text = include_str!("../../templates/cloudflare/config.capnp")
        .replace("{{cf-header}}", CF_HEADER)
        .replace("{{scheme-header}}", SCHEME_HEADER)
        .replace("{{date}}", COMPATIBILITY_DATE)
        .replace("{{flags}}", COMPATIBILITY_FLAGS)
        .replace("{{modules}}", &modules.join(",\n    "))
        .replace("{{bindings}}", &bindings.join(",\n    "))
        .replace("{{objects}}", &objects);
    let path = folder.join("config.capnp");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
