//! What CloudFront answers when it has nothing else to answer.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use selvedge_cloudfront::event::Trigger;
use selvedge_core::body::Body;
use selvedge_core::effect::FetchError;

/// Where AWS says which status stands for which failure.
const STATUSES: &str =
    "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/troubleshooting-response-errors.html";

/// An error page of CloudFront's own, which says here what CloudFront keeps for its logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    /// What `X-Cache` says.
    pub(super) x_cache: &'static str,
    /// Why the origin gave no answer, when that is what failed.
    pub(super) origin: Option<FetchError>,
    text: String,
}

impl Failure {
    /// A request that CloudFront does not take.
    pub(super) fn refused(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, x_cache: "Error from cloudfront", origin: None, text: text.into() }
    }

    /// A function that has no result: it
    /// [threw, or took too long](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-503-service-unavailable.html).
    pub(super) fn function(trigger: Trigger, what: impl AsRef<str>) -> Self {
        let text = format!("The function at {trigger} {}.\n{STATUSES}\n", what.as_ref());
        tracing::error!(%trigger, what = what.as_ref(), "a function failed");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { status, x_cache: "LambdaExecutionError from cloudfront", origin: None, text }
    }

    /// A function whose result
    /// [CloudFront refuses](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-502-lambda-validation-error.html).
    pub(super) fn result(trigger: Trigger, why: &[String]) -> Self {
        let mut text = format!("CloudFront refuses the result of the function at {trigger}:\n");
        for why in why {
            writeln!(text, "- {why}").expect("a string takes all that memory holds");
            tracing::error!(%trigger, why, "CloudFront refuses a function's result");
        }
        let status = StatusCode::BAD_GATEWAY;
        Self { status, x_cache: "LambdaValidationError from cloudfront", origin: None, text }
    }

    /// An origin that gave no response.
    pub(super) fn origin(url: &str, error: FetchError) -> Self {
        let is_late = error == FetchError::Timeout;
        let status = if is_late { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
        let text = format!("The origin {url} gave no response ({}).\n{STATUSES}\n", error.as_str());
        tracing::warn!(url, error = error.as_str(), "an origin gave no response");
        Self { status, x_cache: "Error from cloudfront", origin: Some(error), text }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(Bytes::from(self.text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::SERVER, HeaderValue::from_static("CloudFront"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}
