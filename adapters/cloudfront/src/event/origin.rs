use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::{Extra, Headers};

/// Where CloudFront gets the answer from; written `{"custom": {..}}` or `{"s3": {..}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A server.
    Custom(CustomOrigin),
    /// An S3 bucket.
    S3(S3Origin),
}

impl Origin {
    /// The origin's name.
    #[must_use]
    pub fn domain_name(&self) -> &str {
        match self {
            Self::Custom(origin) => &origin.domain_name,
            Self::S3(origin) => &origin.domain_name,
        }
    }

    /// The headers that CloudFront adds to requests to the origin.
    #[must_use]
    pub fn custom_headers(&self) -> &Headers {
        match self {
            Self::Custom(origin) => &origin.custom_headers,
            Self::S3(origin) => &origin.custom_headers,
        }
    }
}

/// A server. Numbers that are written as strings are read, and written as numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomOrigin {
    /// Headers that CloudFront adds to requests to the origin.
    #[serde(default)]
    pub custom_headers: Headers,
    /// The server's name: no port, no IPv4 address, at most 253 characters.
    pub domain_name: String,
    /// Seconds that CloudFront keeps an idle connection; 1 to 120.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub keepalive_timeout: Option<u32>,
    /// The directory before every path: empty, or with a slash before it and none after it.
    #[serde(default)]
    pub path: String,
    /// 80, 443, or 1024 to 65535.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `http` or `https`.
    #[serde(default)]
    pub protocol: String,
    /// Seconds that CloudFront waits for an answer; 1 to 120.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub read_timeout: Option<u32>,
    /// The TLS versions that CloudFront may speak, such as `TLSv1.2`.
    #[serde(default)]
    pub ssl_protocols: Vec<String>,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An S3 bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Origin {
    /// `origin-access-identity` or `none`.
    #[serde(default)]
    pub auth_method: String,
    /// Headers that CloudFront adds to requests to the origin.
    #[serde(default)]
    pub custom_headers: Headers,
    /// The bucket's name, such as `my-bucket.s3.amazonaws.com`.
    pub domain_name: String,
    /// The directory before every path: empty, or with a slash before it and none after it.
    #[serde(default)]
    pub path: String,
    /// The bucket's region; needed with an origin access identity only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Fields that this crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A number, also one in a string, as hand-written events have it.
fn number<'de, D: Deserializer<'de>, N: TryFrom<u64>>(deserializer: D) -> Result<Option<N>, D::Error> {
    deserializer.deserialize_any(NumberVisitor(PhantomData))
}

struct NumberVisitor<N>(PhantomData<N>);

impl<N: TryFrom<u64>> Visitor<'_> for NumberVisitor<N> {
    type Value = Option<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number of {} bits", 8 * size_of::<N>())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let wrong = || E::invalid_value(de::Unexpected::Unsigned(number), &self);
        N::try_from(number).map(Some).map_err(|_| wrong())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|_| digits).ok_or_else(wrong)?;
        N::try_from(number).map(Some).map_err(|_| wrong())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
