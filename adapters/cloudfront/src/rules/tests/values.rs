use super::*;
use crate::event::{Encoding, RequestBody, S3Origin};

#[test]
fn a_status_is_a_string_from_200_to_599() {
    for trigger in Trigger::ALL {
        let mut cf = event(trigger, Headers::new());
        for (status, is_right) in [
            ("200", true),
            ("204", true),
            ("404", true),
            ("599", true),
            ("199", false),
            ("600", false),
            ("101", false),
            ("", false),
            ("20", false),
            ("2000", false),
            ("+200", false),
            ("200 OK", false),
            ("２００", false),
        ] {
            if let Some(response) = &mut cf.response {
                response.status = status.to_owned();
            }
            let outcome = Outcome::Response(Response { status: status.to_owned(), ..Response::default() });
            let want: &[Rule] = if is_right { &[] } else { &[Rule::Status] };
            assert_eq!(broken(&cf, trigger, &outcome), want, "{status:?} at {trigger}");
            assert_eq!(enforce(&cf, trigger, outcome).left.len(), want.len(), "{status:?} at {trigger}");
        }
    }
}

#[test]
fn viewer_response_changes_no_status() {
    for trigger in [Trigger::OriginResponse, Trigger::ViewerResponse] {
        let want: &[Rule] = if trigger == Trigger::ViewerResponse { &[Rule::StatusChange] } else { &[] };
        let outcome = Outcome::Response(Response::new(404));
        assert_eq!(broken(&event(trigger, Headers::new()), trigger, &outcome), want, "{trigger}");
    }
}

#[test]
fn a_status_description_is_one_line() {
    for trigger in Trigger::ALL {
        let cf = event(trigger, Headers::new());
        let of = |text: Option<&str>| {
            let status_description = text.map(str::to_owned);
            Outcome::Response(Response { status_description, ..Response::new(200) })
        };
        assert_eq!(broken(&cf, trigger, &of(Some("Fine, grün"))), [], "{trigger}");
        assert_eq!(broken(&cf, trigger, &of(Some("a\r\nb: c"))), [Rule::StatusDescription], "{trigger}");
        assert_eq!(enforce(&cf, trigger, of(Some("a\nb"))).outcome, of(None), "{trigger}");
    }
}

#[test]
fn responses_without_content_have_no_body() {
    for (trigger, status) in Trigger::ALL.into_iter().flat_map(|trigger| [(trigger, 204), (trigger, 304)]) {
        let mut cf = event(trigger, Headers::new());
        if let Some(response) = &mut cf.response {
            response.status = status.to_string();
        }
        let without = Response::new(status);
        let body_encoding = Some(Encoding::Text);
        let with = Response { body: Some(String::new()), body_encoding, ..without.clone() };
        let enforced = enforce(&cf, trigger, Outcome::Response(with));
        assert!(
            enforced.repaired.iter().any(|found| found.rule == Rule::BodyOfNothing),
            "{status} at {trigger}"
        );
        assert_eq!(
            (enforced.outcome, enforced.left),
            (Outcome::Response(without), vec![]),
            "{status} at {trigger}"
        );
    }
}

#[test]
fn a_body_is_set_before_viewer_response_and_is_what_it_is_said_to_be() {
    for trigger in Trigger::ALL {
        let cf = event(trigger, Headers::new());
        for (body, encoding, is_right) in [
            ("text", None, true),
            ("no base64!", Some(Encoding::Text), true),
            ("YQ==", Some(Encoding::Base64), true),
            ("YQ", Some(Encoding::Base64), false),
            ("no base64!", Some(Encoding::Base64), false),
        ] {
            let response =
                Response { body: Some(body.into()), body_encoding: encoding, ..Response::new(200) };
            let found = broken(&cf, trigger, &Outcome::Response(response));
            let at_viewer_response = trigger == Trigger::ViewerResponse;
            assert_eq!(
                found.contains(&Rule::BodyAtViewerResponse),
                at_viewer_response,
                "{body} at {trigger}"
            );
            assert_eq!(found.contains(&Rule::BodyEncoding), !is_right, "{body} at {trigger}");
        }
    }
    let cf = event(Trigger::ViewerRequest, Headers::new());
    let body = RequestBody { data: "no base64!".into(), ..RequestBody::replace(b"") };
    let outcome = request_with(&cf, |request| request.body = Some(body));
    assert_eq!(broken(&cf, Trigger::ViewerRequest, &outcome), [Rule::BodyEncoding]);
}

