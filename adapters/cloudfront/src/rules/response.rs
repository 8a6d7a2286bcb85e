use super::limits::{MAX_HEAD_BYTES, max_generated_bytes};
use super::{Rule, Violation, first_refused, headers, response_before};
use crate::event::{Cf, Response, Trigger};

/// Checks a response, of a request trigger or of a response trigger.
pub(super) fn check(cf: &Cf, trigger: Trigger, response: &Response, found: &mut Vec<Violation>) {
    let before = response_before(cf, trigger);
    headers::check(before.map(|before| &before.headers), &response.headers, trigger, found);
    check_status(before, trigger, response, found);
    check_body(trigger, response, found);
    check_size(before, trigger, response, found);
}

fn check_status(
    before: Option<&Response>,
    trigger: Trigger,
    response: &Response,
    found: &mut Vec<Violation>,
) {
    let status = headers::excerpt(&response.status);
    if !is_status(&response.status) {
        let message = format!("the status is {status:?}, and has to be a number from 200 to 599 as a string");
        found.push(Violation::new(Rule::Status, message));
    }
    if let (Trigger::ViewerResponse, Some(before)) = (trigger, before)
        && before.status != response.status
    {
        let old = headers::excerpt(&before.status);
        let message = format!("the status was changed from {old:?} to {status:?}, which {trigger} cannot do");
        found.push(Violation::new(Rule::StatusChange, message));
    }
    let description = response.status_description.as_deref().unwrap_or_default();
    let is_old = before.is_some_and(|before| before.status_description == response.status_description);
    if !is_old && let Some(character) = first_refused(description, headers::is_refused) {
        let message = format!("the status description has a control character: {character}");
        found.push(Violation::new(Rule::StatusDescription, message));
    }
}

fn check_body(trigger: Trigger, response: &Response, found: &mut Vec<Violation>) {
    let Some(body) = &response.body else { return };
    if has_no_body(&response.status) {
        let message =
            format!("a response with the status {} has a body of {} bytes", response.status, body.len());
        found.push(Violation::new(Rule::BodyOfNothing, message));
    }
    if trigger == Trigger::ViewerResponse {
        let message = format!("a body of {} bytes was set, which {trigger} cannot do", body.len());
        found.push(Violation::new(Rule::BodyAtViewerResponse, message));
    }
    if let Some(Err(error)) = response.decode() {
        found.push(Violation::new(Rule::BodyEncoding, format!("the body of {} bytes: {error}", body.len())));
    }
}

fn check_size(before: Option<&Response>, trigger: Trigger, response: &Response, found: &mut Vec<Violation>) {
    let head = headers::size(&response.headers);
    // What CloudFront passed on already is no violation, as long as the function does not add to it.
    let has_grown = before.is_none_or(|before| head > headers::size(&before.headers));
    if trigger == Trigger::OriginResponse && has_grown && head > MAX_HEAD_BYTES {
        let message = format!("the headers have {head} bytes, and at most {MAX_HEAD_BYTES} are allowed");
        found.push(Violation::new(Rule::HeadSize, message));
    }
    let size = head + response.body.as_deref().map_or(0, str::len);
    let limit = max_generated_bytes(trigger);
    if (has_grown || response.body.is_some()) && size > limit {
        let message = format!(
            "a response of {size} bytes, headers and body, was made at {trigger}, and at most {limit} are allowed"
        );
        found.push(Violation::new(Rule::ResponseSize, message));
    }
}

/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-updating-http-responses.html>
fn is_status(status: &str) -> bool {
    matches!(status.as_bytes(), [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'])
}

/// AWS names 204; that 304 has no body is HTTP's: <https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5>
fn has_no_body(status: &str) -> bool {
    matches!(status, "204" | "304")
}
