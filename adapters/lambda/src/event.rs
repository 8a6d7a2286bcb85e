//! Events as Lambda hands them over, and which kind each one is.
//!
//! DIFFERENCE: the types are this crate's own and not those of `lambda_http`, which refuses a whole event for one
//! header value beyond ASCII, panics on a path that is no URI, and of a repeated header keeps one value in version 1
//! requests and version 2 responses.

use bytes::Bytes;
use serde::Deserialize;

use crate::fields::Fields;

/// Part of the domain of every function URL, and of no HTTP API's; both have the same form of event.
const FUNCTION_URL: &str = ".lambda-url.";

/// An event of a kind that is known.
#[derive(Debug)]
pub(crate) enum Event {
    /// A request.
    Http(Box<HttpEvent>),
    /// Messages of one SQS queue.
    Messages(Vec<Message>),
    /// The time of a schedule, by name.
    Schedule(String),
    /// What CloudFront sends a function at its edge.
    CloudFront,
}

/// An event that is answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventError {
    /// It is not JSON, or not of a form that any service sends.
    Unknown,
}

/// A request by any front.
#[derive(Debug)]
pub(crate) struct HttpEvent {
    pub(crate) front: Front,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Whether a per cent sign in the path is one and begins no encoded byte.
    pub(crate) is_path_decoded: bool,
    pub(crate) query: Query,
    pub(crate) headers: Fields,
    pub(crate) cookies: Vec<String>,
    pub(crate) body: Option<String>,
    pub(crate) is_base64: bool,
    /// Where the client is connected from, as the front says; a load balancer says it in a header only.
    pub(crate) source_ip: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) domain_name: Option<String>,
}

/// Who took the request from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// A function URL, or an HTTP API of API Gateway, with payload version 2.
    Version2,
    /// A REST API of API Gateway, or an HTTP API with payload version 1.
    Version1,
    /// An Application Load Balancer, with or without headers of several values.
    LoadBalancer {
        /// Whether the target group has `lambda.multi_value_headers.enabled`.
        multi_value: bool,
    },
}

/// A query as events have it.
#[derive(Debug)]
pub(crate) enum Query {
    /// As the client sent it.
    Raw(String),
    /// Names and values, decoded.
    Decoded(Fields),
    /// Names and values as the client sent them.
    Encoded(Fields),
}

/// A message of an SQS queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) message_id: String,
    #[serde(default)]
    pub(crate) receipt_handle: String,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) attributes: Attributes,
    #[serde(default)]
    pub(crate) message_attributes: MessageAttributes,
    #[serde(rename = "eventSourceARN")]
    pub(crate) event_source_arn: String,
}

/// What SQS says of a message.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attributes {
    #[serde(default)]
    pub(crate) approximate_receive_count: String,
}

/// What the sender of a message says of it, as far as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct MessageAttributes {
    #[serde(rename = "selvedge-id")]
    pub(crate) id: Option<MessageAttribute>,
    #[serde(rename = "selvedge-encoding")]
    pub(crate) encoding: Option<MessageAttribute>,
}

/// A text attribute of a message.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageAttribute {
    #[serde(default)]
    pub(crate) string_value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    version: Option<String>,
    #[serde(rename = "Records")]
    records: Option<Vec<serde_json::Value>>,
    #[serde(rename = "selvedge-schedule")]
    schedule: Option<String>,
    request_context: Option<Context>,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    cookies: Option<Vec<String>>,
    http_method: Option<String>,
    path: Option<String>,
    headers: Option<Fields>,
    multi_value_headers: Option<Fields>,
    query_string_parameters: Option<Fields>,
    multi_value_query_string_parameters: Option<Fields>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    http: Option<Http>,
    elb: Option<serde::de::IgnoredAny>,
    identity: Option<Identity>,
    protocol: Option<String>,
    domain_name: Option<String>,
    stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    protocol: Option<String>,
    source_ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    source_ip: Option<String>,
}