#[test]
fn response_triggers_return_a_response() {
    for trigger in [Trigger::OriginResponse, Trigger::ViewerResponse] {
        let cf = event(trigger, Headers::new());
        let outcome = Outcome::Request(Box::new(cf.request.clone()));
        assert_eq!(broken(&cf, trigger, &outcome), [Rule::ResponseExpected], "{trigger}");
    }
}

#[test]
fn paths_and_query_strings_that_are_changed_have_a_form() {
    let trigger = Trigger::ViewerRequest;
    let mut cf = event(trigger, Headers::new());
    for uri in ["/", "/a%20b", "/ä", "//x"] {
        assert_eq!(
            broken(&cf, trigger, &request_with(&cf, |request| request.uri = uri.into())),
            [],
            "{uri:?}"
        );
    }
    for uri in ["", "a", "https://example.org/", "*", "/a b", "/a?b", "/a#b", "/a\n", "/\u{7f}"] {
        let found = broken(&cf, trigger, &request_with(&cf, |request| request.uri = uri.into()));
        assert_eq!(found, [Rule::Uri], "{uri:?}");
    }
    for query in ["", "a=b&c", "?", "a=%20", "ä"] {
        let outcome = request_with(&cf, |request| request.querystring = query.into());
        assert_eq!(broken(&cf, trigger, &outcome), [], "{query:?}");
    }
    for query in ["a b", "a#b", "a\tb", "\0"] {
        let outcome = request_with(&cf, |request| request.querystring = query.into());
        assert_eq!(broken(&cf, trigger, &outcome), [Rule::QueryString], "{query:?}");
    }
    cf.request.uri = "*".into();
    cf.request.querystring = "a b".into();
    assert_eq!(broken(&cf, trigger, &unchanged(&cf)), [], "only what the function changes is looked at");
}

#[test]
fn method_and_client_are_read_only() {
    let trigger = Trigger::OriginRequest;
    let cf = event(trigger, Headers::new());
    let method = request_with(&cf, |request| request.method = "POST".into());
    assert_eq!(broken(&cf, trigger, &method), [Rule::Method]);
    let client = request_with(&cf, |request| request.client_ip = "192.0.2.1".into());
    assert_eq!(broken(&cf, trigger, &client), [Rule::ClientIp]);
    assert_eq!(enforce(&cf, trigger, client).outcome, unchanged(&cf));
}

#[test]
fn only_origin_request_changes_the_origin() {
    let other = || Some(Origin::Custom(CustomOrigin { domain_name: "example.com".into(), ..origin() }));
    for (trigger, want) in
        [(Trigger::ViewerRequest, vec![Rule::OriginTrigger]), (Trigger::OriginRequest, vec![])]
    {
        let cf = event(trigger, Headers::new());
        let outcome = request_with(&cf, |request| request.origin = other());
        assert_eq!(broken(&cf, trigger, &outcome), want, "{trigger}");
    }
}

#[test]
fn a_changed_origin_has_values_that_cloudfront_takes() {
    let trigger = Trigger::OriginRequest;
    let cf = event(trigger, Headers::new());
    type Change = fn(&mut CustomOrigin);
    let changes: [(&str, Change); 13] = [
        ("domainName", |origin| origin.domain_name.clear()),
        ("domainName", |origin| origin.domain_name = "example.org:80".into()),
        ("domainName", |origin| origin.domain_name = "192.0.2.1".into()),
        ("domainName", |origin| origin.domain_name = "x".repeat(254)),
        ("port", |origin| origin.port = Some(81)),
        ("port", |origin| origin.port = Some(1_023)),
        ("port", |origin| origin.port = None),
        ("protocol", |origin| origin.protocol = "ftp".into()),
        ("path", |origin| origin.path = "x".into()),
        ("path", |origin| origin.path = "/x/".into()),
        ("path", |origin| origin.path = format!("/{}", "x".repeat(255))),
        ("keepaliveTimeout", |origin| origin.keepalive_timeout = Some(0)),
        ("readTimeout", |origin| origin.read_timeout = Some(0)),
    ];
    for (field, change) in changes {
        let mut changed = origin();
        change(&mut changed);
        let outcome = request_with(&cf, |request| request.origin = Some(Origin::Custom(changed)));
        let found = check(&cf, trigger, &outcome);
        assert_eq!(found.len(), 1, "{field}: {found:?}");
        assert!(found[0].rule == Rule::OriginValue && found[0].message.contains(field), "{}", found[0]);
    }
    for port in [80, 443, 1_024, 65_535] {
        let outcome = request_with(&cf, |request| {
            request.origin = Some(Origin::Custom(CustomOrigin { port: Some(port), ..origin() }))
        });
        assert_eq!(broken(&cf, trigger, &outcome), [], "{port}");
    }
}

