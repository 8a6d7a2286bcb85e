use std::net::Ipv4Addr;

use super::{Rule, Violation, headers};
use crate::event::{CustomOrigin, Headers, Origin, Request, S3Origin, Trigger};

/// Checks where a request goes.
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html#request-event-fields-custom-origin>
pub(super) fn check(before: &Request, trigger: Trigger, request: &Request, found: &mut Vec<Violation>) {
    let is_changed = before.origin != request.origin;
    if is_changed && trigger != Trigger::OriginRequest {
        let message =
            format!("the origin was changed at {trigger}, and can be changed at origin-request only");
        found.push(Violation::new(Rule::OriginTrigger, message));
        return;
    }
    let Some(origin) = &request.origin else { return };
    let old = before.origin.as_ref();
    let old_headers = old.map(Origin::custom_headers);
    if is_changed {
        // What is as it was is right, whatever it is.
        let known = old.map_or_else(Vec::new, broken_values);
        found.extend(broken_values(origin).into_iter().filter(|broken| !known.contains(broken)));
        check_custom_headers(old_headers, origin.custom_headers(), trigger, found);
    }
    for name in origin.custom_headers().names().filter(|name| request.headers.contains(name)) {
        let is_old = before.headers.fields(name) == request.headers.fields(name)
            && old_headers.is_some_and(|old| old.fields(name) == origin.custom_headers().fields(name));
        if !is_old && origin.custom_headers().contains(name) {
            let message =
                format!("the header {:?} is in the request and added by the origin", headers::excerpt(name));
            found.push(Violation::of_header(Rule::CustomHeaderTwice, name, message));
        }
    }
}

fn broken_values(origin: &Origin) -> Vec<Violation> {
    let mut found = Vec::new();
    match origin {
        Origin::Custom(origin) => check_custom(origin, &mut found),
        Origin::S3(origin) => check_s3(origin, &mut found),
    }
    found
}

fn check_custom(origin: &CustomOrigin, found: &mut Vec<Violation>) {
    let name = &origin.domain_name;
    let is_name =
        !name.is_empty() && name.len() <= 253 && !name.contains(':') && name.parse::<Ipv4Addr>().is_err();
    expect(
        is_name,
        "domainName",
        name,
        "a name of at most 253 characters, no port and no IPv4 address",
        found,
    );
    let is_protocol = matches!(origin.protocol.as_str(), "http" | "https");
    expect(is_protocol, "protocol", &origin.protocol, "`http` or `https`", found);
    let is_port = matches!(origin.port, Some(80 | 443 | 1_024..));
    expect(is_port, "port", &shown(origin.port), "80, 443, or 1024 to 65535", found);
    check_path(&origin.path, found);
    // AWS raises the upper limits on request, so that only the lower one is known here.
    for (field, seconds) in
        [("keepaliveTimeout", origin.keepalive_timeout), ("readTimeout", origin.read_timeout)]
    {
        expect(
            seconds.is_some_and(|seconds| seconds > 0),
            field,
            &shown(seconds),
            "at least one second",
            found,
        );
    }
}

fn check_s3(origin: &S3Origin, found: &mut Vec<Violation>) {
    let name = &origin.domain_name;
    let is_name =
        !name.is_empty() && name.len() <= 128 && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    expect(is_name, "domainName", name, "a name in lower case of at most 128 characters", found);
    check_path(&origin.path, found);
    let has_region = !origin.region.is_empty() || origin.auth_method != "origin-access-identity";
    expect(has_region, "region", &origin.region, "a region, as an origin access identity needs one", found);
}

fn check_path(path: &str, found: &mut Vec<Violation>) {
    let is_path = path.is_empty() || path.starts_with('/') && !path.ends_with('/') && path.len() <= 255;
    let is_path = is_path && !path.contains(|c: char| c == ' ' || c.is_control());
    expect(
        is_path,
        "path",
        path,
        "empty, or a slash and at most 254 characters more, no slash at the end",
        found,
    );
}

fn expect(holds: bool, field: &str, value: &str, wanted: &str, found: &mut Vec<Violation>) {
    if !holds {
        let message =
            format!("the origin's `{field}` is {:?}, and has to be {wanted}", headers::excerpt(value));
        found.push(Violation::new(Rule::OriginValue, message));
    }
}

fn shown(number: Option<impl ToString>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

fn check_custom_headers(
    before: Option<&Headers>,
    after: &Headers,
    trigger: Trigger,
    found: &mut Vec<Violation>,
) {
    let mut broken = Vec::new();
    headers::check(before, after, trigger, &mut broken);
    found.extend(broken.into_iter().map(|violation| {
        let message = format!("among the headers that the origin adds, {}", violation.message);
        Violation { rule: Rule::CustomHeader, message, ..violation }
    }));
}
