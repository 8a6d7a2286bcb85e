//! Spin behind the local point of presence: the host that this program may bring, or `spin up`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use selvedge_core::policy::Policy;
use selvedge_emulator::runtime::spin::SpinUp;
use selvedge_emulator::runtime::{Platform, RuntimeHandle};
use selvedge_spin::variables::Variables;

use crate::build::Project;
use crate::build::spin::{compile, write_app};
use crate::cli::DIM;

use super::Retired;

/// An application with the policy in use.
pub(crate) struct App {
    project: Project,
    component: PathBuf,
    folder: PathBuf,
    host: Host,
    handle: RuntimeHandle,
    running: Running,
    retired: Retired<Running>,
    reloads: u32,
}

/// What runs applications.
enum Host {
    /// A Spin that is installed.
    Itself(PathBuf),
    /// This program, with what its components keep.
    #[cfg(feature = "spin")]
    Own(selvedge_emulator::runtime::spin::KeyValues),
}

/// An application that listens; it ends when dropped.
enum Running {
    Itself(SpinUp),
    #[cfg(feature = "spin")]
    Own(selvedge_emulator::runtime::spin::SpinApp),
}

impl App {
    /// Compiles the component and starts it, with `spin` if that is named.
    pub(super) fn start(project: Project, spin: Option<PathBuf>) -> anyhow::Result<Self> {
        let host = Host::new(spin)?;
        anstream::eprintln!("{DIM}building the component{DIM:#}");
        let component = compile(&project, true)?;
        let folder = project.folder.join("dist/dev-spin");
        let running = host.run(&project, &component, &folder.join("0"))?;
        let handle = RuntimeHandle::new(running.address());
        Ok(Self {
            project,
            component,
            folder,
            host,
            handle,
            running,
            retired: Retired::default(),
            reloads: 0,
        })
    }

    pub(super) fn platform(&self) -> Platform {
        match self.host {
            Host::Itself(_) => Platform::SpinItself(self.handle.clone()),
            #[cfg(feature = "spin")]
            Host::Own(_) => Platform::Spin(self.handle.clone()),
        }
    }

    /// Lets another policy answer from the next request on.
    pub(super) fn reload(&mut self, policy: &Policy) -> anyhow::Result<()> {
        self.reloads += 1;
        self.project.policy = policy.clone();
        let folder = self.folder.join(self.reloads.to_string());
        let next = self.host.run(&self.project, &self.component, &folder)?;
        self.handle.replace(next.address());
        self.retired.push(std::mem::replace(&mut self.running, next));
        Ok(())
    }
}

impl Host {
    #[cfg(feature = "spin")]
    fn new(spin: Option<PathBuf>) -> anyhow::Result<Self> {
        Ok(spin
            .map_or_else(|| Self::Own(selvedge_emulator::runtime::spin::KeyValues::default()), Self::Itself))
    }

    #[cfg(not(feature = "spin"))]
    fn new(spin: Option<PathBuf>) -> anyhow::Result<Self> {
        let missing = "this program was built without its host of Spin components; build it with `--features spin` (in \
                       Selvedge's folder: `cargo run --features spin -- dev --runtime spin`), or add `--spin-binary` if \
                       Spin is installed";
        spin.map(Self::Itself).context(missing)
    }

    /// Writes the application into a folder and runs it.
    fn run(&self, project: &Project, component: &Path, folder: &Path) -> anyhow::Result<Running> {
        write_app(project, component, folder)?;
        let variables = secrets(&project.policy)?;
        match self {
            Self::Itself(program) => SpinUp::start(program, folder, &variables).map(Running::Itself),
            #[cfg(feature = "spin")]
            Self::Own(key_values) => {
                use selvedge_emulator::runtime::spin::{SpinApp, SpinConfig};

                let mut config = SpinConfig::new(folder.to_owned());
                config.variables = variables;
                config.key_values = key_values.clone();
                config.trusts_edge = true;
                SpinApp::start(config).map(Running::Own)
            }
        }
    }
}

impl Running {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Itself(up) => up.address(),
            #[cfg(feature = "spin")]
            Self::Own(app) => app.address(),
        }
    }
}

/// The values of the policy's secrets, from this program's environment.
fn secrets(policy: &Policy) -> anyhow::Result<BTreeMap<String, String>> {
    let variables = Variables::of(policy);
    let values = variables.secrets().map(|(name, variable)| {
        let value =
            std::env::var(name).with_context(|| format!("the environment has no `{name}`, a secret"))?;
        Ok((variable.to_owned(), value))
    });
    values.collect()
}
