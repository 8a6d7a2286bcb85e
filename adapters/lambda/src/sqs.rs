//! Amazon SQS: where handlers' messages go.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use selvedge_core::effect::StoreError;
use selvedge_core::policy::Policy;
use selvedge_log::write_log;
use selvedge_native::body::read;
use selvedge_native::upload::Upload;
use serde_json::{Value, json};

use crate::function::Function;

/// What the attribute `selvedge-encoding` of a message says whose body is not text.
pub(crate) const BASE64: &str = "base64";

/// What it says where there is no body: SQS takes no message without one.
pub(crate) const EMPTY: &str = "empty";

/// Longest wait for SQS.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time that a message can be put off
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>).
const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// The queues of a policy that have a URL, and what signs requests.
pub(crate) struct Queues {
    urls: BTreeMap<String, String>,
    /// Another place than the queue's own, for tests.
    endpoint: Option<Uri>,
    region: Option<String>,
    credentials: Option<Credentials>,
}

/// Why SQS was not asked or refused.
#[derive(Debug)]
struct SqsError(String);

impl Queues {
    /// Reads the URL of each queue of a policy, and the credentials that Lambda gives a function.
    pub(crate) fn read(policy: &Policy, variable: impl Fn(&str) -> Option<String>) -> Self {
        let url = |name: &str| Some((name.to_owned(), variable(&variable_of(name))?));
        let credentials = || {
            let (id, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
            Some(Credentials::new(id, secret, variable("AWS_SESSION_TOKEN"), None, "environment"))
        };
        Self {
            urls: policy.queues.iter().filter_map(|queue| url(&queue.name)).collect(),
            endpoint: variable("AWS_ENDPOINT_URL_SQS").and_then(|url| url.parse().ok()),
            region: variable("AWS_REGION"),
            credentials: credentials(),
        }
    }

    /// The queue of a policy that an ARN names, `arn:aws:sqs:REGION:ACCOUNT:NAME`: the one whose URL ends with
    /// `/ACCOUNT/NAME`.
    pub(crate) fn of_arn(&self, arn: &str) -> Option<&str> {
        let mut parts = arn.rsplit(':');
        let end = (parts.next()?, parts.next()?);
        let is_it = |url: &str| {
            let mut segments = url.rsplit('/');
            segments.next() == Some(end.0) && segments.next() == Some(end.1)
        };
        self.urls.iter().find(|(_, url)| is_it(url)).map(|(name, _)| name.as_str())
    }

    /// Prepares a request of [the JSON protocol](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html).
    fn request(&self, url: &str, action: &str, body: &Value) -> Result<Request<Bytes>, SqsError> {
        let credentials = self.credentials.clone().ok_or("there are no credentials in the environment")?;
        let place = self.place(url)?;
        let host = place.host().unwrap_or_default();
        let region = host.strip_prefix("sqs.").and_then(|rest| rest.split('.').next());
        let region = region.or(self.region.as_deref()).ok_or("AWS_REGION is not set")?;
        let body = Bytes::from(body.to_string());
        let target = format!("AmazonSQS.{action}");
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", target.as_str())];
        let mut request = Request::new(body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = place.clone();
        for (name, value) in headers {
            let value = value.parse().map_err(|_| "an action is ASCII")?;
            request.headers_mut().insert(name, value);
        }
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("sqs")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| SqsError(error.to_string()))?
            .into();
        let uri = place.to_string();
        let signable = SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(&body));
        let signed = signable.and_then(|signable| sign(signable, &parameters));
        let (instructions, _) = signed.map_err(|error| SqsError(error.to_string()))?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    /// Where a queue is asked.
    fn place(&self, url: &str) -> Result<Uri, SqsError> {
        let place = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => url.parse().map_err(|_| SqsError(format!("`{url}` is no URL")))?,
        };
        let mut parts = place.into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        Uri::from_parts(parts).map_err(|_| SqsError(format!("`{url}` is no absolute URL")))
    }
}

impl Function {
    /// Puts a message into a queue.
    pub(crate) async fn send(&self, queue: &str, id: &str, body: &Bytes) -> Result<(), StoreError> {
        let result = match self.queues.urls.get(queue) {
            Some(url) => self.ask(url, "SendMessage", &send_message(url, id, body)).await,
            None => Err(SqsError(format!("{} is not set to its URL", variable_of(queue)))),
        };
        result.map_err(|error| {
            write_log("ERROR", &format!("the queue `{queue}` took no message: {}", error.0));
            StoreError
        })
    }

    /// Lets a message come again after a time. Where that fails, it comes when the queue's own time is over.
    pub(crate) async fn put_off(&self, queue: &str, receipt: &str, after: Duration) {
        let Some(url) = self.queues.urls.get(queue) else { return };
        let seconds = after.min(MAX_VISIBILITY).as_secs();
        let body = json!({ "QueueUrl": url, "ReceiptHandle": receipt, "VisibilityTimeout": seconds });
        if let Err(error) = self.ask(url, "ChangeMessageVisibility", &body).await {
            write_log("WARN", &format!("the queue `{queue}` did not put a message off: {}", error.0));
        }
    }

    async fn ask(&self, url: &str, action: &str, body: &Value) -> Result<(), SqsError> {
        let (parts, body) = self.queues.request(url, action, body)?.into_parts();
        let request = Request::from_parts(parts, Upload::Bytes(Some(body)));
        let response = self.backends.send(request, TIMEOUT, TIMEOUT).await;
        let response =
            response.map_err(|error| SqsError(format!("SQS does not answer: {}", error.as_str())))?;
        if response.status() == StatusCode::OK {
            return Ok(());
        }
        let status = response.status();
        let told = read(response.into_body(), 4096).await.unwrap_or_default();
        Err(SqsError(format!("SQS answered {status}: {}", String::from_utf8_lossy(&told))))
    }
}

/// Names the variable that holds a queue's URL.
pub(crate) fn variable_of(queue: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("SELVEDGE_QUEUE_{}", queue.chars().map(letter).collect::<String>())
}

fn send_message(url: &str, id: &str, body: &Bytes) -> Value {
    let attribute = |value: &str| json!({ "DataType": "String", "StringValue": value });
    let mut message = json!({ "QueueUrl": url, "MessageAttributes": { "selvedge-id": attribute(id) } });
    let (text, encoding) = match std::str::from_utf8(body) {
        Ok("") => (EMPTY.to_owned(), Some(EMPTY)),
        Ok(text) if text.chars().all(is_of_message) => (text.to_owned(), None),
        Ok(_) | Err(_) => (BASE64_STANDARD.encode(body), Some(BASE64)),
    };
    message["MessageBody"] = text.into();
    if let Some(encoding) = encoding {
        message["MessageAttributes"]["selvedge-encoding"] = attribute(encoding);
    }
    if url.ends_with(".fifo") {
        message["MessageGroupId"] = "selvedge".into();
        message["MessageDeduplicationId"] = id.into();
    }
    message
}

/// What a message may hold (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>).
fn is_of_message(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

impl From<&str> for SqsError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests;
