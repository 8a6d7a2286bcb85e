use super::limits::{MAX_HEAD_BYTES, URI_BYTES, max_body_bytes};
use super::{Rule, Violation, first_refused, headers, origin};
use crate::event::{BodyAction, Cf, Request, RequestBody, Trigger};

/// Checks a request that goes on from a request trigger.
pub(super) fn check(cf: &Cf, trigger: Trigger, request: &Request, found: &mut Vec<Violation>) {
    let before = &cf.request;
    headers::check(Some(&before.headers), &request.headers, trigger, found);
    check_read_only(before, request, found);
    check_uri(before, request, found);
    let (old, new) = (head_size(before), head_size(request));
    if new > MAX_HEAD_BYTES && new > old {
        let message =
            format!("request line and headers have {new} bytes, and at most {MAX_HEAD_BYTES} are allowed");
        found.push(Violation::new(Rule::HeadSize, message));
    }
    if let Some(body) = request.body.as_ref().filter(|body| body.action == BodyAction::Replace) {
        check_body(trigger, body, found);
    }
    origin::check(before, trigger, request, found);
}

/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html#request-event-fields-request>
fn check_read_only(before: &Request, request: &Request, found: &mut Vec<Violation>) {
    let (old, new) = (headers::excerpt(&before.method), headers::excerpt(&request.method));
    if before.method != request.method {
        let message = format!("the method was changed from {old:?} to {new:?}, and is read-only");
        found.push(Violation::new(Rule::Method, message));
    }
    if before.client_ip != request.client_ip {
        let message = "the client's address was changed, and is read-only".to_owned();
        found.push(Violation::new(Rule::ClientIp, message));
    }
}

fn check_uri(before: &Request, request: &Request, found: &mut Vec<Violation>) {
    let (uri, query) = (&request.uri, &request.querystring);
    let is_new_uri = *uri != before.uri;
    let is_new_query = *query != before.querystring;
    if is_new_uri && !uri.starts_with('/') {
        let first = uri
            .chars()
            .next()
            .map_or_else(|| "is empty".to_owned(), |first| format!("begins with {first:?}"));
        found.push(Violation::new(Rule::Uri, format!("the URI {first}, and has to begin with '/'")));
    }
    let refused = |found: char| matches!(found, ' ' | '?' | '#') || found.is_control();
    if is_new_uri && let Some(character) = first_refused(uri, refused) {
        found.push(Violation::new(
            Rule::Uri,
            format!("the URI has a character that is not allowed: {character}"),
        ));
    }
    let refused = |found: char| matches!(found, ' ' | '#') || found.is_control();
    if is_new_query && let Some(character) = first_refused(query, refused) {
        let message = format!("the query string has a character that is not allowed: {character}");
        found.push(Violation::new(Rule::QueryString, message));
    }
    let size = uri_size(request);
    if (is_new_uri || is_new_query) && size >= URI_BYTES {
        let message =
            format!("URI and query string have {size} bytes, and have to be shorter than {URI_BYTES}");
        found.push(Violation::new(Rule::UriSize, message));
    }
}

fn check_body(trigger: Trigger, body: &RequestBody, found: &mut Vec<Violation>) {
    let (size, limit) = (body.data.len(), max_body_bytes(trigger, body.encoding));
    if size > limit {
        let how = body.encoding.as_str();
        let message = format!(
            "the request's body was replaced by {size} bytes of {how}, and at most {limit} are allowed"
        );
        found.push(Violation::new(Rule::RequestBodySize, message));
    }
    if let Err(error) = body.decode() {
        found
            .push(Violation::new(Rule::BodyEncoding, format!("the request's body of {size} bytes: {error}")));
    }
}

fn uri_size(request: &Request) -> usize {
    let query = request.querystring.len();
    request.uri.len() + query + usize::from(query > 0)
}

/// The bytes of a request in HTTP/1.1 up to the body: ` HTTP/1.1`, a space and the end of the line beside the rest.
fn head_size(request: &Request) -> usize {
    request.method.len() + uri_size(request) + 12 + headers::size(&request.headers)
}
