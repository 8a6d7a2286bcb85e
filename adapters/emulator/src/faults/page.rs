//! `POST /_selvedge/faults/BACKEND`: lets whoever has the token make a backend fail, slow, or well again.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;

use super::Fault;
use crate::content;
use crate::status::text;
use crate::token;
use crate::worker::Worker;

const PREFIX: &str = "/_selvedge/faults/";

/// Most bytes of a request's content.
const MAX_BYTES: usize = 1024;

/// What a slow backend is slow by when nothing is said.
const DEFAULT_DELAY_MILLIS: u64 = 2_000;
const MAX_DELAY_MILLIS: u64 = 600_000;

/// What a request asks for, as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Asked {
    kind: Kind,
    delay_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Fail,
    Slow,
    None,
}

pub(crate) fn owns(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Gives a backend of the policy the fault that the request's content names. Where no token is set there is no such page.
pub(crate) async fn respond(worker: &Rc<Worker>, request: Request<Incoming>) -> Response<Bytes> {
    if let Some(refusal) = token::refuse(&worker.shared, &request) {
        return refusal;
    }
    let (parts, body) = request.into_parts();
    let engine = worker.shared.engine.engine();
    let named = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let Some(backend) = engine.policy().backends.iter().find(|backend| backend.name == named) else {
        return text(StatusCode::NOT_FOUND, "the policy has no such backend\n");
    };
    if worker.shared.config.runtime.is_some() {
        return text(StatusCode::CONFLICT, "a platform's runtime asks the backends here\n");
    }
    let content = match content::read(body, MAX_BYTES).await {
        Ok(content) => content,
        Err(refusal) => return refusal,
    };
    let fault = match fault(&content) {
        Ok(fault) => fault,
        Err(message) => return text(StatusCode::BAD_REQUEST, format!("{message}\n")),
    };
    let faults = &worker.shared.config.faults;
    match fault {
        Some(fault) => faults.set(&backend.name, fault),
        None => faults.heal(&backend.name),
    }
    tracing::info!(backend = backend.name, ?fault, "a fault was set");
    text(StatusCode::OK, "set\n")
}

/// # Errors
/// What is wrong with the content.
fn fault(content: &[u8]) -> Result<Option<Fault>, String> {
    let asked: Asked = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    match (asked.kind, asked.delay_ms) {
        (Kind::None, None) => Ok(None),
        (Kind::Fail, None) => Ok(Some(Fault::Fail)),
        (Kind::Slow, delay) => {
            let millis = delay.unwrap_or(DEFAULT_DELAY_MILLIS);
            if !(1..=MAX_DELAY_MILLIS).contains(&millis) {
                return Err(format!("`delay-ms` is from 1 to {MAX_DELAY_MILLIS}, not {millis}"));
            }
            Ok(Some(Fault::Slow(Duration::from_millis(millis))))
        }
        (Kind::None | Kind::Fail, Some(_)) => Err("`delay-ms` goes with `slow`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_said_in_whole_and_within_bounds() {
        let slow = |millis| Ok(Some(Fault::Slow(Duration::from_millis(millis))));
        let rows = [
            (r#"{"kind": "none"}"#, Ok(None)),
            (r#"{"kind": "fail"}"#, Ok(Some(Fault::Fail))),
            (r#"{"kind": "slow"}"#, slow(2000)),
            (r#"{"kind": "slow", "delay-ms": 1}"#, slow(1)),
            (r#"{"kind": "slow", "delay-ms": 600000}"#, slow(600_000)),
            (r#"{"kind": "slow", "delay-ms": 0}"#, Err("from 1 to 600000, not 0")),
            (r#"{"kind": "slow", "delay-ms": 600001}"#, Err("not 600001")),
            (r#"{"kind": "fail", "delay-ms": 5}"#, Err("goes with `slow`")),
            (r#"{"kind": "broken"}"#, Err("unknown variant")),
            (r#"{"kind": "fail", "for": 5}"#, Err("unknown field")),
            ("{}", Err("missing field `kind`")),
            ("", Err("EOF")),
        ];
        for (content, expected) in rows {
            match (fault(content.as_bytes()), expected) {
                (Err(message), Err(part)) => assert!(message.contains(part), "{content}: {message}"),
                (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{content}"),
            }
        }
    }
}
