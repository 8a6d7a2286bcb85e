//! CloudFront's limits in bytes.
//!
//! AWS writes most of them in KB and MB without saying which. They are counted here as 1,024 and 1,048,576 bytes, as
//! AWS's other quotas are (8,192 bytes for a URL).

use crate::event::{Encoding, Trigger};

/// The head of a request or of an origin's response: request line and headers, without the body.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-general>
pub const MAX_HEAD_BYTES: usize = 32_768;

/// Path and query string with the `?` between them are shorter than this.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html#function-restrictions-uri>
pub const URI_BYTES: usize = 8_192;

const KB: usize = 1_024;
const MB: usize = 1_024 * KB;

/// A response that a function made, headers and body: 40 KB at the viewer's triggers, 1 MB at the origin's.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-lambda-at-edge>
#[must_use]
pub const fn max_generated_bytes(trigger: Trigger) -> usize {
    if trigger.is_viewer() { 40 * KB } else { MB }
}

/// A body that replaces the request's, as it is written: 40 KB as text and 53.2 KB as base64 at the viewer's
/// triggers, 1 MB and 1.33 MB at the origin's.
///
/// 53.2 KB of base64 are a little less than the base64 of 40 KB, and so for the other; both are as documented:
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html#lambda-at-edge-restrictions-request-body>
#[must_use]
pub const fn max_body_bytes(trigger: Trigger, encoding: Encoding) -> usize {
    match (trigger.is_viewer(), encoding) {
        (true, Encoding::Text) => 40 * KB,
        (true, Encoding::Base64) => 532 * KB / 10,
        (false, Encoding::Text) => MB,
        (false, Encoding::Base64) => 133 * MB / 100,
    }
}
