//! The reference origin behind the storefront policy: a small shop of pages,
//! assets and an API, with a database, a cache and notices of changes for its edges,
//! and switches to make it slow or broken.
//!
//! | path | what |
//! |---|---|
//! | `/`, `/about`, `/products` | pages; the hero of `/` follows the request header `X-Hero` |
//! | `/static/site.css`, `/static/hero.jpg`, `/static/app.js` | assets with validators and ranges |
//! | `/static/hero-WIDTH.FORMAT` | the hero 320, 640 and 1280 pixels wide as `jpg`, `webp` and `avif` |
//! | `/api/users`, `/api/products` | lists by pages, and new records: `GET`, `POST` |
//! | `/api/users/{id}`, `/api/products/{id}` | one record: `GET`, `PUT`, `DELETE` |
//! | `/api/user?id=N` | a user from the database, private |
//! | `/api/content` | a text for the region in `X-Region` |
//! | `/api/echo` | what reached the origin |
//! | `/openapi.json` | the description of all these paths |
//! | `/health`, `/ready` | liveness; readiness |
//! | `/_switch` | makes the origin slow or failing, if that is asked for: `PUT`, `GET`, `DELETE` |
//! | `/_requests` | how many requests reached each path |

mod api;
mod assets;
mod backoff;
mod cache;
mod conditional;
mod config;
mod cursor;
mod database;
mod faults;
mod idempotency;
mod notices;
mod openapi;
mod pages;
mod problem;
mod resource;
mod secret;
mod server;
mod shop;
mod trace;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any, get};
use tokio::task::JoinSet;
use tracing::Instrument as _;

pub use config::OriginConfig;
pub use notices::Edge;
pub use secret::Secret;
pub use server::serve;

use api::{collection, item};
use cache::Cache;
use database::Database;
use faults::Faults;
use idempotency::InFlight;
use notices::Notices;
use problem::Problem;
use resource::{Product, User};
use shop::Shop;
use trace::Traceparent;

/// Largest request body, in bytes.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// Largest body of a user or a product, in bytes.
const MAX_RECORD_BYTES: usize = 64 * 1024;

/// The origin: cheap to clone, clones share the database and the switches.
#[derive(Clone, Debug)]
pub struct Origin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shop: Shop,
    faults: Faults,
    in_flight: InFlight,
    request_timeout: Duration,
    header_timeout: Duration,
    drain_limit: Duration,
    is_draining: AtomicBool,
    /// They end with the last clone.
    _tasks: JoinSet<()>,
}

/// What the origin counts about itself since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Users and products that the database was asked for one by one.
    pub database_reads: u64,
    /// Times that the shared cache was away or did not answer in time.
    pub cache_failures: u64,
}

impl Origin {
    /// Opens the database, brings its tables up to date, and starts what tells edges of changes.
    ///
    /// # Errors
    /// When the database cannot be opened, a URL is none, or edges are named without their token.
    pub async fn new(config: &OriginConfig) -> anyhow::Result<Self> {
        let database =
            Database::open(&config.database_url).await.context("cannot open the origin's database")?;
        let mut tasks = JoinSet::new();
        let cache = Cache::open(database.clone(), config.cache_url.as_ref(), &mut tasks)?;
        let notices =
            Notices::start(&database, &cache, &config.edges, config.purge_token.as_ref(), &mut tasks)?;
        tasks.spawn(idempotency::sweep(database.clone()));
        Ok(Self {
            inner: Arc::new(Inner {
                shop: Shop { database, cache, notices },
                faults: Faults::new(config.faults),
                in_flight: InFlight::default(),
                request_timeout: config.request_timeout,
                header_timeout: config.header_timeout,
                drain_limit: config.drain_limit,
                is_draining: AtomicBool::new(false),
                _tasks: tasks,
            }),
        })
    }

