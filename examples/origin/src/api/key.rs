//! `Idempotency-Key` of a request.

use axum::http::{HeaderMap, HeaderName, StatusCode};

use crate::Origin;
use crate::idempotency::{Entered, Keyed, MAX_KEY_BYTES};
use crate::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Reads the key, if there is one; `action` is what it is for, such as `users` for a new one.
pub(super) fn read(headers: &HeaderMap, action: &str, body: &[u8]) -> Result<Option<Keyed>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let keyed = Keyed::new(key.as_bytes(), action, body).filter(|_| keys.next().is_none());
    let fault = || {
        Problem::bad_request(format!(
            "`Idempotency-Key` must have 1 to {MAX_KEY_BYTES} visible ASCII characters, once"
        ))
    };
    keyed.map(Some).ok_or_else(fault)
}

/// Lets nobody else come in with the key until the answer is dropped.
pub(super) fn enter(origin: &Origin, keyed: Option<&Keyed>) -> Result<Option<Entered>, Problem> {
    let Some(keyed) = keyed else { return Ok(None) };
    let conflict =
        || Problem::new(StatusCode::CONFLICT, "a request with this Idempotency-Key is being answered");
    origin.in_flight().enter(keyed).map(Some).ok_or_else(conflict)
}

pub(super) fn reused() -> Problem {
    Problem::unprocessable("this Idempotency-Key was used for another request")
}
