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
    /// How long requests in flight may go on after the origin was told to stop; 20 seconds by default.
    pub drain_limit: Duration,
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            database_url: Secret::new("sqlite::memory:"),
            cache_url: None,
            edges: Vec::new(),
            purge_token: None,
            request_timeout: Duration::from_secs(30),
            drain_limit: Duration::from_secs(20),
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
