//! Header names that a policy can carry.

use std::fmt;

use http::HeaderName;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A header name that can be serialised; compares and prints in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FieldName(HeaderName);

impl FieldName {
    /// Parses a name in any case; `None` when it is no token of
    /// [RFC 9110 section 5.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.1).
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// Returns the name.
    #[must_use]
    pub fn as_header_name(&self) -> &HeaderName {
        &self.0
    }

    /// Returns the name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for FieldName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| D::Error::custom(format_args!("`{text}` is not a header name")))
    }
}
