//! The local edge: a native host for [`selvedge_core`].
//!
//! Accepts HTTP/1.1 and HTTP/2 without TLS, tells the core what it knows about
//! the client, performs the effects that the core asks for and sends what the
//! core answers. It decides nothing about a request; the one thing it answers
//! by itself is its own status under `/_selvedge/`, for loopback clients only.
//!
//! Each thread has its own listener, its own runtime and its own connections to
//! backends; the cache, the counters and the engine are shared.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

mod access_log;
mod body;
mod caching;
mod checks;
mod client_body;
mod clock;
mod config;
mod console;
mod content;
mod counted;
mod counters;
mod disk_body;
mod effects;
mod facts;
mod faults;
mod feed;
mod fetching;
mod framing;
mod handle;
mod jobs;
mod kv;
mod listen;
mod metrics;
mod observed;
mod openings;
#[cfg(feature = "otlp")]
pub mod otlp;
mod pace;
mod purge;
mod reload;
mod replay;
mod request;
mod response;
pub mod runtime;
mod server;
mod shared;
mod signature;
mod span;
mod spill;
mod stats;
mod status;
pub mod store;
mod tee;
mod token;
mod trace;
mod tunnel;
mod turns;
mod worker;

pub use access_log::{AccessLog, LogQuery, LogTarget, SampleRate};
pub use clock::{Clock, ManualClock};
pub use config::{DEFAULT_CACHE_DIR_BYTES, EmulatorConfig, PurgeToken};
pub use console::{BackendSnapshot, Console, PurgeError, Snapshot};
pub use faults::{Fault, Faults};
pub use feed::{Requests, SeenRequest};
pub use handle::{EngineHandle, PolicyInfo};
pub use purge::PurgeRequest;
pub use reload::{Change, Watcher, Watching};
pub use selvedge_mmdb::GeoDatabase;
pub use span::{Span, SpanKind, SpanSink, SpanValue};

use listen::Listeners;
use shared::Shared;

/// An edge that listens and is ready to run.
#[derive(Debug)]
pub struct Emulator {
    listeners: Listeners,
    shared: Arc<Shared>,
}

impl Emulator {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the address is taken or not this machine's, and the message names the address and the
    /// flag that chooses another; or when the access log, the queues' file or the cache folder cannot be opened, as when
    /// another edge has the folder.
    pub fn bind(config: EmulatorConfig, engine: EngineHandle) -> anyhow::Result<Self> {
        let listeners = Listeners::bind(config.listen, config.thread_count())?;
        Ok(Self { listeners, shared: Arc::new(Shared::new(config, engine)?) })
    }

    /// Returns the address that the edge listens on, with the port that the system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listeners.address()
    }

    /// Returns what shows how the edge fares, and purges, while it runs.
    #[must_use]
    pub fn console(&self) -> Console {
        Console::new(Arc::clone(&self.shared))
    }

    /// Serves until `shutdown` is ready, then lets requests in flight finish within the configured grace.
    ///
    /// # Errors
    /// When a thread cannot be started or one of them fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        worker::run(self.listeners, self.shared, shutdown).await
    }
}
