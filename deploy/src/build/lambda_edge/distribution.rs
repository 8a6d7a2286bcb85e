//! What a policy needs of a CloudFront distribution.

use selvedge_cloudfront::event::Trigger;
use selvedge_core::policy::Policy;

pub(crate) struct Distribution {
    pub(crate) triggers: Vec<Attached>,
    pub(crate) cache_key_headers: Vec<String>,
    pub(crate) origin_request_headers: Vec<String>,
    pub(crate) fails_over: bool,
    pub(crate) https_only: bool,
}

pub(crate) struct Attached {
    pub(crate) trigger: Trigger,
    pub(crate) include_body: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Geography {
    Platform,
    Database,
}

impl Distribution {
    pub(crate) fn of(policy: &Policy, geography: Geography) -> Self {
        let has_place = geography == Geography::Platform && !policy.geo.rules.is_empty();
        let has_fallback = policy.fallback.page.is_some() || policy.fallback.backend.is_some();
        let has_handlers = policy.handlers().next().is_some();
        let attached =
            |trigger| Attached { trigger, include_body: trigger == Trigger::OriginRequest && has_handlers };
        let triggers = if policy.backends.is_empty() && !has_place && !has_handlers {
            vec![attached(Trigger::ViewerRequest)]
        } else {
            Trigger::ALL.into_iter().map(attached).collect()
        };
        let mut cache_key_headers = vec!["selvedge-key".to_owned()];
        if has_place {
            cache_key_headers.push("cloudfront-viewer-country".to_owned());
        }
        Self {
            triggers,
            cache_key_headers,
            origin_request_headers: vec!["cloudfront-viewer-address".to_owned()],
            fails_over: has_fallback || policy.backends.iter().any(|backend| !backend.failover.is_empty()),
            https_only: true,
        }
    }
}
