use std::fmt;

const ALL_FUNCTIONS: &str =
    "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html";
const LAMBDA: &str = "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html";
const LIMITS: &str =
    "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html";
const GENERATING: &str = "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-generating-http-responses-in-requests.html";
const UPDATING: &str =
    "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-updating-http-responses.html";
const EVENTS: &str =
    "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html";

/// What CloudFront wants of a function's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// At the response triggers the result is a response.
    ResponseExpected,
    /// A header that no function may add or change.
    DisallowedHeader,
    /// A header that a function may read at this trigger, and not add, change or delete.
    ReadOnlyHeader,
    /// `CloudFront-Viewer-Country` cannot be added at viewer-request: CloudFront adds it later.
    CountryHeader,
    /// A header's name is one of HTTP's tokens.
    HeaderName,
    /// A header's value has no control characters.
    HeaderValue,
    /// A header's `key` is its name, in any case.
    HeaderKey,
    /// The head of a request or of an origin's response has at most [`MAX_HEAD_BYTES`](super::limits::MAX_HEAD_BYTES).
    HeadSize,
    /// A response has a status of 200 to 599, as a string.
    Status,
    /// At viewer-response the status stays as it is.
    StatusChange,
    /// The status description has no control characters.
    StatusDescription,
    /// A response with the status 204 or 304 has no body.
    BodyOfNothing,
    /// At viewer-response the body stays as it is.
    BodyAtViewerResponse,
    /// A body that is said to be base64 is base64.
    BodyEncoding,
    /// A generated response, headers and body, has at most
    /// [`max_generated_bytes`](super::limits::max_generated_bytes).
    ResponseSize,
    /// A body that replaces the request's has at most [`max_body_bytes`](super::limits::max_body_bytes).
    RequestBodySize,
    /// A function cannot change the method.
    Method,
    /// A function cannot change the client's address.
    ClientIp,
    /// A changed path begins with a slash and has no spaces, control characters, query string or fragment.
    Uri,
    /// A changed query string has no spaces, control characters or fragment.
    QueryString,
    /// A changed path and query string are shorter than [`URI_BYTES`](super::limits::URI_BYTES).
    UriSize,
    /// Only at origin-request a function can change the origin.
    OriginTrigger,
    /// The fields of a changed origin have values that CloudFront takes.
    OriginValue,
    /// The rules about headers hold for the headers that an origin adds, too.
    CustomHeader,
    /// A header is in the request or among those that the origin adds, not in both.
    CustomHeaderTwice,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 25] = [
        Self::ResponseExpected,
        Self::DisallowedHeader,
        Self::ReadOnlyHeader,
        Self::CountryHeader,
        Self::HeaderName,
        Self::HeaderValue,
        Self::HeaderKey,
        Self::HeadSize,
        Self::Status,
        Self::StatusChange,
        Self::StatusDescription,
        Self::BodyOfNothing,
        Self::BodyAtViewerResponse,
        Self::BodyEncoding,
        Self::ResponseSize,
        Self::RequestBodySize,
        Self::Method,
        Self::ClientIp,
        Self::Uri,
        Self::QueryString,
        Self::UriSize,
        Self::OriginTrigger,
        Self::OriginValue,
        Self::CustomHeader,
        Self::CustomHeaderTwice,
    ];

    /// A stable name for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResponseExpected => "response-expected",
            Self::DisallowedHeader => "disallowed-header",
            Self::ReadOnlyHeader => "read-only-header",
            Self::CountryHeader => "country-header",
            Self::HeaderName => "header-name",
            Self::HeaderValue => "header-value",
            Self::HeaderKey => "header-key",
            Self::HeadSize => "head-size",
            Self::Status => "status",
            Self::StatusChange => "status-change",
            Self::StatusDescription => "status-description",
            Self::BodyOfNothing => "body-of-nothing",
            Self::BodyAtViewerResponse => "body-at-viewer-response",
            Self::BodyEncoding => "body-encoding",
            Self::ResponseSize => "response-size",
            Self::RequestBodySize => "request-body-size",
            Self::Method => "method",
            Self::ClientIp => "client-ip",
            Self::Uri => "uri",
            Self::QueryString => "query-string",
            Self::UriSize => "uri-size",
            Self::OriginTrigger => "origin-trigger",
            Self::OriginValue => "origin-value",
            Self::CustomHeader => "custom-header",
            Self::CustomHeaderTwice => "custom-header-twice",
        }
    }

    /// AWS's page that has the rule.
    #[must_use]
    pub const fn url(self) -> &'static str {
        match self {
            Self::DisallowedHeader
            | Self::ReadOnlyHeader
            | Self::HeaderName
            | Self::HeaderValue
            | Self::QueryString
            | Self::UriSize => ALL_FUNCTIONS,
            Self::CountryHeader | Self::StatusChange | Self::RequestBodySize => LAMBDA,
            Self::HeadSize | Self::ResponseSize => LIMITS,
            Self::Status | Self::StatusDescription | Self::BodyOfNothing | Self::BodyEncoding => GENERATING,
            Self::BodyAtViewerResponse => UPDATING,
            Self::ResponseExpected
            | Self::HeaderKey
            | Self::Method
            | Self::ClientIp
            | Self::Uri
            | Self::OriginTrigger
            | Self::OriginValue
            | Self::CustomHeader
            | Self::CustomHeaderTwice => EVENTS,
        }
    }

    /// Whether [`enforce`](super::enforce) repairs what breaks the rule.
    #[must_use]
    pub const fn is_repairable(self) -> bool {
        match self {
            Self::DisallowedHeader
            | Self::ReadOnlyHeader
            | Self::CountryHeader
            | Self::HeaderName
            | Self::HeaderValue
            | Self::HeaderKey
            | Self::StatusDescription
            | Self::BodyOfNothing
            | Self::ClientIp
            | Self::CustomHeader => true,
            Self::ResponseExpected
            | Self::HeadSize
            | Self::Status
            | Self::StatusChange
            | Self::BodyAtViewerResponse
            | Self::BodyEncoding
            | Self::ResponseSize
            | Self::RequestBodySize
            | Self::Method
            | Self::Uri
            | Self::QueryString
            | Self::UriSize
            | Self::OriginTrigger
            | Self::OriginValue
            | Self::CustomHeaderTwice => false,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
