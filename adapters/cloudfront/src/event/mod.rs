//! Events of all four triggers, and what a function returns.
//!
//! The names are [CloudFront's](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html).
//! Every object keeps fields that this crate does not know in `extra` and writes them again, so that a function which
//! returns the request it got loses nothing that CloudFront added since. Reading never panics, and `serde_json`
//! bounds its depth.

mod body;
mod headers;
mod origin;
mod outcome;
#[cfg(test)]
mod tests;

pub use body::{BadBase64, BodyAction, Encoding, RequestBody};
pub use headers::{Field, Headers};
pub use origin::{CustomOrigin, Origin, S3Origin};
pub use outcome::{Outcome, Response};

use std::fmt;

use serde::{Deserialize, Serialize};

/// Fields of an object that this crate does not know.
pub type Extra = serde_json::Map<String, serde_json::Value>;

/// What CloudFront calls a function with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The records; CloudFront sends exactly one.
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Event {
    /// An event with one record.
    #[must_use]
    pub fn new(cf: Cf) -> Self {
        let record = Record { cf, extra: Extra::new() };
        Self { records: vec![record], extra: Extra::new() }
    }

    /// The record of an event that has exactly one, as all of CloudFront's have; `None` for any other.
    #[must_use]
    pub fn cf(&self) -> Option<&Cf> {
        match self.records.as_slice() {
            [record] => Some(&record.cf),
            _ => None,
        }
    }

    /// The record of an event that has exactly one, taken out of it.
    #[must_use]
    pub fn into_cf(self) -> Option<Cf> {
        let mut records = self.records.into_iter();
        match (records.next(), records.next()) {
            (Some(record), None) => Some(record.cf),
            _ => None,
        }
    }
}

/// One record of an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What happened.
    pub cf: Cf,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A request, or a request and the response to it, at one trigger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cf {
    /// Which distribution and which trigger.
    pub config: Config,
    /// The request; at the response triggers, the one that was answered.
    pub request: Request,
    /// The response, at the response triggers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Which distribution and which trigger an event is of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The distribution's own name, such as `d111111abcdef8.cloudfront.net`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub distribution_domain_name: String,
    /// The distribution's ID.
    pub distribution_id: String,
    /// The trigger; absent in old sample events only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Trigger>,
    /// The request's ID, as CloudFront's logs have it (`x-edge-request-id`); empty where the event has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// When a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// CloudFront got a request from a viewer, and did not look into its cache yet.
    ViewerRequest,
    /// CloudFront has no answer in its cache and is about to ask the origin.
    OriginRequest,
    /// The origin answered, and the answer is not in the cache yet.
    OriginResponse,
    /// CloudFront is about to answer the viewer.
    ViewerResponse,
}

impl Trigger {
    /// All triggers, in the order in which a request meets them.
    pub const ALL: [Self; 4] =
        [Self::ViewerRequest, Self::OriginRequest, Self::OriginResponse, Self::ViewerResponse];

    /// The trigger's name, as `eventType` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ViewerRequest => "viewer-request",
            Self::OriginRequest => "origin-request",
            Self::OriginResponse => "origin-response",
            Self::ViewerResponse => "viewer-response",
        }
    }

    /// Whether the function is asked about a request (and may answer it), not about a response.
    #[must_use]
    pub const fn is_request(self) -> bool {
        matches!(self, Self::ViewerRequest | Self::OriginRequest)
    }

    /// Whether the function stands between CloudFront and the viewer, not between CloudFront and the origin.
    #[must_use]
    pub const fn is_viewer(self) -> bool {
        matches!(self, Self::ViewerRequest | Self::ViewerResponse)
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The address of the viewer, or of the proxy before CloudFront. Read-only.
    pub client_ip: String,
    /// The method. Read-only.
    pub method: String,
    /// The path, which begins with `/`.
    pub uri: String,
    /// The query string without `?`; empty where there is none.
    #[serde(default)]
    pub querystring: String,
    /// The headers.
    #[serde(default)]
    pub headers: Headers,
    /// The body, where the distribution includes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<RequestBody>,
    /// Where the request is about to go, at the origin's triggers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}
