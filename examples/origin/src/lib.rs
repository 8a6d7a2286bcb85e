//! The reference origin behind the storefront policy: a small shop of pages,
//! assets and an API, with a database, and switches to make it slow or broken.
//!
//! | path | what |
//! |---|---|
//! | `/`, `/about`, `/products` | pages; the hero of `/` follows the request header `X-Hero` |
//! | `/static/site.css`, `/static/hero.jpg`, `/static/app.js` | assets with validators and ranges |
//! | `/api/user?id=N` | a user from the database, private |
//! | `/api/content` | a text for the region in `X-Region` |
//! | `/api/echo` | what reached the origin |
//! | `/health` | liveness |
//! | `/_switch` | makes the origin slow or failing: `PUT`, `GET`, `DELETE` |
//! | `/_requests` | how many requests reached each path |

mod api;
mod assets;
mod conditional;
mod database;
mod faults;
mod pages;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, get};
use tokio::net::TcpListener;

use database::Database;
use faults::Faults;

/// Largest request body, in bytes.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// What can be chosen about the origin.
#[derive(Clone, Debug, Default)]
pub struct OriginConfig {
    /// File of the SQLite database; `None` keeps it in memory.
    pub database: Option<PathBuf>,
}

/// The origin: cheap to clone, clones share the database and the switches.
#[derive(Clone, Debug)]
pub struct Origin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    faults: Faults,
}

impl Origin {
    /// Opens the database and fills it when it is new.
    ///
    /// # Errors
    /// When the database file cannot be opened or is not one.
    pub fn new(config: &OriginConfig) -> anyhow::Result<Self> {
        let database =
            Database::open(config.database.as_deref()).context("cannot open the origin's database")?;
        Ok(Self { inner: Arc::new(Inner { database, faults: Faults::default() }) })
    }

    /// Returns the service.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(pages::home))
            .route("/about", get(pages::about))
            .route("/products", get(pages::products))
            .route("/static/{name}", get(assets::serve))
            .route("/api/user", get(api::user))
            .route("/api/content", get(api::content))
            .route("/api/echo", any(api::echo))
            .route("/health", get(api::health))
            .route("/_switch", get(faults::show).put(faults::set).delete(faults::clear))
            .route("/_requests", get(faults::requests))
            .fallback(api::not_found)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .layer(from_fn_with_state(self.clone(), observe))
            .with_state(self.clone())
    }

    fn database(&self) -> &Database {
        &self.inner.database
    }

    fn faults(&self) -> &Faults {
        &self.inner.faults
    }
}

/// Serves until `shutdown` is ready, then lets requests in flight finish.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    origin: &Origin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    axum::serve(listener, origin.router())
        .with_graceful_shutdown(shutdown)
        .await
        .context("the origin stopped")
}

/// Counts, delays or fails a request as the switches say, and logs it.
async fn observe(State(origin): State<Origin>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = match origin.faults().apply(&path, request.headers()).await {
        Some(failure) => failure,
        None => next.run(request).await,
    };
    let (status, micros) = (response.status().as_u16(), started.elapsed().as_micros());
    tracing::info!(%method, path, status, micros, "origin");
    response
}