#[test]
fn values_of_an_origin_that_stay_are_right() {
    let mut cf = event(Trigger::OriginRequest, Headers::new());
    cf.request.origin = Some(Origin::Custom(CustomOrigin { port: None, ..origin() }));
    let changed = CustomOrigin { port: None, domain_name: "example.com".into(), ..origin() };
    let outcome = request_with(&cf, |request| request.origin = Some(Origin::Custom(changed)));
    assert_eq!(broken(&cf, Trigger::OriginRequest, &outcome), []);
}

#[test]
fn an_s3_origin_has_a_name_and_a_region_where_it_needs_one() {
    let trigger = Trigger::OriginRequest;
    let cf = event(trigger, Headers::new());
    let good = S3Origin {
        domain_name: "b.s3.amazonaws.com".into(),
        auth_method: "none".into(),
        ..S3Origin::default()
    };
    let identity = S3Origin { auth_method: "origin-access-identity".into(), ..good.clone() };
    let cases = [
        (good.clone(), true),
        (S3Origin { region: "us-east-1".into(), ..identity.clone() }, true),
        (identity, false),
        (S3Origin { domain_name: "B.s3.amazonaws.com".into(), ..good.clone() }, false),
        (S3Origin { domain_name: "x".repeat(129), ..good.clone() }, false),
        (S3Origin { path: "/".into(), ..good }, false),
    ];
    for (origin, is_right) in cases {
        let outcome = request_with(&cf, |request| request.origin = Some(Origin::S3(origin.clone())));
        let want: &[Rule] = if is_right { &[] } else { &[Rule::OriginValue] };
        assert_eq!(broken(&cf, trigger, &outcome), want, "{origin:?}");
    }
}

#[test]
fn the_headers_that_an_origin_adds_follow_the_rules_too() {
    let trigger = Trigger::OriginRequest;
    let cf = event(trigger, Headers::from_iter([("x-here", "1")]));
    let with = |key: &str, value: &str| {
        let mut origin = origin();
        origin.custom_headers.append(key, value);
        request_with(&cf, |request| request.origin = Some(Origin::Custom(origin)))
    };
    assert_eq!(broken(&cf, trigger, &with("X-New", "1")), []);
    for (key, value) in [("X-Edge-A", "1"), ("Via", "1"), ("X-New", "a\nb"), ("a b", "1")] {
        let outcome = with(key, value);
        assert_eq!(broken(&cf, trigger, &outcome), [Rule::CustomHeader], "{key}");
        assert_eq!(enforce(&cf, trigger, outcome).outcome, unchanged(&cf), "{key}");
    }
    assert_eq!(broken(&cf, trigger, &with("X-Here", "1")), [Rule::CustomHeaderTwice]);
    let twice = with_headers(&cf, Headers::from_iter([("x-env", "mine")]));
    assert_eq!(broken(&cf, trigger, &twice), [Rule::CustomHeaderTwice]);
    let both = event(trigger, Headers::from_iter([("x-env", "the viewer's")]));
    assert_eq!(broken(&both, trigger, &unchanged(&both)), [], "CloudFront's own doing is no violation");
}

#[test]
fn every_rule_has_a_name_of_its_own_and_a_page() {
    let names: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    let is_page =
        |rule: &Rule| rule.url().starts_with("https://docs.aws.amazon.com/") && rule.url().ends_with(".html");
    assert!(Rule::ALL.iter().all(is_page));
}
