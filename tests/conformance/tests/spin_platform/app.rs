//! Applications with a policy each, all with the same component.

use std::collections::BTreeMap;
use std::fs::{File, read_to_string};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

use selvedge_conformance::spin::Spin;
use selvedge_core::policy::read::read;
use selvedge_emulator::runtime::spin::{SpinApp, SpinConfig};
use tempfile::TempDir;

/// An application that runs in a folder of its own.
pub(super) struct App {
    app: SpinApp,
    output: PathBuf,
    _folder: TempDir,
}

/// Every request goes to the backend.
pub(super) const PROXY: &str = r#"
[backends.a]
url = "http://BACKEND"

[[routes]]
path = "/{*rest}"
backend = "a"
cache = { store = false }
"#;

static COMPONENT: LazyLock<Spin> = LazyLock::new(|| Spin::build().unwrap());

/// A policy in which `BACKEND` is where the shared backend listens.
pub(super) fn policy(text: &str) -> String {
    text.replace("BACKEND", &super::backend::shared().to_string())
}

impl App {
    pub(super) fn start(text: &str) -> Self {
        Self::with(text, |_| {})
    }

    /// The same with another configuration than Spin's own.
    pub(super) fn with(text: &str, change: impl FnOnce(&mut SpinConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = read(&policy(text)).unwrap_or_else(|errors| panic!("{errors}"));
        let variables: BTreeMap<_, _> = COMPONENT.write(folder.path(), &policy).unwrap();
        let output = folder.path().join("output");
        let mut config = SpinConfig::new(folder.path().to_owned());
        config.variables = variables;
        config.trusts_edge = true;
        config.output = Some(File::create(&output).unwrap());
        change(&mut config);
        Self { app: SpinApp::start(config).unwrap(), output, _folder: folder }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.app.address()
    }

    /// Waits until nothing is done any more for requests that are answered.
    pub(super) fn settle(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.app.settled());
    }

    /// What the component wrote, once it is at rest.
    pub(super) fn log(&self) -> String {
        self.settle();
        read_to_string(&self.output).unwrap()
    }
}
