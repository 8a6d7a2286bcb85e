//! A part that has come and a stored one, put together before they are stored.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::{Miss, Stored, length_of, length_or};
use crate::body::Body;
use crate::cache::combine::{MAX_COMBINED_BYTES, Union};
use crate::effect::{Effect, EffectResult, FetchError};
use crate::engine::Engine;
use crate::exchange::Effects;
use crate::phase::{Failure, Storing};
use crate::pipeline::{Delivered, in_time};
use crate::reason::{Reason, Rule};
use crate::transaction::Transaction;

/// A response on its way to the client and into the store.
pub(super) struct Combined {
    pub(super) response: Response<Body>,
    /// What is stored in its place, where it is not the response alone.
    pub(super) together: Option<Response<Body>>,
    pub(super) storing: Storing,
}

/// Puts a part that has come together with the stored one, where both make one. The client then gets the part once it is here whole.
///
/// # Errors
/// When the part breaks off.
pub(super) async fn combine(
    engine: &Engine,
    tx: &mut Transaction,
    fx: &Effects,
    miss: &Miss,
    delivered: Delivered,
) -> Result<Combined, Failure> {
    let Delivered { response, storing, sent } = delivered;
    let alone = |response, storing| Ok(Combined { response, together: None, storing });
    let may_be_stored = matches!(storing, Storing::Store(..)) && engine.has_store();
    let Some((stored, union)) = miss.stored_part().filter(|_| may_be_stored).and_then(|stored| {
        let (head, length) = (&stored.head, length_of(&stored.head, &stored.body)?);
        let field = || response.headers().get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
        let response_length = length_or(response.body(), field);
        Some((stored, Union::of(head, length, response.status(), response.headers(), response_length)?))
    }) else {
        return alone(response, storing);
    };
    let Some(stored_bytes) = read(tx, fx, &stored.body, union.stored_length()).await else {
        return alone(response, storing);
    };
    let Some(bytes) = read(tx, fx, response.body(), MAX_COMBINED_BYTES).await else {
        tx.decide(Reason::BackendFailed(FetchError::Protocol), Rule::BuiltIn);
        return Err(Failure::Error(FetchError::Protocol));
    };
    let body = union.body(&stored_bytes, &bytes);
    let head = union.head(&stored.head, response.headers());
    let response = response.map(|_| Body::from(bytes));
    let all = engine.storing_of(tx, head.status(), head.headers(), sent, fx.now());
    match (body, all) {
        (Some(body), storing @ Storing::Store(..)) => {
            let together = Some(head.map(|()| Body::from(Bytes::from(body))));
            Ok(Combined { response, together, storing })
        }
        (Some(_) | None, _) => alone(response, storing),
    }
}

impl Miss {
    /// The stored part of what was asked for, whether it is too old or another one than is wanted.
    fn stored_part(&self) -> Option<&Stored> {
        let is_part = |stored: &&Stored| stored.head.status() == StatusCode::PARTIAL_CONTENT;
        self.stale.as_ref().filter(is_part).or(self.part.as_ref())
    }
}

/// Reads a body of at most `limit` bytes.
async fn read(tx: &Transaction, fx: &Effects, body: &Body, limit: usize) -> Option<Bytes> {
    match body {
        Body::Empty => Some(Bytes::new()),
        Body::Bytes(bytes) => Some(bytes.clone()),
        Body::Host(body) => {
            let effect = Effect::ReadBody { body: *body, limit };
            let Some(EffectResult::ReadBody(result)) = in_time(tx, fx, effect).await else { return None };
            result.ok()
        }
    }
}
