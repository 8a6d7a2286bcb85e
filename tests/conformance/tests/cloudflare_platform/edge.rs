//! One workerd with the Worker that `selvedge build` makes, in front of one backend.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use selvedge_emulator::runtime::cloudflare::{CF_HEADER, Workerd, program};
use tempfile::TempDir;

use super::backend;

const CONFIG: &str = r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "backend", external = (address = "{{backend}}", http = ())),
  ],
  sockets = [
    (name = "edge", address = "127.0.0.1:0", http = (cfBlobHeader = "{{cf-header}}"), service = "edge"),
  ],
);

const edge :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  compatibilityFlags = ["enable_request_signal"],
  modules = [
    (name = "index.mjs", esModule = embed "dist/index.mjs"),
    (name = "runtime.mjs", esModule = embed "dist/runtime.mjs"),
    (name = "access.mjs", esModule = embed "dist/access.mjs"),
    (name = "access_line.mjs", esModule = embed "dist/access_line.mjs"),
    (name = "bodies.mjs", esModule = embed "dist/bodies.mjs"),
    (name = "driver.mjs", esModule = embed "dist/driver.mjs"),
    (name = "exchange.mjs", esModule = embed "dist/exchange.mjs"),
    (name = "instance.mjs", esModule = embed "dist/instance.mjs"),
    (name = "platform.mjs", esModule = embed "dist/platform.mjs"),
    (name = "policy.wasm", wasm = embed "dist/policy.wasm"),
    (name = "policy.bin", data = embed "dist/policy.bin"),
  ],
  globalOutbound = "backend",
);
"#;

/// A workerd; it ends when dropped.
pub(super) struct Edge {
    process: Workerd,
    _folder: TempDir,
}

/// The edge that tests share. It ends with the last test that holds it: a process outlives a static.
pub(super) fn shared() -> Arc<Edge> {
    static EDGE: Mutex<Weak<Edge>> = Mutex::new(Weak::new());
    let mut edge = EDGE.lock().unwrap_or_else(PoisonError::into_inner);
    edge.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Edge::start());
        *edge = Arc::downgrade(&started);
        started
    })
}

impl Edge {
    /// Starts an edge of its own.
    pub(super) fn start() -> Self {
        Self::start_with(None, CONFIG)
    }

    /// Starts an edge whose runtime does not tell a Worker that its client has gone.
    pub(super) fn start_untold() -> Self {
        Self::start_with(None, &CONFIG.replace("enable_request_signal", "disable_request_signal"))
    }

    /// Starts an edge whose requests go through a module with this text, which finds the share in its environment.
    pub(super) fn start_behind(module: &str, share: &str) -> Self {
        Self::start_with(Some((module, share)), CONFIG)
    }

    fn start_with(front: Option<(&str, &str)>, config: &str) -> Self {
        static ROOT: LazyLock<PathBuf> = LazyLock::new(|| build("platform.toml", &built()));
        let root = &*ROOT;
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(built(), folder.path().join("dist")).unwrap();
        let mut config =
            config.replace("{{backend}}", &backend::shared().to_string()).replace("{{cf-header}}", CF_HEADER);
        if let Some((module, share)) = front {
            fs::write(folder.path().join("front.mjs"), module).unwrap();
            let modules = "modules = [\n    (name = \"front.mjs\", esModule = embed \"front.mjs\"),";
            let binding =
                format!("bindings = [(name = \"SELVEDGE_ACCESS_LOG\", text = \"{share}\")],\n  modules = [");
            config = config.replace("modules = [", modules).replace("modules = [", &binding);
        }
        fs::write(folder.path().join("config.capnp"), config).unwrap();
        let process = Workerd::start(&program(&root.join("deploy")).unwrap(), folder.path()).unwrap();
        Self { process, _folder: folder }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// The memory that the process and its children hold, in bytes.
    pub(super) fn resident_bytes(&self) -> u64 {
        resident_bytes(self.process.process_id())
    }
}

/// Where the Worker of these tests is built.
fn built() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cloudflare_platform")
}

/// Builds a policy of the handlers' crate into a folder and returns the root of the repository.
pub(super) fn build(policy: &str, out: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args("run --quiet --package selvedge -- build --target cloudflare --policy".split(' '))
        .arg(root.join("tests/conformance/handlers").join(policy))
        .arg("--out")
        .arg(out)
        .current_dir(&root)
        .status()
        .unwrap();
    assert!(status.success(), "`selvedge build` failed; what it said is above");
    root
}

/// From `/proc`: see proc_pid_status(5) and proc_tid_children(5).
fn resident_bytes(process: u32) -> u64 {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let status = fs::read_to_string(folder.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let own: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    let children = fs::read_to_string(folder.join(format!("task/{process}/children"))).unwrap();
    own * 1024 + children.split_whitespace().map(|child| resident_bytes(child.parse().unwrap())).sum::<u64>()
}
