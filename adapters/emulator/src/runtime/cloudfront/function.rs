//! One call of the distribution's function.

use std::time::Duration;

use http::{Method, Request, StatusCode, Uri, header};
use selvedge_cloudfront::event::{Cf, Event, Outcome, Trigger};
use selvedge_cloudfront::rules;
use selvedge_core::body::Body;
use selvedge_core::effect::{Fetch, FetchError};
use serde_json::Value;

use super::Deployment;
use super::failure::Failure;
use crate::effects::EdgeHost;

/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-lambda-at-edge>
const TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of an answer: Lambda's
/// [payload](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html) and what surrounds it.
const MAX_ANSWER_BYTES: usize = 6 * 1024 * 1024 + 1024;

/// Calls the function and checks what it returns.
pub(super) async fn call(
    host: &EdgeHost,
    deployment: &Deployment,
    trigger: Trigger,
    cf: Cf,
) -> Result<Outcome, Failure> {
    let event = Event::new(cf);
    let answer = post(host, deployment, &event).await.map_err(|text| Failure::function(trigger, text))?;
    let result = result(answer).map_err(|text| Failure::function(trigger, text))?;
    let outcome = outcome(result).map_err(|text| Failure::result(trigger, &[text]))?;
    let cf = event.cf().expect("the event was made with one record");
    let violations = rules::check(cf, trigger, &outcome);
    if violations.is_empty() {
        return Ok(outcome);
    }
    let violations: Vec<_> = violations.iter().map(ToString::to_string).collect();
    Err(Failure::result(trigger, &violations))
}

async fn post(host: &EdgeHost, deployment: &Deployment, event: &Event) -> Result<Value, String> {
    let body = serde_json::to_vec(event).map_err(|error| format!("the event cannot be written: {error}"))?;
    let uri: Uri = format!("http://{}/", deployment.functions).parse().expect("an address makes a URI");
    let mut request = Request::new(Body::from(bytes::Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    let fetch = Fetch {
        backend: "function".into(),
        request,
        timeout: TIMEOUT,
        connect_timeout: TIMEOUT,
        watch: None,
        max_body_bytes: u64::MAX,
    };
    let response = host.fetch(fetch).await.map_err(|error| {
        if error == FetchError::Timeout {
            return format!("timed out: it took longer than {} seconds", TIMEOUT.as_secs());
        }
        format!("ended without a result ({}); the output of Node.js says why", error.as_str())
    })?;
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(format!("was not called: Node.js answered {}", parts.status));
    }
    let body = host.read(body, MAX_ANSWER_BYTES).await;
    let body = body.map_err(|error| format!("gave a result that cannot be read ({error:?})"))?;
    serde_json::from_slice(&body).map_err(|error| format!("gave a result that is not JSON: {error}"))
}

/// The handler's result, or what it threw.
fn result(mut answer: Value) -> Result<Value, String> {
    if let Some(error) = answer.get("error") {
        let text = |name| error[name].as_str().unwrap_or_default();
        return Err(format!("threw {}: {}", text("name"), text("message")));
    }
    answer.get_mut("result").map(Value::take).ok_or_else(|| "gave no result".to_owned())
}

fn outcome(result: Value) -> Result<Outcome, String> {
    if !result.is_object() {
        return Err("the result is neither a request nor a response, but no object".to_owned());
    }
    if let Some(status) = result.get("status").filter(|status| !status.is_string()) {
        return Err(format!("the `status` {status} is not a string [{}]", rules::Rule::Status.url()));
    }
    serde_json::from_value(result)
        .map_err(|error| format!("the result is not of the form of an event: {error}"))
}
