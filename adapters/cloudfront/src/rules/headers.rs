use http::header::{HeaderName, HeaderValue};

use super::{Rule, Violation, first_refused};
use crate::event::{Field, Headers, Trigger};

/// Headers that no function may add or change, in lower case.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html#function-restrictions-disallowed-headers>
pub const DISALLOWED: [&str; 28] = [
    "client-cert",
    "client-cert-chain",
    "cloudfront-viewer-cert-pem",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "trailer",
    "upgrade",
    "x-accel-buffering",
    "x-accel-charset",
    "x-accel-limit-rate",
    "x-accel-redirect",
    "x-amzn-auth",
    "x-amzn-cf-billing",
    "x-amzn-cf-id",
    "x-amzn-cf-xff",
    "x-amzn-errortype",
    "x-amzn-fle-profile",
    "x-amzn-header-count",
    "x-amzn-header-order",
    "x-amzn-lambda-integration-tag",
    "x-amzn-requestid",
    "x-cache",
    "x-forwarded-proto",
    "x-real-ip",
];

/// What the names of further headers begin with that no function may add or change, in lower case.
pub const DISALLOWED_PREFIXES: [&str; 2] = ["x-amz-cf-", "x-edge-"];

/// Whether no function may add or change a header, whose name is in lower case.
#[must_use]
pub fn is_disallowed(name: &str) -> bool {
    DISALLOWED.binary_search(&name).is_ok()
        || DISALLOWED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Headers that a function may read at a trigger, and not add, change or delete; in lower case.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html#function-restrictions-read-only-headers>
#[must_use]
pub const fn read_only(trigger: Trigger) -> &'static [&'static str] {
    match trigger {
        Trigger::ViewerRequest => &["cdn-loop", "content-length", "host", "transfer-encoding", "via"],
        Trigger::OriginRequest => &[
            "accept-encoding",
            "cdn-loop",
            "content-length",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-unmodified-since",
            "transfer-encoding",
            "via",
        ],
        Trigger::OriginResponse => &["transfer-encoding", "via"],
        Trigger::ViewerResponse => {
            &["content-encoding", "content-length", "transfer-encoding", "via", "warning"]
        }
    }
}

/// The header that a viewer-request function cannot add. AWS lets functions change all others that CloudFront adds:
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html#lambda-at-edge-restrictions-cloudfront-headers>
const COUNTRY: &str = "cloudfront-viewer-country";

/// Checks headers against those before; `None` when the function made all of them.
pub(super) fn check(before: Option<&Headers>, after: &Headers, trigger: Trigger, found: &mut Vec<Violation>) {
    for name in after.names() {
        let (old, new) = (fields(before, name), after.fields(name));
        if new.is_empty() || old == new {
            continue;
        }
        let did = if old.is_empty() { "added" } else { "changed" };
        if is_disallowed(name) && !same_values(old, new) {
            let message = format!("the header {:?} is disallowed in functions, and was {did}", excerpt(name));
            found.push(Violation::of_header(Rule::DisallowedHeader, name, message));
        }
        if name == COUNTRY && trigger == Trigger::ViewerRequest && !same_values(old, new) {
            let message =
                format!("the header `{name}` was {did}, and CloudFront adds it after {trigger} only");
            found.push(Violation::of_header(Rule::CountryHeader, name, message));
        }
        check_syntax(name, new, found);
    }
    for name in read_only(trigger) {
        let (old, new) = (fields(before, name), after.fields(name));
        if !same_values(old, new) {
            found.push(Violation::of_header(
                Rule::ReadOnlyHeader,
                name,
                read_only_message(name, old, new, trigger),
            ));
        }
    }
}

/// Whether HTTP allows a value.
pub(super) fn is_good_value(value: &str) -> bool {
    HeaderValue::from_bytes(value.as_bytes()).is_ok()
}

/// Whether no header value and no status description may have a character.
pub(super) fn is_refused(character: char) -> bool {
    character != '\t' && character.is_ascii_control()
}

/// Whether a field's `key` is its header's name.
pub(super) fn is_good_key(name: &str, field: &Field) -> bool {
    field.key.as_deref().is_none_or(|key| key.eq_ignore_ascii_case(name))
}

/// The bytes of headers in HTTP/1.1: each with a colon, a space and the end of the line.
pub(super) fn size(headers: &Headers) -> usize {
    headers.iter().map(|(name, field)| name.len() + field.value.len() + 4).sum()
}

/// HTTP's own rules about names and values, and CloudFront's about keys.
/// <https://www.rfc-editor.org/rfc/rfc9110#section-5.1>
fn check_syntax(name: &str, fields: &[Field], found: &mut Vec<Violation>) {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        let message = format!("the header {:?} has a name that HTTP does not allow", excerpt(name));
        found.push(Violation::of_header(Rule::HeaderName, name, message));
    }
    if let Some(field) = fields.iter().find(|field| !is_good_value(&field.value)) {
        let character = first_refused(&field.value, is_refused).unwrap_or_default();
        let message =
            format!("the header {:?} has a value that HTTP does not allow: {character}", excerpt(name));
        found.push(Violation::of_header(Rule::HeaderValue, name, message));
    }
    if let Some(field) = fields.iter().find(|field| !is_good_key(name, field)) {
        let key = excerpt(field.key.as_deref().unwrap_or_default());
        let message =
            format!("the header {:?} has the key {key:?}, and only the case may differ", excerpt(name));
        found.push(Violation::of_header(Rule::HeaderKey, name, message));
    }
}

fn read_only_message(name: &str, old: &[Field], new: &[Field], trigger: Trigger) -> String {
    let show = |fields: &[Field]| {
        let values: Vec<_> =
            fields.iter().take(MAX_SHOWN_FIELDS).map(|field| excerpt(&field.value)).collect();
        format!("{:?}", values.join(", "))
    };
    let did = match (old, new) {
        ([], new) => format!("added as {}", show(new)),
        (old, []) => format!("deleted, from {}", show(old)),
        (old, new) => format!("changed from {} to {}", show(old), show(new)),
    };
    format!("the header `{name}` is read-only at {trigger}, and was {did}")
}

fn fields<'a>(headers: Option<&'a Headers>, name: &str) -> &'a [Field] {
    headers.map_or(&[], |headers| headers.fields(name))
}

fn same_values(old: &[Field], new: &[Field]) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.value == new.value)
}

const MAX_SHOWN_FIELDS: usize = 4;
const MAX_SHOWN_CHARS: usize = 60;

/// The beginning of a text that a message shows.
pub(super) fn excerpt(text: &str) -> &str {
    text.char_indices().nth(MAX_SHOWN_CHARS).map_or(text, |(at, _)| &text[..at])
}
