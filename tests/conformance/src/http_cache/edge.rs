//! Edges that the suite judges.

use std::any::Any;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use selvedge_core::engine::Engine;
use selvedge_core::policy::read::read;
use selvedge_emulator::runtime::cloudflare::{CF_HEADER, Workerd, program};
use selvedge_emulator::{Emulator, EmulatorConfig, EngineHandle, PolicyInfo};

use crate::build;

/// The policy of every edge, in the crate's folder.
const POLICY: &str = "tests/conformance/http-cache/edge.toml";

/// Where the policy's only backend is before it has an address.
const PLACE: &str = "http://origin.example.com";

/// A method that tests use beside those that an edge lets in unless told otherwise. Workers do not know it.
const METHOD: &str = "M-SEARCH";

/// What workerd is told: the Worker, its stores, and one server for every backend.
const CONFIG: &str = include_str!("config.capnp");

/// A place with a cache of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// The local edge.
    Emulator,
    /// The Worker that is deployed, on Cloudflare's own runtime.
    Cloudflare,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 2] = [Self::Emulator, Self::Cloudflare];

    /// Finds a platform by its name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.name() == name)
    }

    /// The name, as the conformance suite has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Emulator => "emulator",
            Self::Cloudflare => "cloudflare",
        }
    }

    /// Starts an edge in front of a server; `root` is the repository's.
    ///
    /// # Errors
    /// When the policy is refused or a part is missing.
    pub fn start(self, root: &Path, origin: SocketAddr) -> anyhow::Result<Edge> {
        match self {
            Self::Emulator => emulator(root, origin),
            Self::Cloudflare => cloudflare(root, origin),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An edge that listens; it ends when dropped.
#[derive(Debug)]
pub struct Edge {
    address: SocketAddr,
    _running: Box<dyn Any>,
}

impl Edge {
    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn emulator(root: &Path, origin: SocketAddr) -> anyhow::Result<Edge> {
    let text = std::fs::read_to_string(root.join(POLICY))?.replace(PLACE, &format!("http://{origin}"));
    let mut policy = read(&text).map_err(|errors| anyhow!("{POLICY} is refused: {errors:?}"))?;
    policy.limits.methods.push(METHOD.to_owned());
    let info = PolicyInfo { name: policy.name.clone(), hash: String::new() };
    let engine = Engine::builder(policy)
        .collapsing()
        .compile()
        .map_err(|error| anyhow!("{POLICY} is refused: {error}"))?;
    let config =
        EmulatorConfig { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..EmulatorConfig::default() };
    let emulator = Emulator::bind(config, EngineHandle::new(Arc::new(engine), info))?;
    let address = emulator.local_addr();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.spawn(emulator.run(std::future::pending()));
    Ok(Edge { address, _running: Box::new(runtime) })
}

fn cloudflare(root: &Path, origin: SocketAddr) -> anyhow::Result<Edge> {
    let folder = tempfile::tempdir()?;
    build::policy(root, "cloudflare", &root.join(POLICY), &folder.path().join("dist"))?;
    let stores = root.join("adapters/cloudflare/local/stores.mjs");
    std::fs::copy(stores, folder.path().join("stores.mjs"))?;
    let config = CONFIG.replace("{{origin}}", &origin.to_string()).replace("{{cf-header}}", CF_HEADER);
    std::fs::write(folder.path().join("config.capnp"), config)?;
    let process = Workerd::start(&program(&root.join("deploy"))?, folder.path())?;
    Ok(Edge { address: process.address(), _running: Box::new((process, folder)) })
}
