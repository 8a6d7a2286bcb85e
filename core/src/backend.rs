//! Backends: the servers behind the edge.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::facts::Coordinates;
use crate::headers::name::FieldName;
use crate::health::rule::HealthRule;

/// The place of a backend in [`Policy::backends`](crate::policy::Policy::backends).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BackendId(pub u16);

/// A checked backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Base URLs without a trailing slash, tried in order.
    pub urls: Vec<String>,
    /// Longest wait for the response head.
    pub timeout: Duration,
    /// Longest wait for a connection: for the name to be found, the connection to be made and TLS to be agreed on.
    pub connect_timeout: Duration,
    /// Longest time from the first attempt at it until the end of a response's body; `None` for as long as it takes.
    pub total_timeout: Option<Duration>,
    /// Name of its region.
    pub region: Option<String>,
    /// Where it stands.
    pub coordinates: Option<Coordinates>,
    /// Headers to set on requests to it.
    pub request_headers: Vec<(FieldName, HeaderSource)>,
    /// Backends to ask, in order, when it fails.
    pub failover: Vec<BackendId>,
    /// Which `Host` it is sent.
    pub host: HostSource,
    /// How requests to it are protected.
    pub health: HealthRule,
}

/// Where the value of a backend's header comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeaderSource {
    /// The policy.
    Text(String),
    /// An environment variable of the host, read when the engine is built.
    Env(String),
}

/// Which `Host` a backend is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostSource {
    /// The host of its own URL.
    #[default]
    Backend,
    /// The host that the client asked for.
    Client,
}
