//! CloudFront's Lambda@Edge events, typed, and CloudFront's rules about what a function may return.
//!
//! [`event`] has the events of all four triggers and the results of functions, as
//! [AWS documents them](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html).
//! They are read and written by serde; a field that this crate does not know survives.
//!
//! [`rules`] says what CloudFront would answer 502 for, before it does, and repairs what can be repaired.
//!
//! This crate depends on nothing of Selvedge and does no input or output.
//!
//! ```
//! use selvedge_cloudfront::event::{Event, Outcome, Response};
//!
//! let json = r#"{"Records": [{"cf": {
//!     "config": {"distributionDomainName": "d111111abcdef8.cloudfront.net", "distributionId": "EDFDVBD6EXAMPLE",
//!         "eventType": "viewer-request", "requestId": "4TyzHTaYWb1GX1qTfsHhEqV6HUDd_BzoBZnwfnvQc_1oF26ClkoUSEQ=="},
//!     "request": {"clientIp": "203.0.113.178", "method": "GET", "uri": "/admin", "querystring": "",
//!         "headers": {"host": [{"key": "Host", "value": "d111111abcdef8.cloudfront.net"}]}}
//! }}]}"#;
//! let event: Event = serde_json::from_str(json)?;
//! let cf = event.cf().ok_or("an event has one record")?;
//! let outcome = if cf.request.uri.starts_with("/admin") {
//!     Outcome::Response(Response::new(403))
//! } else {
//!     Outcome::Request(Box::new(cf.request.clone()))
//! };
//! assert_eq!(serde_json::to_string(&outcome)?, r#"{"status":"403","headers":{}}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod event;
#[cfg(feature = "policy")]
pub mod policy;
pub mod rules;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
