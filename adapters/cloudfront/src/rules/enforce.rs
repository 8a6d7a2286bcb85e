use super::headers::{is_good_key, is_good_value};
use super::{Rule, Violation, check, headers_before};
use crate::event::{Cf, Headers, Origin, Outcome, Trigger};

/// A result, repaired.
#[derive(Clone, Debug, PartialEq)]
pub struct Enforced {
    /// The result. CloudFront takes it if nothing is `left`; else the caller replaces it.
    pub outcome: Outcome,
    /// What was broken and is repaired.
    pub repaired: Vec<Violation>,
    /// What is broken still: what [`check`] finds in the outcome.
    pub left: Vec<Violation>,
}

/// More than repairs need: putting back a header that a repair dropped is the second round.
const MAX_ROUNDS: usize = 4;

/// Repairs what a function returned where its meaning survives.
///
/// A disallowed or read-only header that was added goes, one that was changed or deleted comes back; a header with a
/// name that HTTP forbids goes, and so does a single value; a `key` that is not its header's goes; the body of a 204
/// or 304 goes; a status description with control characters goes; the client's address comes back. Nothing is ever
/// shortened. A result that breaks no rule comes out as it went in.
#[must_use]
pub fn enforce(cf: &Cf, trigger: Trigger, mut outcome: Outcome) -> Enforced {
    let mut repaired = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let found = check(cf, trigger, &outcome);
        let (broken, left): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| found.rule.is_repairable());
        if broken.is_empty() {
            return Enforced { outcome, repaired, left };
        }
        for violation in &broken {
            repair(cf, trigger, &mut outcome, violation);
        }
        repaired.extend(broken);
    }
    let left = check(cf, trigger, &outcome);
    Enforced { outcome, repaired, left }
}

fn repair(cf: &Cf, trigger: Trigger, outcome: &mut Outcome, violation: &Violation) {
    let before = headers_before(cf, trigger, outcome);
    let name = violation.header.as_deref().unwrap_or_default();
    match violation.rule {
        Rule::DisallowedHeader | Rule::ReadOnlyHeader | Rule::CountryHeader | Rule::HeaderName => {
            restore(headers_of(outcome), before, name);
        }
        Rule::HeaderValue => drop_values(headers_of(outcome), before, name),
        Rule::HeaderKey => drop_keys(headers_of(outcome), before, name),
        Rule::CustomHeader => restore_custom(cf, outcome, name),
        Rule::StatusDescription | Rule::BodyOfNothing => repair_response(outcome, violation.rule),
        Rule::ClientIp => {
            if let Outcome::Request(request) = outcome {
                request.client_ip.clone_from(&cf.request.client_ip);
            }
        }
        Rule::ResponseExpected
        | Rule::HeadSize
        | Rule::Status
        | Rule::StatusChange
        | Rule::BodyAtViewerResponse
        | Rule::BodyEncoding
        | Rule::ResponseSize
        | Rule::RequestBodySize
        | Rule::Method
        | Rule::Uri
        | Rule::QueryString
        | Rule::UriSize
        | Rule::OriginTrigger
        | Rule::OriginValue
        | Rule::CustomHeaderTwice => {}
    }
}

fn repair_response(outcome: &mut Outcome, rule: Rule) {
    let Outcome::Response(response) = outcome else { return };
    if rule == Rule::StatusDescription {
        response.status_description = None;
    } else {
        response.body = None;
        response.body_encoding = None;
    }
}

fn restore_custom(cf: &Cf, outcome: &mut Outcome, name: &str) {
    let Outcome::Request(request) = outcome else { return };
    let before = cf.request.origin.as_ref().map(Origin::custom_headers);
    match &mut request.origin {
        Some(Origin::Custom(origin)) => restore(&mut origin.custom_headers, before, name),
        Some(Origin::S3(origin)) => restore(&mut origin.custom_headers, before, name),
        None => {}
    }
}

fn headers_of(outcome: &mut Outcome) -> &mut Headers {
    match outcome {
        Outcome::Request(request) => &mut request.headers,
        Outcome::Response(response) => &mut response.headers,
    }
}

fn restore(headers: &mut Headers, before: Option<&Headers>, name: &str) {
    let fields = before.map_or(&[][..], |before| before.fields(name));
    headers.set(name, fields.to_vec());
}

/// Drops the values that HTTP forbids, unless an earlier repair put the header back as it was.
fn drop_values(headers: &mut Headers, before: Option<&Headers>, name: &str) {
    if !is_as_before(headers, before, name) {
        let mut fields = headers.fields(name).to_vec();
        fields.retain(|field| is_good_value(&field.value));
        headers.set(name, fields);
    }
}

fn drop_keys(headers: &mut Headers, before: Option<&Headers>, name: &str) {
    if !is_as_before(headers, before, name) {
        let mut fields = headers.fields(name).to_vec();
        for field in fields.iter_mut().filter(|field| !is_good_key(name, field)) {
            field.key = None;
        }
        headers.set(name, fields);
    }
}

fn is_as_before(headers: &Headers, before: Option<&Headers>, name: &str) -> bool {
    before.is_some_and(|before| before.fields(name) == headers.fields(name))
}