    /// Returns the service.
    pub fn router(&self) -> Router {
        routes()
            .into_iter()
            .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
            .fallback(api::not_found)
            .method_not_allowed_fallback(api::method_not_allowed)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .layer(from_fn_with_state(self.clone(), observe))
            .with_state(self.clone())
    }

    /// Returns what the origin has counted.
    pub fn counts(&self) -> Counts {
        let Shop { database, cache, .. } = self.shop();
        Counts { database_reads: database.reads(), cache_failures: cache.failures() }
    }

    /// Closes the database; requests fail from here on. A database that hangs is waited for two seconds.
    pub async fn close(&self) {
        self.shop().database.close().await;
    }

    fn shop(&self) -> &Shop {
        &self.inner.shop
    }

    fn in_flight(&self) -> &InFlight {
        &self.inner.in_flight
    }

    fn header_timeout(&self) -> Duration {
        self.inner.header_timeout
    }

    fn drain_limit(&self) -> Duration {
        self.inner.drain_limit
    }

    /// Lets the origin be ready no longer.
    fn drain(&self) {
        self.inner.is_draining.store(true, Ordering::Release);
    }

    fn is_draining(&self) -> bool {
        self.inner.is_draining.load(Ordering::Acquire)
    }

    fn faults(&self) -> &Faults {
        &self.inner.faults
    }
}

/// Every path with what answers there.
fn routes() -> [(&'static str, MethodRouter<Origin>); 16] {
    let records = |methods: MethodRouter<Origin>| methods.layer(DefaultBodyLimit::max(MAX_RECORD_BYTES));
    let users = get(collection::list::<User>).post(collection::create::<User>);
    let user = get(item::show::<User>).put(item::replace::<User>).delete(item::delete::<User>);
    let products = get(collection::list::<Product>).post(collection::create::<Product>);
    let product = get(item::show::<Product>).put(item::replace::<Product>).delete(item::delete::<Product>);
    [
        ("/", get(pages::home)),
        ("/about", get(pages::about)),
        ("/products", get(pages::products)),
        ("/static/{name}", get(assets::serve)),
        ("/api/users", records(users)),
        ("/api/users/{id}", records(user)),
        ("/api/products", records(products)),
        ("/api/products/{id}", records(product)),
        ("/api/user", get(api::user)),
        ("/api/content", get(api::content)),
        ("/api/echo", any(api::echo)),
        ("/openapi.json", get(openapi::show)),
        ("/health", get(api::health)),
        ("/ready", get(api::ready)),
        ("/_switch", faults::switch()),
        ("/_requests", get(faults::requests)),
    ]
}

/// Counts, delays or fails a request as the switches say, ends one that takes too long, logs it and traces it.
async fn observe(State(origin): State<Origin>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let line = Line::of(&request);
    let span = trace::begin(&request);
    let fault = origin.faults().on(request.uri().path(), request.headers());
    let answer = async {
        if let Some(failure) = fault.suffer().await {
            return failure;
        }
        let answer = tokio::time::timeout(origin.inner.request_timeout, next.run(request)).await;
        answer.unwrap_or_else(|_| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the request took too long").into_response()
        })
    };
    let response = answer.instrument(span.clone()).await;
    trace::end(&span, response.status());
    if let Some(line) = line {
        line.log(response.status(), started);
    }
    response
}

/// What the log says about a request.
struct Line {
    method: Method,
    path: String,
    trace: Option<Traceparent>,
}

impl Line {
    fn of(request: &Request) -> Option<Self> {
        tracing::enabled!(tracing::Level::INFO).then(|| Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            trace: Traceparent::of(request.headers()),
        })
    }

    fn log(self, status: StatusCode, started: Instant) {
        let Self { method, path, trace } = self;
        let trace_id = trace.as_ref().map(Traceparent::trace_id);
        let (status, micros) = (status.as_u16(), started.elapsed().as_micros());
        tracing::info!(%method, path, status, micros, trace_id, "origin");
    }
}
