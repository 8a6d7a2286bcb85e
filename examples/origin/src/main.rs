//! The reference origin as a program of its own.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use selvedge_origin::{Origin, OriginConfig, serve};
use tokio::net::TcpListener;

/// The reference origin behind the storefront policy.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  selvedge-origin
  selvedge-origin --listen 127.0.0.1:9001 --database shop.db
  curl -X PUT -d '{\"fail\": 503, \"path\": \"/api\"}' http://127.0.0.1:8788/_switch"
)]
struct Options {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// File of the database [default: in memory]
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(options))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(options: Options) -> anyhow::Result<()> {
    let address = options.listen;
    let listener = TcpListener::bind(address).await;
    let listener = listener
        .with_context(|| format!("cannot listen on {address}; choose another address with --listen"))?;
    let origin = Origin::new(&OriginConfig { database: options.database })?;
    tracing::info!(%address, "listening");
    let interrupted = async {
        // Without a handler for the signal the origin runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    serve(listener, &origin, interrupted).await
}
