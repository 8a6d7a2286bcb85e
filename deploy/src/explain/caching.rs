//! What becomes of a backend's answer in the cache, step by step.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use selvedge_core::body::Body;
use selvedge_core::cache::stored::StoredResponse;
use selvedge_core::engine::Engine;
use selvedge_core::phase::{Failure, OriginResponseOutcome, Storing};
use selvedge_core::time::Timestamp;
use selvedge_core::transaction::Transaction;
use serde_json::{Value, json};

use crate::cli::{BOLD, CYAN, DIM};

/// The decisions about one answer: what each is about, and what it is.
pub(super) struct Caching(Vec<(&'static str, String)>);

impl Caching {
    /// Asks the engine what it makes of an answer.
    pub(super) fn of(
        engine: &Engine,
        tx: &mut Transaction,
        status: StatusCode,
        headers: HeaderMap,
        now: Timestamp,
    ) -> Self {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let storing = match engine.on_origin_response(tx, Ok(response), now, now) {
            OriginResponseOutcome::Deliver(_, storing) => storing,
            OriginResponseOutcome::Retry(_) if tx.has_next_attempt() => {
                return Self::one("another backend is asked first");
            }
            OriginResponseOutcome::Retry(failure) | OriginResponseOutcome::Fail(failure) => match failure {
                Failure::Response { storing, .. } => storing,
                Failure::Error(_) | Failure::Handler | Failure::Refused(_) => {
                    return Self::one("there is nothing to store");
                }
            },
        };
        match storing {
            Storing::Bypass => Self::one("no: the request or its route does not use the cache"),
            Storing::Refuse(reason) => Self::one(&format!("no: {}", reason.as_str())),
            Storing::Store(stored, keep) => Self(stored_as(&stored, keep)),
        }
    }

    fn one(words: &str) -> Self {
        Self(vec![("stored", words.to_owned())])
    }

    pub(super) fn print(&self) {
        anstream::println!("\n{BOLD}the answer in the cache{BOLD:#}");
        for (what, is) in &self.0 {
            anstream::println!("  {CYAN}{what:28}{CYAN:#} {is}");
        }
        anstream::println!("  {DIM}times count from when the answer was made{DIM:#}");
    }

    pub(super) fn to_json(&self) -> Value {
        self.0
            .iter()
            .map(|(what, is)| (what.replace(' ', "_"), json!(is)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

fn stored_as(stored: &StoredResponse, keep: Duration) -> Vec<(&'static str, String)> {
    let lifetimes = stored.lifetimes();
    let until = |window: Duration| seconds(lifetimes.fresh.saturating_add(window));
    let mut lines = vec![("stored", "yes".to_owned())];
    let vary: Vec<_> = stored.vary().iter().map(|header| header.name.as_str()).collect();
    if !vary.is_empty() {
        lines.push(("told apart by", vary.join(", ")));
    }
    lines.push(("age on arrival", seconds(stored.age(stored.response_time()))));
    lines.push(("fresh", format!("until {} ({})", seconds(lifetimes.fresh), lifetimes.source.as_str())));
    if !lifetimes.stale_while_revalidate.is_zero() {
        lines.push(("stale while revalidated", format!("until {}", until(lifetimes.stale_while_revalidate))));
    }
    if !lifetimes.stale_if_error.is_zero() {
        lines.push(("stale if the backend fails", format!("until {}", until(lifetimes.stale_if_error))));
    }
    let question = if stored.has_validator() {
        "the backend is asked whether it still holds"
    } else {
        "the backend is asked for another one"
    };
    lines.push(("after that", question.to_owned()));
    lines.push(("kept for", seconds(keep)));
    if !stored.tags().is_empty() {
        lines.push(("surrogate tags", stored.tags().join(", ")));
    }
    lines
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}
