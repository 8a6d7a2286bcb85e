//! What can be chosen about the origin.

use std::path::Path;
use std::time::Duration;

use crate::database;
use crate::notices::Edge;
use crate::secret::Secret;

/// What can be chosen about the origin; the default is a shop in memory that no edge hears of.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// `sqlite::memory:`, `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/DATABASE`; in memory by default.
    pub database_url: Secret,
    /// `redis://HOST`; `None` keeps what is cached in the process. The server may be away when the origin starts.
    pub cache_url: Option<Secret>,
    /// Edges that hear of every change.
    pub edges: Vec<Edge>,
    /// The token that the edges ask for; needed with `edges`.
    pub purge_token: Option<Secret>,
    /// How long a request may take before it is answered 503; 30 seconds by default. A delay that was asked for does
    /// not count.
    pub request_timeout: Duration,
    /// How long a client may take to send a request's headers, and how long a connection may be idle; 75 seconds by
    /// default, longer than edges keep idle connections, so that it is they who close them.
    pub header_timeout: Duration,
    /// How long requests in flight may go on after the origin was told to stop; 20 seconds by default.
    pub drain_limit: Duration,
    /// Whether any client may make the origin slow or failing, by `/_switch`, `X-Origin-Delay` and `X-Origin-Fail`; true
    /// by default, as this is a library for trying edges out. The program asks for it by `--faults`.
    pub faults: bool,
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            database_url: Secret::new("sqlite::memory:"),
            cache_url: None,
            edges: Vec::new(),
            purge_token: None,
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(75),
            drain_limit: Duration::from_secs(20),
            faults: true,
        }
    }
}

impl OriginConfig {
    /// Keeps the shop in a SQLite file, which is made when it is missing.
    #[must_use]
    pub fn with_database_file(mut self, file: &Path) -> Self {
        self.database_url = database::file_url(file);
        self
    }
}
