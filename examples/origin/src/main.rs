//! The reference origin as a program of its own.

#[cfg(feature = "otlp")]
mod otlp;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use selvedge_origin::{Edge, Origin, OriginConfig, Secret, serve};
use tokio::net::TcpListener;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Names the environment variable with the token that edges ask for.
const PURGE_TOKEN: &str = "SELVEDGE_PURGE_TOKEN";

/// Names the environment variable with the database's URL, which other users of the machine cannot read there.
const DATABASE_URL: &str = "SELVEDGE_DATABASE_URL";

/// Names the environment variable with the cache's URL.
const CACHE_URL: &str = "SELVEDGE_CACHE_URL";

/// The reference origin behind the storefront policy.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  selvedge-origin
  selvedge-origin --listen 127.0.0.1:9001 --database shop.db
  selvedge-origin --database-url postgres://shop@127.0.0.1/shop --cache-url redis://127.0.0.1
  SELVEDGE_PURGE_TOKEN=s3cret selvedge-origin --edge http://127.0.0.1:8787
  selvedge-origin --faults & curl -X PUT -d '{\"fail\": 503, \"path\": \"/api\"}' http://127.0.0.1:8788/_switch"
)]
struct Options {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// File of a SQLite database [default: in memory]
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    database: Option<PathBuf>,
    /// URL of the database, sqlite://FILE or postgres://...; SELVEDGE_DATABASE_URL does the same
    #[arg(long, value_name = "URL")]
    database_url: Option<Secret>,
    /// URL of a Redis server to cache in [default: in the process]; SELVEDGE_CACHE_URL does the same
    #[arg(long, value_name = "URL")]
    cache_url: Option<Secret>,
    /// Edge that hears of every change, with the token in SELVEDGE_PURGE_TOKEN; may be repeated
    #[arg(long = "edge", value_name = "URL")]
    edges: Vec<Edge>,
    /// Lets any client make the origin slow or failing, to see what edges do then: /_switch, X-Origin-Delay, X-Origin-Fail
    #[arg(long)]
    faults: bool,
    /// How logs are written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Sends traces to a collector by OTLP over HTTP, such as http://localhost:4318
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl Options {
    fn config(self) -> OriginConfig {
        let mut config = OriginConfig::default();
        if let Some(url) = self.database_url.or_else(|| secret(DATABASE_URL)) {
            config.database_url = url;
        }
        if let Some(file) = &self.database {
            config = config.with_database_file(file);
        }
        config.cache_url = self.cache_url.or_else(|| secret(CACHE_URL));
        config.purge_token = secret(PURGE_TOKEN);
        config.edges = self.edges;
        config.faults = self.faults;
        config
    }
}

/// An empty variable is none.
fn secret(name: &str) -> Option<Secret> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(Secret::new)
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    #[cfg(feature = "otlp")]
    let collector = options.otlp.as_deref().map(otlp::start).transpose()?;
    #[cfg(feature = "otlp")]
    let traces = collector.as_ref().map(otlp::layer);
    #[cfg(not(feature = "otlp"))]
    let traces = None::<tracing_subscriber::layer::Identity>;
    tracing_subscriber::registry().with(logs(options.log_format)).with(traces).init();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(options))?;
    #[cfg(feature = "otlp")]
    if let Some(Err(error)) = collector.map(|collector| collector.shutdown()) {
        tracing::warn!(%error, "the last traces are not sent");
    }
    Ok(ExitCode::SUCCESS)
}

/// What is logged, by `RUST_LOG`. Spans are for collectors: each line has all that it says.
fn logs<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let filter = filter.and(filter_fn(|metadata| !metadata.is_span()));
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            logs.with_ansi(std::io::stderr().is_terminal()).with_target(false).with_filter(filter).boxed()
        }
        LogFormat::Json => logs.json().flatten_event(true).with_filter(filter).boxed(),
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let address = options.listen;
    let listener = TcpListener::bind(address).await;
    let listener = listener
        .with_context(|| format!("cannot listen on {address}; choose another address with --listen"))?;
    let origin = Origin::new(&options.config()).await?;
    // Before anybody is told that it runs: a signal that nobody handles ends it at once.
    let stopping = shutdown_requested()?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    serve(listener, &origin, stopping).await?;
    origin.close().await;
    Ok(())
}

/// Ready at the first signal to stop.
#[cfg(unix)]
fn shutdown_requested() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("finishing the requests in flight");
    })
}

/// Ready at the first signal to stop.
#[cfg(not(unix))]
fn shutdown_requested() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        // Without a handler for the signal the origin runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
