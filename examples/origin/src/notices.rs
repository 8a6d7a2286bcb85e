//! Notices of changes for the edges: written with the change, delivered at least once.
//!
//! Every change writes one row for each edge, in its own transaction. A task for each edge sends what is there, again
//! and again until the edge has taken it, and only then deletes the rows. An edge that is away for long is told at last
//! that everything has changed, so that what waits for it stays bounded.
//!
//! Whoever sends a notice waits until the own cache has counted the change, and sees to it that the shared cache has heard
//! of it before, whichever origin made it: an edge that asks again finds nothing from before. While the shared cache is
//! away the notice goes out all the same, and again until the cache has heard of it.

mod outbox;
mod send;
mod signature;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::Uri;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::cache::Cache;
use crate::database::Database;
use crate::resource::{Key, now_ms};
use crate::secret::Secret;
use crate::trace::Traceparent;

pub(crate) use outbox::write;
use send::Sender;

/// Path of an edge's page for purges.
const PATH: &str = "/_selvedge/purge";

/// Longest address of an edge, in bytes.
const MAX_URL_BYTES: usize = 2_048;

/// Longest wait before an edge is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often rows are looked for that another origin, or an earlier run, has written.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long rows are kept for an edge that no origin names.
const UNKNOWN_EDGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The address of an edge, such as `https://edge.example`, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge(String);

impl Edge {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn purge_uri(&self) -> Uri {
        format!("{}{PATH}", self.0).parse().expect("an authority and a fixed path make a URL")
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Edge {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse()?;
        let is_http = uri.scheme_str().is_some_and(|scheme| matches!(scheme, "http" | "https"));
        let Some(authority) = uri.authority().filter(|_| is_http) else {
            bail!("an edge's URL begins with http:// or https://");
        };
        if uri.path() != "/" || uri.query().is_some() {
            bail!("an edge's URL has no path; notices go to {PATH}");
        }
        if authority.as_str().contains('@') || text.len() > MAX_URL_BYTES {
            bail!("an edge's URL has no user and at most {MAX_URL_BYTES} bytes");
        }
        Ok(Self(format!("{}://{authority}", uri.scheme_str().unwrap_or("http"))))
    }
}

/// What edges are to hear: which thing has changed.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) key: Key,
    /// Where its trace goes on.
    pub(crate) cause: Option<Traceparent>,
}

/// Who hears of changes; clones share the tasks' bells.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    edges: Arc<[(Edge, Arc<Notify>)]>,
}

impl Notices {
    /// Starts a task for each edge.
    pub(crate) fn start(
        database: &Database,
        cache: &Cache,
        edges: &[Edge],
        token: Option<&Secret>,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<Self> {
        if edges.is_empty() {
            return Ok(Self { edges: Arc::default() });
        }
        let Some(token) = token else { bail!("the edges' token is missing: set SELVEDGE_PURGE_TOKEN") };
        let sender = Sender::new(token);
        let mut rung = Vec::new();
        for edge in edges {
            let bell = Arc::new(Notify::new());
            bell.notify_one();
            let (database, cache) = (database.clone(), cache.clone());
            let delivery = Delivery { database, cache, edge: edge.clone(), sender: sender.clone() };
            tasks.spawn(delivery.run(Arc::clone(&bell)));
            rung.push((edge.clone(), bell));
        }
        tasks.spawn(forget_unknown(database.clone(), edges.to_vec()));
        Ok(Self { edges: rung.into() })
    }

    pub(crate) fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter().map(|(edge, _)| edge)
    }

    /// Lets what was committed be sent at once.
    pub(crate) fn ring(&self) {
        self.edges.iter().for_each(|(_, bell)| bell.notify_one());
    }
}

/// The tags by which edges know a thing, and the lists it is in.
pub(crate) fn tags_of(key: Key) -> [String; 2] {
    [key.tag(), key.kind.all().to_owned()]
}

/// What one edge is told.
#[derive(Debug)]
struct Delivery {
    database: Database,
    cache: Cache,
    edge: Edge,
    sender: Sender,
}

impl Delivery {
    async fn run(self, bell: Arc<Notify>) {
        let mut backoff = Backoff::up_to(LONGEST_WAIT);
        loop {
            match self.deliver().await {
                Ok(Delivered::All) => {
                    backoff.reset();
                    // Rows of other origins ring no bell here.
                    let _ = tokio::time::timeout(LOOK_EVERY, bell.notified()).await;
                }
                Ok(Delivered::Some) => backoff.reset(),
                Err(error) => {
                    tracing::warn!(edge = %self.edge, error = format!("{error:#}"), "a notice waits");
                    backoff.wait().await;
                }
            }
        }
    }

    async fn deliver(&self) -> anyhow::Result<Delivered> {
        let batch = outbox::oldest(&self.database, &self.edge).await?;
        let Some(purge) = batch.purge() else { return Ok(Delivered::All) };
        self.cache.settled().await;
        let told = self.cache.tell_written_down().await;
        self.sender.send(&self.edge, &purge, batch.causes()).await?;
        told.context("an edge hears of changes again once the shared cache has")?;
        outbox::delete(&self.database, &batch).await?;
        tracing::debug!(edge = %self.edge, notices = batch.len(), "an edge heard of changes");
        Ok(Delivered::Some)
    }
}

/// How much an edge has taken.
#[derive(Debug)]
enum Delivered {
    All,
    Some,
}

async fn forget_unknown(database: Database, edges: Vec<Edge>) {
    loop {
        let before_ms = now_ms() - i64::try_from(UNKNOWN_EDGE.as_millis()).unwrap_or(i64::MAX);
        if let Err(error) = outbox::forget_unknown(&database, &edges, before_ms).await {
            tracing::warn!(%error, "cannot look for notices that nobody waits for");
        }
        tokio::time::sleep(UNKNOWN_EDGE / 24).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_a_scheme_and_an_authority() {
        let rows = [
            ("http://127.0.0.1:8787", Some("http://127.0.0.1:8787/_selvedge/purge")),
            ("https://edge.example/", Some("https://edge.example/_selvedge/purge")),
            ("edge.example", None),
            ("ftp://edge.example", None),
            ("https://edge.example/shop", None),
            ("https://edge.example/?a=1", None),
            ("https://user:password@edge.example", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let uri = text.parse::<Edge>().ok().map(|edge| edge.purge_uri().to_string());
            assert_eq!(uri.as_deref(), expected, "{text}");
        }
    }
}
