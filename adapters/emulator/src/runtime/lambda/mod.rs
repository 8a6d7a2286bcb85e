//! AWS Lambda: its runtime API, a function URL in front of it and SQS beside it, all on loopback, and the function's processes.

mod api;
mod cloudfront;
mod environment;
mod sqs;
mod url;

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::Clock;
pub use api::{Failure, MAX_PAYLOAD_BYTES};
use api::{Invocations, Outcome};
pub use cloudfront::headers;
pub(super) use cloudfront::tell;
use environment::Starting;
use sqs::Sqs;

/// How often due messages are looked for.
const DELIVERY_PAUSE: Duration = Duration::from_millis(200);

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
    /// Whether messages are handed to the function by themselves, and not by [`Function::deliver`] alone.
    pub delivers: bool,
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
        let listeners = Listeners::bind().context("cannot listen on loopback")?;
        let url = listeners.url.local_addr()?;
        let sqs = Arc::new(Sqs::new(listeners.sqs.local_addr()?, config.clock.clone()));
        let invocations = Arc::new(Invocations::new(config.timeout));
        let (stop, stopped) = watch::channel(());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let parts = (Arc::clone(&invocations), Arc::clone(&sqs));
        let program = config.program.display().to_string();
        // Within another runtime this thread could not run one of its own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("lambda".to_owned());
        let thread = thread.spawn(move || {
            if let Err(error) =
                runtime.block_on(serve(config, listeners, parts, Starting::new(ready), stopped))
            {
                tracing::error!(%error, "a function cannot be served");
            }
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
    fn bind() -> io::Result<Self> {
        let bind = || {
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            listener.set_nonblocking(true)?;
            io::Result::Ok(listener)
        };
        Ok(Self { api: bind()?, url: bind()?, sqs: bind()? })
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
) -> io::Result<()> {
    let api = listeners.api.local_addr()?;
    let listen = tokio::net::TcpListener::from_std;
    let (api_socket, url_socket, sqs_socket) =
        (listen(listeners.api)?, listen(listeners.url)?, listen(listeners.sqs)?);
    let delivering = deliver_for_ever(config.delivers, Arc::clone(&sqs), Arc::clone(&invocations));
    let environments = environment::run(config, api, sqs.address(), Arc::clone(&invocations), starting);
    tokio::select! {
        () = api::serve(api_socket, Arc::clone(&invocations)) => {}
        () = url::serve(url_socket, invocations) => {}
        () = sqs::serve(sqs_socket, sqs) => {}
        () = environments => {}
        () = delivering => {}
        _ = stopped.changed() => {}
    }
    Ok(())
}

/// Hands out messages as soon as they are due.
async fn deliver_for_ever(delivers: bool, sqs: Arc<Sqs>, invocations: Arc<Invocations>) {
    if !delivers {
        std::future::pending::<()>().await;
    }
    loop {
        if let Err(failure) = sqs::deliver(&sqs, &invocations).await {
            tracing::error!(%failure, "a batch of messages failed");
        }
        tokio::time::sleep(DELIVERY_PAUSE).await;
    }
}
