//! [Amazon SQS](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html), as much of it as the
//! function uses: it takes messages within the documented limits, and hands them out in batches.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use selvedge_core::time::Timestamp;
use selvedge_native::body::read;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::api::{Failure, Invocations};
use crate::clock::Clock;

/// The account of every queue.
pub(super) const ACCOUNT: &str = "000000000000";

/// The region of every queue.
pub(super) const REGION: &str = "us-east-1";

/// Most bytes of a message with its attributes: 1 MiB
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Most attributes of a message.
const MAX_ATTRIBUTES: usize = 10;

/// Longest time that a message can be put off, in seconds.
const MAX_VISIBILITY: u64 = 12 * 60 * 60;

/// Most messages of a batch.
const BATCH: usize = 10;

/// Most messages that wait.
const MAX_MESSAGES: usize = 10_000;

/// How long a message stays away that was handed out.
const VISIBILITY: Duration = Duration::from_secs(30);

/// The queues of one function.
#[derive(Debug)]
pub(super) struct Sqs {
    address: SocketAddr,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    messages: Vec<Waiting>,
    delays: Vec<Duration>,
}

#[derive(Clone, Debug)]
struct Waiting {
    id: String,
    queue: String,
    body: String,
    attributes: Map<String, Value>,
    receives: u32,
    due: Timestamp,
}