impl Event {
    /// Recognises an event.
    ///
    /// The forms are those of
    /// [function URLs](https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads),
    /// [HTTP APIs](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html),
    /// [REST APIs](https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html),
    /// [load balancers](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html) and
    /// [SQS](https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html).
    pub(crate) fn parse(bytes: &Bytes) -> Result<Self, EventError> {
        let mut raw: Raw = serde_json::from_slice(bytes).map_err(|_| EventError::Unknown)?;
        if let Some(records) = raw.records {
            return messages(records);
        }
        if let Some(name) = raw.schedule {
            return Ok(Self::Schedule(name));
        }
        let context = raw.request_context.take().ok_or(EventError::Unknown)?;
        raw.http(context).map(|event| Self::Http(Box::new(event)))
    }
}

impl Raw {
    fn http(self, context: Context) -> Result<HttpEvent, EventError> {
        let Context { http, elb, identity, protocol, domain_name, stage } = context;
        if let Some(http) = http {
            return self.version2(http, domain_name, stage);
        }
        let multi_value = self.multi_value_headers.is_some();
        let (front, query): (_, fn(Fields) -> Query) = match elb {
            Some(_) => (Front::LoadBalancer { multi_value }, Query::Encoded),
            None => (Front::Version1, Query::Decoded),
        };
        let parameters = self.multi_value_query_string_parameters.or(self.query_string_parameters);
        Ok(HttpEvent {
            front,
            method: self.http_method.ok_or(EventError::Unknown)?,
            path: self.path.ok_or(EventError::Unknown)?,
            // Only an HTTP API says its version.
            is_path_decoded: self.version.is_some(),
            query: query(parameters.unwrap_or_default()),
            headers: self.multi_value_headers.or(self.headers).unwrap_or_default(),
            cookies: Vec::new(),
            body: self.body,
            is_base64: self.is_base64_encoded.unwrap_or(false),
            source_ip: identity.and_then(|identity| identity.source_ip),
            protocol,
            domain_name,
        })
    }

    fn version2(
        self,
        http: Http,
        domain_name: Option<String>,
        stage: Option<String>,
    ) -> Result<HttpEvent, EventError> {
        let path = self.raw_path.ok_or(EventError::Unknown)?;
        Ok(HttpEvent {
            front: Front::Version2,
            method: http.method,
            path: without_stage(path, stage.as_deref()),
            is_path_decoded: !domain_name.as_deref().is_some_and(|name| name.contains(FUNCTION_URL)),
            query: Query::Raw(self.raw_query_string.unwrap_or_default()),
            headers: self.headers.unwrap_or_default(),
            cookies: self.cookies.unwrap_or_default(),
            body: self.body,
            is_base64: self.is_base64_encoded.unwrap_or(false),
            source_ip: http.source_ip,
            protocol: http.protocol,
            domain_name,
        })
    }
}

/// The path as the policy knows it: a stage with a name stands before it in the event.
fn without_stage(path: String, stage: Option<&str>) -> String {
    let Some(stage) = stage.filter(|stage| *stage != "$default") else { return path };
    match path.strip_prefix('/').and_then(|path| path.strip_prefix(stage)) {
        Some("") => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        Some(_) | None => path,
    }
}

fn messages(records: Vec<serde_json::Value>) -> Result<Event, EventError> {
    if records.first().is_some_and(|record| record.get("cf").is_some()) {
        return Ok(Event::CloudFront);
    }
    let message = |record: serde_json::Value| match record["eventSource"].as_str() {
        Some("aws:sqs") => serde_json::from_value(record).map_err(|_| EventError::Unknown),
        Some(_) | None => Err(EventError::Unknown),
    };
    records.into_iter().map(message).collect::<Result<_, _>>().map(Event::Messages)
}

impl EventError {
    /// The name that Lambda's log and metrics show.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "Selvedge.UnknownEvent",
        }
    }

    /// What is wrong, and what to do.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Unknown => {
                "the event is none of a function URL, API Gateway, a load balancer, SQS, CloudFront or a schedule's \
                 {\"selvedge-schedule\": \"NAME\"}"
            }
        }
    }
}

#[cfg(test)]
mod tests;
