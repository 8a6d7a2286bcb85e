//! What Lambda@Edge does not do of a policy, or not as one may expect.

use selvedge_core::policy::Policy;

use super::Finding;

pub(crate) fn findings(_policy: &Policy) -> Vec<Finding> {
    Vec::new()
}