/// A refusal, with the code that SQS has for it.
struct Refusal(&'static str, String);

impl Sqs {
    pub(super) fn new(address: SocketAddr, clock: Clock) -> Self {
        Self { address, clock, state: Mutex::default() }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn take_delays(&self) -> Vec<Duration> {
        std::mem::take(&mut self.state().delays)
    }

    fn send(&self, input: &Value) -> Result<Value, Refusal> {
        let queue = queue_of(input)?;
        let body = input["MessageBody"].as_str().unwrap_or_default();
        let attributes = input["MessageAttributes"].as_object().cloned().unwrap_or_default();
        check_message(body, &attributes)?;
        let due = self.clock.now();
        let mut state = self.state();
        if state.messages.len() >= MAX_MESSAGES {
            return Err(Refusal("OverLimit", format!("{MAX_MESSAGES} messages wait")));
        }
        state.next_id += 1;
        let id = format!("m{}", state.next_id);
        let (queue, body) = (queue.to_owned(), body.to_owned());
        state.messages.push(Waiting { id: id.clone(), queue, body, attributes, receives: 0, due });
        Ok(json!({ "MessageId": id }))
    }

    fn put_off(&self, input: &Value) -> Result<Value, Refusal> {
        queue_of(input)?;
        let seconds = input["VisibilityTimeout"].as_u64().filter(|seconds| *seconds <= MAX_VISIBILITY);
        let seconds = seconds.ok_or_else(|| {
            Refusal("InvalidParameterValue", format!("VisibilityTimeout is not at most {MAX_VISIBILITY}"))
        })?;
        let now = self.clock.now();
        let mut state = self.state();
        let delay = Duration::from_secs(seconds);
        state.delays.push(delay);
        let receipt = input["ReceiptHandle"].as_str().unwrap_or_default();
        // One that a test handed over by itself is not here.
        if let Some(message) = state.messages.iter_mut().find(|message| message.id == receipt) {
            message.due = now + delay;
        }
        Ok(json!({}))
    }

    /// Takes a batch of one queue that is due, which then stays away for a while.
    fn receive(&self) -> Vec<Waiting> {
        let now = self.clock.now();
        let mut state = self.state();
        let Some(first) = state.messages.iter().find(|message| message.due <= now) else { return Vec::new() };
        let queue = first.queue.clone();
        let due = state.messages.iter_mut().filter(|message| message.queue == queue && message.due <= now);
        let take = |message: &mut Waiting| {
            message.receives += 1;
            message.due = now + VISIBILITY;
            message.clone()
        };
        due.take(BATCH).map(take).collect()
    }

    fn delete(&self, ids: &[String]) {
        self.state().messages.retain(|message| !ids.contains(&message.id));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out what is due until nothing is.
pub(super) async fn deliver(sqs: &Sqs, invocations: &Invocations) -> Result<usize, Failure> {
    let mut delivered = 0;
    loop {
        let batch = sqs.receive();
        if batch.is_empty() {
            return Ok(delivered);
        }
        delivered += batch.len();
        let result = super::invoke(invocations, event(&batch).to_string().into()).await?;
        let result: Value = serde_json::from_slice(&result).unwrap_or_default();
        let failures = result["batchItemFailures"].as_array().cloned().unwrap_or_default();
        let failed = |id: &str| failures.iter().any(|failure| failure["itemIdentifier"] == id);
        let done: Vec<_> = batch.into_iter().map(|message| message.id).filter(|id| !failed(id)).collect();
        sqs.delete(&done);
    }
}

/// An [event of SQS](https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html).
fn event(batch: &[Waiting]) -> Value {
    let record = |message: &Waiting| {
        let attribute = |(name, value): (&String, &Value)| {
            (name.clone(), json!({ "stringValue": value["StringValue"], "dataType": value["DataType"] }))
        };
        let attributes: Map<_, _> = message.attributes.iter().map(attribute).collect();
        json!({
            "messageId": message.id,
            "receiptHandle": message.id,
            "body": message.body,
            "attributes": { "ApproximateReceiveCount": message.receives.to_string() },
            "messageAttributes": attributes,
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", message.queue),
            "awsRegion": REGION,
        })
    };
    json!({ "Records": batch.iter().map(record).collect::<Vec<_>>() })
}

fn queue_of(input: &Value) -> Result<&str, Refusal> {
    let url = input["QueueUrl"].as_str().unwrap_or_default();
    let name = url.rsplit_once('/').filter(|(before, _)| before.ends_with(ACCOUNT)).map(|(_, name)| name);
    name.ok_or_else(|| Refusal("QueueDoesNotExist", format!("there is no queue `{url}`")))
}

/// The limits of [SendMessage](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html).
fn check_message(body: &str, attributes: &Map<String, Value>) -> Result<(), Refusal> {
    let refuse = |code, message: &str| Err(Refusal(code, message.to_owned()));
    if body.is_empty() {
        return refuse("MissingParameter", "MessageBody has at least one character");
    }
    let is_allowed = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    if !body.chars().all(is_allowed) {
        return refuse("InvalidMessageContents", "MessageBody has characters that are not allowed");
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return refuse("InvalidParameterValue", "a message has at most ten attributes");
    }
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    let sizes = attributes
        .iter()
        .map(|(name, value)| name.len() + text(&value["DataType"]) + text(&value["StringValue"]));
    if body.len() + sizes.sum::<usize>() > MAX_MESSAGE_BYTES {
        return refuse("InvalidParameterValue", "a message has at most 1048576 bytes with its attributes");
    }
    Ok(())
}

/// Serves the JSON protocol.
pub(super) async fn serve(listener: TcpListener, sqs: Arc<Sqs>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(connection(stream, Arc::clone(&sqs)));
    }
}

async fn connection(stream: TcpStream, sqs: Arc<Sqs>) {
    let service = service_fn(move |request| {
        let sqs = Arc::clone(&sqs);
        async move { Ok::<_, Infallible>(answer(&sqs, request).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to SQS broke");
    }
}

async fn answer(sqs: &Sqs, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let outcome = act(sqs, request).await;
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(Refusal(code, message)) => {
            tracing::warn!(code, message, "SQS refuses");
            (
                StatusCode::BAD_REQUEST,
                json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": message }),
            )
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
}

async fn act(sqs: &Sqs, request: Request<Incoming>) -> Result<Value, Refusal> {
    let (parts, body) = request.into_parts();
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_signed = header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=")
        && header("authorization").contains(&format!("/{REGION}/sqs/aws4_request"))
        && !header("x-amz-date").is_empty();
    if !is_signed {
        return Err(Refusal("MissingAuthenticationToken", "the request is not signed".to_owned()));
    }
    if parts.method != Method::POST || header("content-type") != "application/x-amz-json-1.0" {
        return Err(Refusal("InvalidAction", "the request is not one of the JSON protocol".to_owned()));
    }
    let action = header("x-amz-target").to_owned();
    let too_large = |_| Refusal("InvalidParameterValue", "the request is too large".to_owned());
    let body = read(body, 2 * MAX_MESSAGE_BYTES).await.map_err(too_large)?;
    let input: Value = serde_json::from_slice(&body).unwrap_or_default();
    match action.strip_prefix("AmazonSQS.") {
        Some("SendMessage") => sqs.send(&input),
        Some("ChangeMessageVisibility") => sqs.put_off(&input),
        Some(_) | None => Err(Refusal("InvalidAction", format!("`{action}` is not known here"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn sqs(clock: &ManualClock) -> Sqs {
        Sqs::new(SocketAddr::from(([127, 0, 0, 1], 1)), Clock::Manual(clock.clone()))
    }

    fn message(body: &str) -> Value {
        json!({ "QueueUrl": format!("http://h/{ACCOUNT}/orders"), "MessageBody": body })
    }

    #[test]
    fn a_message_comes_again_until_it_is_deleted() {
        let clock = ManualClock::new(Timestamp::from_millis(0));
        let sqs = sqs(&clock);
        sqs.send(&message("a")).ok().expect("it is taken");
        let receives = |sqs: &Sqs| sqs.receive().iter().map(|message| message.receives).collect::<Vec<_>>();
        assert_eq!(receives(&sqs), [1]);
        assert!(receives(&sqs).is_empty(), "it is under way");
        let later = json!({ "QueueUrl": format!("h/{ACCOUNT}/orders"), "ReceiptHandle": "m1", "VisibilityTimeout": 60 });
        sqs.put_off(&later).ok().expect("it is put off");
        clock.set(Timestamp::from_millis(59_999));
        assert!(receives(&sqs).is_empty());
        clock.set(Timestamp::from_millis(60_000));
        assert_eq!(receives(&sqs), [2]);
        sqs.delete(&["m1".to_owned()]);
        clock.set(Timestamp::from_millis(600_000));
        assert_eq!((receives(&sqs).len(), sqs.take_delays()), (0, vec![Duration::from_secs(60)]));
    }

    #[test]
    fn what_is_beyond_the_limits_is_refused() {
        let sqs = sqs(&ManualClock::new(Timestamp::from_millis(0)));
        let code = |body: &str, attributes: Value| {
            let mut input = message(body);
            input["MessageAttributes"] = attributes;
            sqs.send(&input).err().map(|refusal| refusal.0)
        };
        let attribute = json!({ "DataType": "String", "StringValue": "x".repeat(10) });
        let with_id = json!({ "id": attribute });
        let room = MAX_MESSAGE_BYTES - "idString".len() - 10;
        assert_eq!(code(&"x".repeat(room), with_id.clone()), None);
        assert_eq!(code(&"x".repeat(room + 1), with_id), Some("InvalidParameterValue"));
        assert_eq!(code("", Value::Null), Some("MissingParameter"));
        assert_eq!(code("\u{1}", Value::Null), Some("InvalidMessageContents"));
        let many: Map<_, _> = (0..11).map(|n| (format!("a{n}"), attribute.clone())).collect();
        assert_eq!(code("x", many.into()), Some("InvalidParameterValue"));
        let nowhere = json!({ "QueueUrl": "http://h/1/orders", "MessageBody": "x" });
        assert_eq!(sqs.send(&nowhere).err().map(|refusal| refusal.0), Some("QueueDoesNotExist"));
    }
}
