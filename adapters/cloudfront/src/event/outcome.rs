use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BadBase64, Encoding, Extra, Headers, Request};

/// A response: the one of an event, or one that a function made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The status: CloudFront wants a string. Absent in what is written when this is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// What is said with the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_description: Option<String>,
    /// The headers.
    #[serde(default)]
    pub headers: Headers,
    /// The body that a function made. CloudFront shows no body of a response to a function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How the body is written; CloudFront takes it as text where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_encoding: Option<Encoding>,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Response {
    /// A response with a status and nothing else.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status: status.to_string(), ..Self::default() }
    }

    /// The bytes of the body; `None` where the function gives none.
    ///
    /// # Errors
    /// When the body is said to be base64 and is not.
    pub fn decode(&self) -> Option<Result<Vec<u8>, BadBase64>> {
        let body = self.body.as_deref()?;
        Some(self.body_encoding.unwrap_or(Encoding::Text).decode(body))
    }
}

/// What a function returns.
///
/// In JSON, an object with a `method` and no `status` is a request, and every other one is a response.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// CloudFront goes on with this request; at the request triggers only.
    Request(Box<Request>),
    /// CloudFront goes on with this response, which at a request trigger is the answer.
    Response(Response),
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = match value.get("method").is_some() && value.get("status").is_none() {
            true => serde_json::from_value(value).map(Self::Request),
            false => serde_json::from_value(value).map(Self::Response),
        };
        read.map_err(D::Error::custom)
    }
}
