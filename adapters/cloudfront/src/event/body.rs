use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Extra;

/// The body of a request, which CloudFront sends where the distribution includes it (`IncludeBody`).
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-include-body-access.html>
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestBody {
    /// Whether CloudFront cut the body off: it sends 40 KB at viewer-request and 1 MB at origin-request.
    #[serde(default)]
    pub input_truncated: bool,
    /// Whether the function replaces the body; a body that is only read goes to the origin whole.
    #[serde(default)]
    pub action: BodyAction,
    /// How `data` is written; CloudFront sends base64.
    #[serde(default = "base64")]
    pub encoding: Encoding,
    /// The body.
    #[serde(default)]
    pub data: String,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl RequestBody {
    /// A body that replaces the request's.
    #[must_use]
    pub fn replace(bytes: &[u8]) -> Self {
        let data = STANDARD.encode(bytes);
        let action = BodyAction::Replace;
        Self { input_truncated: false, action, encoding: Encoding::Base64, data, extra: Extra::new() }
    }

    /// The bytes of the body.
    ///
    /// # Errors
    /// When `data` is said to be base64 and is not.
    pub fn decode(&self) -> Result<Vec<u8>, BadBase64> {
        self.encoding.decode(&self.data)
    }
}

/// What CloudFront does with the body in a function's result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyAction {
    /// CloudFront ignores `data` and sends the viewer's body.
    #[default]
    ReadOnly,
    /// CloudFront sends `data`.
    Replace,
}

/// How a body is written into JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Base64 with padding.
    Base64,
    /// As it is.
    Text,
}

impl Encoding {
    /// The name in CloudFront's JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Text => "text",
        }
    }

    /// The bytes that `data` stands for.
    ///
    /// # Errors
    /// When this is base64 and `data` is not.
    pub fn decode(self, data: &str) -> Result<Vec<u8>, BadBase64> {
        match self {
            Self::Base64 => STANDARD.decode(data).map_err(BadBase64),
            Self::Text => Ok(data.as_bytes().to_vec()),
        }
    }
}

/// A body that is said to be base64 and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadBase64(base64::DecodeError);

impl fmt::Display for BadBase64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is not base64")
    }
}

impl Error for BadBase64 {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn base64() -> Encoding {
    Encoding::Base64
}
