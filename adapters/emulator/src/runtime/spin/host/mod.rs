//! A host of [Spin](https://spinframework.dev) components on wasmtime, the engine that Spin embeds.
//!
//! It runs what `selvedge build --target spin` makes: one component behind one HTTP route, exporting
//! `wasi:http/handler@0.3.0`, with files, variables, key-value stores and requests to allowed hosts. Everything
//! else of a `spin.toml` is refused by its name. Instances answer several requests at a time and one after the
//! other, as with Spin.

mod activity;
mod allowed;
mod bindings;
mod instance;
mod key_value;
mod manifest;
mod outbound;
mod serve;
mod trigger;
mod variables;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use wasmtime_wasi::cli::OutputFile;

use crate::clock::Clock;
pub use key_value::{KeyValueLimits, KeyValues};

use activity::Activity;
use instance::Instances;
use manifest::{Manifest, Mount};
use outbound::Outbound;
use serve::Application;

/// What an application is run with.
#[derive(Debug)]
pub struct SpinConfig {
    /// The folder with `spin.toml`.
    pub folder: PathBuf,
    /// Values of variables, as `spin up --variable` takes them.
    pub variables: BTreeMap<String, String>,
    /// The time that the component reads.
    pub clock: Clock,
    /// What its key-value stores hold, and how much they may.
    pub key_values: KeyValues,
    /// Whether [`ADDRESS_HEADER`](super::ADDRESS_HEADER) and [`SCHEME_HEADER`](super::SCHEME_HEADER) say who the client is, rather than
    /// the connection: an edge in front is the only client.
    pub trusts_edge: bool,
    /// How many requests one instance answers.
    pub reuse: Reuse,
    /// How long a component may take for a response, and to be done after it.
    pub timeout: Duration,
    /// Most bytes of memory of an instance: 128 MiB by default, as [Akamai Functions](https://techdocs.akamai.com/akamai-functions/docs/quotas-and-limits)
    /// give it, and at most.
    pub max_memory_bytes: usize,
    /// How many threads run instances.
    pub threads: usize,
    /// Where the component's standard output and error go; this program's own by default.
    pub output: Option<File>,
}

/// How long an instance lives, by default as long as [Spin's](https://spinframework.dev/v4/running-apps).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Most requests in all.
    pub requests: usize,
    /// Most requests at a time.
    pub at_once: usize,
    /// How long it waits for another request.
    pub idle: Duration,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { requests: 128, at_once: 16, idle: Duration::from_secs(1) }
    }
}

impl SpinConfig {
    /// Prepares to run the application in a folder as Spin would.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            variables: BTreeMap::new(),
            clock: Clock::System,
            key_values: KeyValues::default(),
            trusts_edge: false,
            reuse: Reuse::default(),
            timeout: crate::runtime::TIMEOUT,
            max_memory_bytes: instance::MAX_MEMORY_BYTES,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            output: None,
        }
    }
}

/// A file that all instances write to.
struct Output(OutputFile);

/// An application that listens; it ends when dropped.
#[derive(Debug)]
pub struct SpinApp {
    address: SocketAddr,
    activity: Activity,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SpinApp {
    /// Compiles the component, which takes seconds if this program is not optimised, and listens on loopback.
    ///
    /// # Errors
    /// When the manifest, the component or a file of it cannot be used; the message says what.
    pub fn start(config: SpinConfig) -> anyhow::Result<Self> {
        let manifest = Manifest::read(&config.folder, &config.variables)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads)
            .thread_name("spin")
            .enable_all()
            .build()?;
        let activity = Activity::default();
        let application = application(manifest, config, activity.clone())?;
        let (stop, stopped) = watch::channel(());
        let thread = std::thread::Builder::new().name("spin".to_owned());
        let thread = thread.spawn(move || run(&runtime, listener, application, stopped))?;
        Ok(Self { address, activity, stop: Some(stop), thread: Some(thread) })
    }

    /// Waits until instances have nothing more to do for requests that they answered.
    pub async fn settled(&self) {
        self.activity.settled().await;
    }

    /// Returns where it listens, without TLS.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SpinApp {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn application(manifest: Manifest, config: SpinConfig, activity: Activity) -> anyhow::Result<Application> {
    let name = manifest.source.display().to_string();
    let bytes = fs::read(&manifest.source).with_context(|| format!("cannot read {name}"))?;
    let component = instance::prepare(&bytes).with_context(|| format!("{name} ({})", manifest.component))?;
    let instances = Instances {
        component,
        files: mounted(&manifest.mounts)?,
        clock: config.clock,
        output: config.output.map(Output::new),
        outbound: Outbound::new(manifest.allowed),
        key_values: config.key_values,
        labels: Arc::new(manifest.key_value_stores),
        variables: Arc::new(manifest.variables),
        reuse: config.reuse,
        timeout: config.timeout,
        max_memory_bytes: config.max_memory_bytes,
        activity,
    };
    Ok(Application::new(manifest.route, instances, config.trusts_edge))
}

/// Copies files into a folder of their own, as Spin does, so that a component finds nothing beside them.
fn mounted(mounts: &[Mount]) -> anyhow::Result<TempDir> {
    let folder = TempDir::with_prefix("selvedge-spin-")?;
    for Mount { source, destination } in mounts {
        let to = folder.path().join(destination);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(source, &to).with_context(|| format!("cannot mount {}", source.display()))?;
    }
    Ok(folder)
}

/// Serves until the application is dropped.
fn run(runtime: &Runtime, listener: TcpListener, application: Application, mut stopped: watch::Receiver<()>) {
    let serve = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            () = Arc::new(application).serve(listener) => {}
            // Both ends of the channel end it.
            _ = stopped.changed() => {}
        }
        std::io::Result::Ok(())
    };
    if let Err(error) = runtime.block_on(serve) {
        tracing::error!(%error, "an application cannot be served");
    }
}
