//! AWS Lambda: its runtime API, a function URL in front of it and SQS beside it, all on loopback, and the function's processes.

mod api;
mod cloudfront;
mod environment;
mod sqs;
mod url;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock::Clock;
pub use api::{Failure, MAX_PAYLOAD_BYTES};
use api::{Invocations, Outcome};
pub use cloudfront::{headers, tell};
use environment::Starting;
use sqs::Sqs;

/// What a function is made of.
#[derive(Debug)]
pub struct FunctionConfig {
    /// The binary.
    pub program: PathBuf,
    /// `LAMBDA_TASK_ROOT`: the folder with the policy.
    pub folder: PathBuf,
    /// Further variables of the environment.
    pub environment: Vec<(String, String)>,
    /// Names of the policy's queues; each has one of SQS with its name.
    pub queues: Vec<String>,
    /// Whether the function URL's invoke mode is `RESPONSE_STREAM`.
    pub streams: bool,
    /// How many processes there are: so many events are answered at a time.
    pub environments: usize,
    /// The function's timeout.
    pub timeout: Duration,
    /// The time by which messages are due.
    pub clock: Clock,
    /// Where the processes' standard output goes; this program's by default.
    pub output: Option<File>,
}

/// A function that runs; its processes end when it is dropped.
#[derive(Debug)]
pub struct Function {
    url: SocketAddr,
    invocations: Arc<Invocations>,
    sqs: Arc<Sqs>,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The sockets of one function.
struct Listeners {
    api: TcpListener,
    url: TcpListener,
    sqs: TcpListener,
}

impl Function {
    /// Starts the processes and waits until one of them asks for an event.
    ///
    /// # Errors
    /// When the binary cannot be run or ends at once; what it said is on the standard error.
    pub fn start(config: FunctionConfig) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listeners = runtime.block_on(Listeners::bind())?;
        let url = listeners.url.local_addr()?;
        let sqs = Arc::new(Sqs::new(listeners.sqs.local_addr()?, config.clock.clone()));
        let invocations = Arc::new(Invocations::new(config.timeout));
        let (stop, stopped) = watch::channel(());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let parts = (Arc::clone(&invocations), Arc::clone(&sqs));
        let program = config.program.display().to_string();
        let thread = std::thread::Builder::new().name("lambda".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(serve(config, listeners, parts, Starting::new(ready), stopped));
        })?;
        let function = Self { url, invocations, sqs, stop: Some(stop), thread: Some(thread) };
        match is_ready.recv() {
            Ok(Ok(())) => Ok(function),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("{program} did not start"),
        }
    }

    /// Returns where the function URL listens, without TLS.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.url
    }

    /// Hands the function an event and returns its result.
    ///
    /// # Errors
    /// When the invocation fails.
    pub async fn invoke(&self, event: Bytes) -> Result<Bytes, Failure> {
        invoke(&self.invocations, event).await
    }

    /// Hands the function every message that is due, in batches, until none is, and returns how many there were.
    ///
    /// # Errors
    /// When a batch fails as a whole.
    pub async fn deliver(&self) -> Result<usize, Failure> {
        sqs::deliver(&self.sqs, &self.invocations).await
    }

    /// Returns how often and for how long messages were put off that were handed to the function.
    #[must_use]
    pub fn take_delays(&self) -> Vec<Duration> {
        self.sqs.take_delays()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Listeners {
    async fn bind() -> anyhow::Result<Self> {
        let bind = || TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let context = "cannot listen on loopback";
        Ok(Self {
            api: bind().await.context(context)?,
            url: bind().await.context(context)?,
            sqs: bind().await.context(context)?,
        })
    }
}

async fn invoke(invocations: &Invocations, event: Bytes) -> Result<Bytes, Failure> {
    match invocations.invoke(event).await? {
        Outcome::Result(result) => Ok(result),
        Outcome::Stream(_) => Err(Failure::new("a result that streams is for a function URL")),
    }
}

/// Serves until the function is dropped.
async fn serve(
    config: FunctionConfig,
    listeners: Listeners,
    (invocations, sqs): (Arc<Invocations>, Arc<Sqs>),
    starting: Starting,
    mut stopped: watch::Receiver<()>,
) {
    let Ok(api) = listeners.api.local_addr() else { return };
    let environments = environment::run(config, api, sqs.address(), Arc::clone(&invocations), starting);
    tokio::select! {
        () = api::serve(listeners.api, Arc::clone(&invocations)) => {}
        () = url::serve(listeners.url, invocations) => {}
        () = sqs::serve(listeners.sqs, sqs) => {}
        () = environments => {}
        _ = stopped.changed() => {}
    }
}
