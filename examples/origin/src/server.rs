//! Connections: how many there are, how long they may say nothing, and how they end.

mod preface;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Origin;

use preface::Prefaced;

/// Most connections at once; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;

/// Wait after a connection that could not be accepted, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is ready, then lets requests in flight finish, up to the configured limit; from then on the
/// origin is not ready.
///
/// A connection that fails ends alone.
///
/// # Errors
/// When connections can no longer be counted.
pub async fn serve(
    listener: TcpListener,
    origin: &Origin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let router = origin.router();
    let connections = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let header_timeout = origin.header_timeout();
    let http = http(header_timeout);
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, permit) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &room) => accepted?,
        };
        let service = TowerToHyperService::new(router.clone());
        let stream = TokioIo::new(Prefaced::new(stream, header_timeout));
        let connection = http.serve_connection(stream, service).into_owned();
        let watched = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(error, "a connection broke off");
            }
            drop(permit);
        });
    }
    origin.drain();
    drop(listener);
    let limit = origin.drain_limit();
    if tokio::time::timeout(limit, connections.shutdown()).await.is_err() {
        tracing::warn!(?limit, "requests in flight were cut off");
    }
    Ok(())
}

fn http(header_timeout: Duration) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    http.http2().timer(TokioTimer::new()).keep_alive_interval(header_timeout);
    http
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> anyhow::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Slower answers are the worst that comes of it.
                let _ = stream.set_nodelay(true);
                return Ok((stream, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
