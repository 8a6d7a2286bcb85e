//! `POST /_selvedge/purge`: lets whoever has the token make stored responses invalid before their time.
//!
//! People send the token itself, `Authorization: Bearer TOKEN`; programs sign what they send with it, as
//! [`signature`](crate::signature) has it, and the token stays with them.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use selvedge_core::cache::purge::{Manner, Purge};
use selvedge_core::engine::Engine;
use selvedge_core::time::Timestamp;
use serde::Deserialize;
use tokio::task::spawn_blocking;

use crate::content;
use crate::shared::Shared;
use crate::signature::Signature;
use crate::status::{not_found, text};
use crate::store::Store;
use crate::token;
use crate::worker::Worker;

const PATH: &str = "/_selvedge/purge";

/// Most bytes of a request's content.
const MAX_BYTES: usize = 64 * 1024;

/// What is to be purged; nothing by default. In JSON, a key that is not known is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeRequest {
    /// Absolute URLs, as clients ask for them.
    pub urls: Vec<String>,
    /// Beginnings of absolute URLs.
    pub prefixes: Vec<String>,
    /// Tags: of the policy, of `Surrogate-Key` and of `Cache-Tag`.
    pub tags: Vec<String>,
    /// Whether it is everything.
    pub everything: bool,
    /// Whether what is purged becomes stale instead of invalid.
    pub soft: bool,
}

/// Why nothing was purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request names nothing.
    Nothing,
    /// This is no absolute URL of the site.
    NoUrl(String),
}

/// What was purged; it holds until the next start.
#[derive(Debug)]
pub(crate) struct Purged {
    purges: Vec<Purge>,
    manner: Manner,
    now: Timestamp,
}

pub(crate) fn owns(path: &str) -> bool {
    path == PATH
}

/// Purges what the request's content names. Where no token is set there is no such page.
pub(crate) async fn respond(worker: &Rc<Worker>, request: Request<Incoming>) -> Response<Bytes> {
    let Some(token) = &worker.shared.config.purge_token else { return not_found() };
    let is_authorized = token::is_authorized(request.headers(), token);
    let signature = Signature::of(request.headers(), worker.shared.config.clock.now());
    if !is_authorized && signature.is_none() {
        return unauthorized();
    }
    if let Some(refusal) = token::refuse_method(request.method()) {
        return refusal;
    }
    let content = match content::read(request.into_body(), MAX_BYTES).await {
        Ok(content) => content,
        Err(refusal) => return refusal,
    };
    if !is_authorized && !signature.is_some_and(|signature| signature.is_of(token, &content)) {
        return unauthorized();
    }
    purge(worker, &content).await
}

async fn purge(worker: &Rc<Worker>, content: &[u8]) -> Response<Bytes> {
    let asked = match serde_json::from_slice::<PurgeRequest>(content) {
        Ok(asked) => asked,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    match asked.carry_out(&worker.shared) {
        Ok(purged) => {
            let store = Arc::clone(&worker.shared.store);
            if store.disk().is_some() {
                // A panic has reported itself; the purge holds until the next start.
                let _ = spawn_blocking(move || purged.keep(&store)).await;
            }
            text(StatusCode::OK, "purged\n")
        }
        Err(refusal) => text(StatusCode::BAD_REQUEST, format!("{refusal}\n")),
    }
}

fn unauthorized() -> Response<Bytes> {
    token::unauthorized("a token or a signature is needed\n")
}

impl PurgeRequest {
    /// Purges what is named; [`Purged::keep`] lets it outlive the edge.
    pub(crate) fn carry_out(&self, shared: &Shared) -> Result<Purged, Refusal> {
        let purges = self.purges(&shared.engine.engine()).map_err(Refusal::NoUrl)?;
        if purges.is_empty() {
            return Err(Refusal::Nothing);
        }
        let manner = if self.soft { Manner::Soft } else { Manner::Hard };
        let now = shared.config.clock.now();
        shared.store.purge(&purges, manner, now);
        tracing::info!(count = purges.len(), soft = self.soft, "purged");
        Ok(Purged { purges, manner, now })
    }

    /// # Errors
    /// The first URL that is none.
    fn purges(&self, engine: &Engine) -> Result<Vec<Purge>, String> {
        let mut purges = Vec::new();
        for url in &self.urls {
            let urls = engine.purge_urls(url).ok_or_else(|| url.clone())?;
            purges.extend(urls.into_iter().map(Purge::Url));
        }
        for prefix in &self.prefixes {
            purges.push(Purge::Prefix(engine.purge_prefix(prefix).ok_or_else(|| prefix.clone())?));
        }
        purges.extend(self.tags.iter().cloned().map(Purge::Tag));
        purges.extend(self.everything.then_some(Purge::Everything));
        Ok(purges)
    }
}

impl Purged {
    /// Writes down in the folder, where there is one, what it must not bring back.
    pub(crate) fn keep(&self, store: &Store) {
        if store.disk().is_some() {
            store.keep_purges(&self.purges, self.manner, self.now);
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing is named"),
            Self::NoUrl(url) => write!(f, "`{url}` is no absolute URL of this site"),
        }
    }
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    #[test]
    fn what_is_named_is_purged_as_cache_keys_spell_it() {
        let policy = "[backends.a]\nurl = \"http://a.test\"\n\
                      [[routes]]\npath = \"/a\"\nbackend = \"a\"\ncache.key.query = \"none\"\n\
                      [[routes]]\npath = \"/{*rest}\"\nbackend = \"a\"";
        let policy = read(policy).unwrap_or_else(|errors| panic!("{errors}"));
        let engine = Engine::compile(policy).expect("it compiles");
        let asked = PurgeRequest {
            urls: vec!["https://Shop.example:443/a?b=1&a=2&utm_source=x".to_owned()],
            prefixes: vec!["https://SHOP.example/%61b".to_owned()],
            tags: vec!["t".to_owned()],
            everything: true,
            soft: false,
        };
        let url = |url: &str| Purge::Url(url.to_owned());
        let expected = [
            url("https://shop.example/a"),
            url("https://shop.example/a?a%3D2&b%3D1"),
            Purge::Prefix("https://shop.example/ab".to_owned()),
            Purge::Tag("t".to_owned()),
            Purge::Everything,
        ];
        assert_eq!(asked.purges(&engine).expect("URLs"), expected);
        for no_url in ["/a", "ftp://shop.example/a", "shop.example", "https://shop.example/../a", ""] {
            let asked = PurgeRequest { urls: vec![no_url.to_owned()], ..PurgeRequest::default() };
            assert_eq!(asked.purges(&engine), Err(no_url.to_owned()), "{no_url}");
        }
    }
}
