//! Switches that make the origin slow or failing, and counts of what reached it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use serde::{Deserialize, Serialize};

use crate::{Origin, api};

/// Longest delay, in milliseconds.
const MAX_DELAY_MS: u64 = 60_000;

/// Most paths that are counted apart; the rest share one count.
const MAX_PATHS: usize = 1_000;

/// The switch that holds for every request whose path starts with `path`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Switch {
    /// How long to wait before the answer.
    delay_ms: u64,
    /// Status to answer with in place of the answer, 400 to 599.
    fail: Option<u16>,
    /// Start of the paths that are meant; empty for all.
    path: String,
}

impl Switch {
    /// Returns the delay and the failure of a path.
    fn of(&self, path: &str) -> (u64, Option<u16>) {
        if path.starts_with(&self.path) { (self.delay_ms, self.fail) } else { (0, None) }
    }
}

/// What one request suffers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fault {
    delay: Duration,
    fail: Option<u16>,
}

impl Fault {
    /// Waits if the request is to wait, and returns the failure if it is to fail.
    pub(crate) async fn suffer(self) -> Option<Response> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let status =
            StatusCode::from_u16(self.fail?).ok().filter(|s| s.is_client_error() || s.is_server_error())?;
        Some((status, "the origin was told to fail\n").into_response())
    }
}

/// The switch and the counts.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Whether clients may ask for faults.
    is_on: bool,
    switch: Mutex<Switch>,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Faults {
    /// Starts with no faults; clients may ask for them if `is_on`.
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on, switch: Mutex::default(), counts: Mutex::default() }
    }

    /// Counts a request and tells what it is to suffer.
    ///
    /// The headers `X-Origin-Delay: 200ms` and `X-Origin-Fail: 503` do for one
    /// request what the switch does for all.
    pub(crate) fn on(&self, path: &str, headers: &HeaderMap) -> Fault {
        if path.starts_with("/_") {
            return Fault::default();
        }
        self.count(path);
        if !self.is_on {
            return Fault::default();
        }
        let (delay_ms, fail) = lock(&self.switch).of(path);
        let delay = header(headers, "x-origin-delay").and_then(|text| text.strip_suffix("ms")?.parse().ok());
        let delay_ms = delay.unwrap_or(delay_ms).min(MAX_DELAY_MS);
        let fail = header(headers, "x-origin-fail").and_then(|text| text.parse().ok()).or(fail);
        Fault { delay: Duration::from_millis(delay_ms), fail }
    }

    fn count(&self, path: &str) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(path) {
            *count += 1;
            return;
        }
        let key = if counts.len() < MAX_PATHS { path } else { "(other)" };
        *counts.entry(key.to_owned()).or_default() += 1;
    }
}

/// Both locks guard plain data that is whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What answers at the switch, where there is one.
pub(crate) fn switch() -> MethodRouter<Origin> {
    get(show).put(set).delete(clear)
}

async fn show(State(origin): State<Origin>) -> Response {
    if !origin.faults().is_on {
        return api::not_found().await;
    }
    Json(lock(&origin.faults().switch).clone()).into_response()
}

async fn set(State(origin): State<Origin>, body: String) -> Response {
    if !origin.faults().is_on {
        return api::not_found().await;
    }
    match serde_json::from_str::<Switch>(&body) {
        Ok(switch) if switch.delay_ms > MAX_DELAY_MS => {
            (StatusCode::BAD_REQUEST, format!("delay_ms is at most {MAX_DELAY_MS}\n")).into_response()
        }
        Ok(switch) => {
            *lock(&origin.faults().switch) = switch.clone();
            Json(switch).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

async fn clear(State(origin): State<Origin>) -> Response {
    if !origin.faults().is_on {
        return api::not_found().await;
    }
    *lock(&origin.faults().switch) = Switch::default();
    StatusCode::NO_CONTENT.into_response()
}

pub(crate) async fn requests(State(origin): State<Origin>) -> Json<BTreeMap<String, u64>> {
    Json(lock(&origin.faults().counts).clone())
}
