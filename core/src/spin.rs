//! What a policy tells Spin alone: plain data, which no decision of the core depends on.

use serde::{Deserialize, Serialize};

/// What only Spin is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spin {
    /// Whose word about the client is believed; `None` believes nobody but Spin itself.
    pub front: Option<Front>,
}

/// What stands before every request, so that its headers are no client's invention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "policy-file", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Front {
    /// Akamai's edge: the client's address is in `True-Client-IP`, its place in `X-Akamai-Edgescape`.
    Akamai,
}
