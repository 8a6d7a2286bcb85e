//! Events of Lambda@Edge: what the policy does at CloudFront's edge, to be tried here.
//!
//! CloudFront itself calls no native code. The stages are those of the function that it calls, so that one event after the other can be
//! sent with `cargo lambda invoke`, each made from the answer to the one before.

use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use selvedge_cloudfront::event::{Cf, Event};
use selvedge_cloudfront::policy::{Begun, Edge, Finished, KEY_BYTES, Settings};
use selvedge_core::engine::Engine;
use selvedge_core::host::depart;
use selvedge_log::{write_log, write_record};

use crate::answer::Answer;
use crate::body::Bodies;
use crate::effects::EdgeHost;
use crate::event::EventError;
use crate::function::Function;
use crate::settings::variable;

/// The key of what triggers tell each other; without it every process has one of its own.
const KEY: &str = "SELVEDGE_EDGE_KEY";

/// Makes what answers CloudFront's events.
pub(crate) fn edge(engine: &Arc<Engine>) -> anyhow::Result<Arc<Edge>> {
    let key = match variable(KEY) {
        Some(text) => key(&text)?,
        None => fresh()?,
    };
    let settings = Settings { key, https_only: true, places: None };
    Ok(Arc::new(Edge::new(Arc::clone(engine), settings)))
}

/// Answers one event with what a function at the edge would return.
pub(crate) async fn answer(function: &Rc<Function>, event: &Bytes) -> Answer {
    let cf = serde_json::from_slice(event).ok().and_then(Event::into_cf);
    let Some(cf) = cf else {
        let error = EventError::Unknown;
        return Answer::Failure { code: error.code(), message: error.message().to_owned() };
    };
    let Finished { outcome, records, violations, .. } = finished(function, cf).await;
    records.iter().for_each(write_record);
    for violation in violations {
        write_log("WARN", &format!("CloudFront would refuse this, so that it was taken back: {violation}"));
    }
    match serde_json::to_vec(&outcome) {
        Ok(result) => Answer::Result(result),
        Err(error) => Answer::Failure { code: "Selvedge.CloudFrontEvent", message: error.to_string() },
    }
}

async fn finished(function: &Rc<Function>, cf: Cf) -> Finished {
    match function.edge.begin(cf, function.seeds.next(), None, (function.clock)()) {
        Begun::Done(finished) => *finished,
        Begun::Runs(running) => {
            let (departing, exchange) = running.into_parts();
            let host = EdgeHost::new(Rc::clone(function), Rc::new(Bodies::default()));
            let (departure, transaction) = depart(host, exchange).await;
            departing.finish(departure, transaction, (function.clock)())
        }
    }
}

fn key(text: &str) -> anyhow::Result<[u8; KEY_BYTES]> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.with_context(|| format!("{KEY} is not {KEY_BYTES} bytes in base64url"))
}

fn fresh() -> anyhow::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes() {
        assert_eq!(key(&"A".repeat(43)).expect("a key"), [0; KEY_BYTES]);
        for bad in ["", "A", &"A".repeat(42), &"A".repeat(44), &"=".repeat(43)] {
            let error = key(bad).expect_err("it is none").to_string();
            assert!(error.contains(KEY) && (bad.is_empty() || !error.contains(bad) || bad == "A"), "{error}");
        }
    }
}
