//! `POST /_selvedge/purge`: lets whoever has the token make stored responses invalid before their time.
//!
//! People send the token itself, `Authorization: Bearer TOKEN`; programs sign what they send with it, as
//! [`signature`](crate::signature) has it, and the token stays with them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use selvedge_core::cache::purge::{Manner, Purge};
use selvedge_core::engine::Engine;
use serde::Deserialize;
use tokio::task::spawn_blocking;

use crate::config::PurgeToken;
use crate::signature::Signature;
use crate::status::{not_found, text};
use crate::worker::Worker;

const PATH: &str = "/_selvedge/purge";

/// Most bytes of a request's content.
const MAX_BYTES: usize = 64 * 1024;

/// How long the content may take: who signs it is not known before it is there.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a request asks for, as JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    urls: Vec<String>,
    prefixes: Vec<String>,
    tags: Vec<String>,
    everything: bool,
    soft: bool,
}

pub(crate) fn owns(path: &str) -> bool {
    path == PATH
}

/// Purges what the request's content names. Where no token is set there is no such page.
pub(crate) async fn respond(worker: &Rc<Worker>, request: Request<Incoming>) -> Response<Bytes> {
    let Some(token) = &worker.shared.config.purge_token else { return not_found() };
    let is_authorized = is_authorized(request.headers(), token);
    let signature = Signature::of(request.headers(), worker.shared.config.clock.now());
    if !is_authorized && signature.is_none() {
        return unauthorized();
    }
    if request.method() != Method::POST {
        return with(text(StatusCode::METHOD_NOT_ALLOWED, "use POST\n"), ALLOW, "POST");
    }
    let content = Limited::new(request.into_body(), MAX_BYTES).collect();
    let Ok(Ok(content)) = tokio::time::timeout(CONTENT_TIMEOUT, content).await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the content is too long, or broke off\n");
    };
    let content = content.to_bytes();
    if !is_authorized && !signature.is_some_and(|signature| signature.is_of(token, &content)) {
        return unauthorized();
    }
    purge(worker, &content).await
}

async fn purge(worker: &Rc<Worker>, content: &[u8]) -> Response<Bytes> {
    let asked = match serde_json::from_slice::<Asked>(content) {
        Ok(asked) => asked,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let purges = match purges(&worker.shared.engine.engine(), &asked) {
        Ok(purges) if purges.is_empty() => return text(StatusCode::BAD_REQUEST, "nothing is named\n"),
        Ok(purges) => purges,
        Err(url) => {
            return text(StatusCode::BAD_REQUEST, format!("`{url}` is no absolute URL of this site\n"));
        }
    };
    let manner = if asked.soft { Manner::Soft } else { Manner::Hard };
    let (store, now) = (Arc::clone(&worker.shared.store), worker.shared.config.clock.now());
    store.purge(&purges, manner, now);
    tracing::info!(count = purges.len(), soft = asked.soft, "purged");
    if store.disk().is_some() {
        // A panic has reported itself; the purge holds until the next start.
        let _ = spawn_blocking(move || store.keep_purges(&purges, manner, now)).await;
    }
    text(StatusCode::OK, "purged\n")
}

fn unauthorized() -> Response<Bytes> {
    with(text(StatusCode::UNAUTHORIZED, "a token or a signature is needed\n"), WWW_AUTHENTICATE, "Bearer")
}

fn is_authorized(headers: &HeaderMap, token: &PurgeToken) -> bool {
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some((scheme, given)) = given.split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(given.trim_ascii())
}

/// # Errors
/// The first URL that is none.
fn purges(engine: &Engine, asked: &Asked) -> Result<Vec<Purge>, String> {
    let mut purges = Vec::new();
    for url in &asked.urls {
        let urls = engine.purge_urls(url).ok_or_else(|| url.clone())?;
        purges.extend(urls.into_iter().map(Purge::Url));
    }
    for prefix in &asked.prefixes {
        purges.push(Purge::Prefix(engine.purge_prefix(prefix).ok_or_else(|| prefix.clone())?));
    }
    purges.extend(asked.tags.iter().cloned().map(Purge::Tag));
    purges.extend(asked.everything.then_some(Purge::Everything));
    Ok(purges)
}

fn with(mut response: Response<Bytes>, name: http::HeaderName, value: &'static str) -> Response<Bytes> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    #[test]
    fn only_the_whole_token_counts() {
        let rows = [
            ("Bearer s3cret", true),
            ("bearer  s3cret ", true),
            ("Bearer s3cre", false),
            ("Bearer s3cret2", false),
            ("Bearer", false),
            ("Basic s3cret", false),
            ("", false),
        ];
        assert!(PurgeToken::new(String::new()).is_none(), "nothing is no secret");
        let token = PurgeToken::new("s3cret".to_owned()).expect("a token");
        assert!(!format!("{token:?}").contains("s3cret"));
        for (value, expected) in rows {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a value"))]);
            assert_eq!(is_authorized(&headers, &token), expected, "{value}");
        }
        assert!(!is_authorized(&HeaderMap::new(), &token));
    }

    #[test]
    fn what_is_named_is_purged_as_cache_keys_spell_it() {
        let policy = "[backends.a]\nurl = \"http://a.test\"\n\
                      [[routes]]\npath = \"/a\"\nbackend = \"a\"\ncache.key.query = \"none\"\n\
                      [[routes]]\npath = \"/{*rest}\"\nbackend = \"a\"";
        let policy = read(policy).unwrap_or_else(|errors| panic!("{errors}"));
        let engine = Engine::compile(policy).expect("it compiles");
        let asked = Asked {
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
        assert_eq!(purges(&engine, &asked).expect("URLs"), expected);
        for no_url in ["/a", "ftp://shop.example/a", "shop.example", "https://shop.example/../a", ""] {
            let asked = Asked { urls: vec![no_url.to_owned()], ..Asked::default() };
            assert_eq!(purges(&engine, &asked), Err(no_url.to_owned()), "{no_url}");
        }
    }
}
