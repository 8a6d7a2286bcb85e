use super::*;
use crate::event::{BodyAction, Encoding, RequestBody};

/// Checks that a result is right at its limit, and breaks the rule with one byte more.
fn at_the_limit(trigger: Trigger, rule: Rule, limit: usize, fits: impl Fn(&mut Cf, usize) -> Outcome) {
    for (size, want) in [(limit, vec![]), (limit + 1, vec![rule])] {
        let mut cf = event(trigger, Headers::new());
        let outcome = fits(&mut cf, size);
        let found = check(&cf, trigger, &outcome);
        let rules: Vec<_> = found.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, want, "{rule} at {trigger}, {size} bytes: {found:?}");
        if let [violation] = found.as_slice() {
            assert!(violation.message.contains(&size.to_string()), "{violation} names the size");
            let enforced = enforce(&cf, trigger, outcome.clone());
            assert_eq!((enforced.outcome, enforced.left), (outcome, found), "nothing is shortened");
        }
    }
}

#[test]
fn generated_responses_have_a_limit_that_counts_headers() {
    let limits = [
        (Trigger::ViewerRequest, 40_960),
        (Trigger::OriginRequest, 1_048_576),
        (Trigger::OriginResponse, 1_048_576),
    ];
    for (trigger, limit) in limits {
        // `a: bc` and the end of the line are seven bytes.
        let headers = Headers::from_iter([("a", "bc")]);
        at_the_limit(trigger, Rule::ResponseSize, limit, |_, size| {
            let body = Some("x".repeat(size - 7));
            Outcome::Response(Response { headers: headers.clone(), body, ..Response::new(200) })
        });
        let cf = event(trigger, Headers::new());
        for (size, want) in [(limit, vec![]), (limit + 4, vec![Rule::ResponseSize])] {
            let (body, body_encoding) = (Some("A".repeat(size)), Some(Encoding::Base64));
            let outcome = Outcome::Response(Response { body, body_encoding, ..Response::new(200) });
            assert_eq!(broken(&cf, trigger, &outcome), want, "base64 counts as it is written");
        }
    }
}

#[test]
fn the_response_to_a_viewer_has_a_limit() {
    at_the_limit(Trigger::ViewerResponse, Rule::ResponseSize, 40_960, |_, size| {
        let headers = Headers::from_iter([("a", "b".repeat(size - 5))]);
        Outcome::Response(Response { headers, ..Response::new(200) })
    });
}

#[test]
fn heads_have_a_limit() {
    at_the_limit(Trigger::OriginResponse, Rule::HeadSize, 32_768, |_, size| {
        let headers = Headers::from_iter([("a", "b".repeat(size - 5))]);
        Outcome::Response(Response { headers, ..Response::new(200) })
    });
    for trigger in [Trigger::ViewerRequest, Trigger::OriginRequest] {
        at_the_limit(trigger, Rule::HeadSize, 32_768, |cf, size| {
            let line = "GET /a?b=c HTTP/1.1\r\n".len();
            let headers = Headers::from_iter([("a", "b".repeat(size - 5 - line))]);
            request_with(cf, |request| request.headers = headers)
        });
    }
}

#[test]
fn what_cloudfront_passed_on_is_not_too_big() {
    for trigger in Trigger::ALL {
        let cf = event(trigger, Headers::from_iter([("a", "b".repeat(2_000_000))]));
        assert_eq!(broken(&cf, trigger, &unchanged(&cf)), [], "{trigger}");
    }
}

#[test]
fn bodies_of_requests_have_limits_as_they_are_written() {
    let limits = [
        (Trigger::ViewerRequest, Encoding::Text, 40_960),
        (Trigger::OriginRequest, Encoding::Text, 1_048_576),
    ];
    for (trigger, encoding, limit) in limits {
        at_the_limit(trigger, Rule::RequestBodySize, limit, |cf, size| {
            let body = RequestBody { encoding, data: "A".repeat(size), ..RequestBody::replace(b"") };
            request_with(cf, |request| request.body = Some(body))
        });
    }
    // 53.2 KB and 1.33 MB, of which base64 can use multiples of four only.
    for (trigger, limit) in [(Trigger::ViewerRequest, 54_476), (Trigger::OriginRequest, 1_394_606)] {
        assert_eq!(super::super::limits::max_body_bytes(trigger, Encoding::Base64), limit);
        let cf = event(trigger, Headers::new());
        for (size, want) in [(limit / 4 * 4, vec![]), (limit / 4 * 4 + 4, vec![Rule::RequestBodySize])] {
            let body = RequestBody { data: "A".repeat(size), ..RequestBody::replace(b"") };
            let outcome = request_with(&cf, |request| request.body = Some(body.clone()));
            assert_eq!(broken(&cf, trigger, &outcome), want, "{size} bytes at {trigger}");
            let ignored = RequestBody { action: BodyAction::ReadOnly, ..body };
            let outcome = request_with(&cf, |request| request.body = Some(ignored));
            assert_eq!(broken(&cf, trigger, &outcome), [], "CloudFront ignores a body that is read-only");
        }
    }
}

#[test]
fn uris_are_shorter_than_8192_with_their_query_strings() {
    for trigger in [Trigger::ViewerRequest, Trigger::OriginRequest] {
        at_the_limit(trigger, Rule::UriSize, 8_191, |cf, size| {
            request_with(cf, |request| {
                request.uri = format!("/{}", "x".repeat(size - 1));
                request.querystring = String::new();
            })
        });
        at_the_limit(trigger, Rule::UriSize, 8_191, |cf, size| {
            request_with(cf, |request| request.querystring = "x".repeat(size - "/a?".len()))
        });
    }
}
