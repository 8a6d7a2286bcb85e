//! What the distribution has been told to do.

use selvedge_cloudfront::event::Trigger;

/// The domain of the group's secondary origin.
pub const FAILOVER_DOMAIN: &str = "failover.selvedge.invalid";

/// What a distribution needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Triggers that have a function.
    pub triggers: Vec<Attached>,
    /// Headers of the cache policy, lower case.
    pub cache_key_headers: Vec<String>,
    /// Further CloudFront headers for the origin request policy, lower case.
    pub origin_request_headers: Vec<String>,
    /// Whether the distribution has an origin group.
    pub fails_over: bool,
    /// Whether viewers are sent to https.
    pub https_only: bool,
}

/// A trigger that has a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The trigger.
    pub trigger: Trigger,
    /// Whether the event has the request's body.
    pub include_body: bool,
}
