use super::*;

/// As AWS writes them.
const DOCUMENTED: [&str; 30] = [
    "Connection",
    "Expect",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Trailer",
    "Upgrade",
    "X-Accel-Buffering",
    "X-Accel-Charset",
    "X-Accel-Limit-Rate",
    "X-Accel-Redirect",
    "X-Amz-Cf-Id",
    "X-Amzn-Auth",
    "X-Amzn-Cf-Billing",
    "X-Amzn-Cf-Id",
    "X-Amzn-Cf-Xff",
    "X-Amzn-Errortype",
    "X-Amzn-Fle-Profile",
    "X-Amzn-Header-Count",
    "X-Amzn-Header-Order",
    "X-Amzn-Lambda-Integration-Tag",
    "X-Amzn-RequestId",
    "X-Cache",
    "X-Edge-Location",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "CloudFront-Viewer-Cert-Pem",
    "Client-Cert",
    "Client-Cert-Chain",
];

/// As AWS writes them, of each trigger.
const DOCUMENTED_READ_ONLY: [(Trigger, &[&str]); 4] = [
    (Trigger::ViewerRequest, &["CDN-Loop", "Content-Length", "Host", "Transfer-Encoding", "Via"]),
    (
        Trigger::OriginRequest,
        &[
            "Accept-Encoding",
            "CDN-Loop",
            "Content-Length",
            "If-Modified-Since",
            "If-None-Match",
            "If-Range",
            "If-Unmodified-Since",
            "Transfer-Encoding",
            "Via",
        ],
    ),
    (Trigger::OriginResponse, &["Transfer-Encoding", "Via"]),
    (Trigger::ViewerResponse, &["Warning", "Via", "Content-Length", "Content-Encoding", "Transfer-Encoding"]),
];

fn none() -> Headers {
    Headers::new()
}

fn one(key: &str, value: &str) -> Headers {
    Headers::from_iter([(key, value)])
}

/// Checks a change of headers, and that a repair undoes it where it is against a rule.
fn expect(trigger: Trigger, before: &Headers, after: &Headers, want: &[Rule]) {
    let cf = event(trigger, before.clone());
    let outcome = with_headers(&cf, after.clone());
    let found = check(&cf, trigger, &outcome);
    let rules: Vec<_> = found.iter().map(|violation| violation.rule).collect();
    assert_eq!(rules, want, "{trigger}: {before:?} became {after:?}");
    let enforced = enforce(&cf, trigger, outcome.clone());
    assert_eq!(
        (&enforced.repaired, enforced.left.len()),
        (&found, 0),
        "{trigger}: {before:?} became {after:?}"
    );
    let repaired = if want.is_empty() { outcome } else { unchanged(&cf) };
    assert_eq!(enforced.outcome, repaired, "{trigger}: {before:?} became {after:?}");
}

#[test]
fn no_trigger_may_add_or_change_a_disallowed_header() {
    for (trigger, key) in Trigger::ALL.into_iter().flat_map(|trigger| DOCUMENTED.map(|key| (trigger, key))) {
        let disallowed = [Rule::DisallowedHeader];
        expect(trigger, &none(), &one(key, "1"), &disallowed);
        expect(trigger, &one(key, "1"), &one(key, "2"), &disallowed);
        expect(trigger, &one(key, "1"), &Headers::from_iter([(key, "1"), (key, "1")]), &disallowed);
        expect(trigger, &one(key, "1"), &one(key, "1"), &[]);
        expect(trigger, &one(key, "1"), &none(), &[]);
        expect(trigger, &none(), &one(&format!("a{key}"), "1"), &[]);
    }
    assert!(DISALLOWED.is_sorted(), "it is searched by halves");
}

#[test]
fn no_trigger_may_add_change_or_delete_its_read_only_headers() {
    for (trigger, own) in DOCUMENTED_READ_ONLY {
        for key in DOCUMENTED_READ_ONLY.into_iter().flat_map(|(_, keys)| keys.iter().copied()) {
            let want: &[Rule] = if own.contains(&key) { &[Rule::ReadOnlyHeader] } else { &[] };
            expect(trigger, &none(), &one(key, "1"), want);
            expect(trigger, &one(key, "1"), &one(key, "2"), want);
            expect(trigger, &one(key, "1"), &none(), want);
            expect(trigger, &one(key, "1"), &Headers::from_iter([(key, "1"), (key, "1")]), want);
            expect(trigger, &one(key, "1"), &one(&key.to_ascii_uppercase(), "1"), &[]);
            expect(trigger, &one(key, "1"), &one(key, "1"), &[]);
        }
    }
}

#[test]
fn a_generated_response_adds_what_it_has() {
    for (trigger, own) in DOCUMENTED_READ_ONLY.into_iter().filter(|(trigger, _)| trigger.is_request()) {
        let mut cf = event(trigger, own.iter().map(|key| (*key, "1")).chain([("Connection", "1")]).collect());
        cf.response = Some(Response { headers: cf.request.headers.clone(), ..Response::new(200) });
        let missing = Outcome::Response(Response::new(200));
        assert_eq!(check(&cf, trigger, &missing), [], "headers of the request need not be in the response");
        for (key, rule) in
            own.iter().map(|key| (*key, Rule::ReadOnlyHeader)).chain([("Connection", Rule::DisallowedHeader)])
        {
            let outcome = Outcome::Response(Response { headers: one(key, "1"), ..Response::new(200) });
            assert_eq!(broken(&cf, trigger, &outcome), [rule], "{key} at {trigger}, as in the request");
            assert_eq!(enforce(&cf, trigger, outcome).outcome, missing, "{key} at {trigger}");
        }
    }
}

#[test]
fn the_viewers_country_is_added_after_viewer_request() {
    for trigger in Trigger::ALL {
        let want: &[Rule] = if trigger == Trigger::ViewerRequest { &[Rule::CountryHeader] } else { &[] };
        expect(trigger, &none(), &one("CloudFront-Viewer-Country", "DE"), want);
        expect(
            trigger,
            &one("CloudFront-Viewer-Country", "DE"),
            &one("CloudFront-Viewer-Country", "FR"),
            want,
        );
        expect(trigger, &none(), &one("CloudFront-Is-Mobile-Viewer", "true"), &[]);
    }
}

#[test]
fn names_and_values_are_those_of_http() {
    for trigger in Trigger::ALL {
        for name in ["", "a b", "a:b", "a\nb", "ä"] {
            expect(trigger, &none(), &one(name, "1"), &[Rule::HeaderName]);
        }
        for value in ["a\nb", "a\rb", "a\0b", "\u{7f}"] {
            expect(trigger, &none(), &one("x-a", value), &[Rule::HeaderValue]);
            expect(trigger, &one("x-a", value), &one("x-a", value), &[]);
        }
        for value in ["", "a\tb", "grün", "🦀", "\"\\"] {
            expect(trigger, &none(), &one("x-a", value), &[]);
        }
    }
}

#[test]
fn only_the_bad_value_of_a_header_goes() {
    let cf = event(Trigger::ViewerResponse, none());
    let after = Headers::from_iter([("x-a", "1"), ("x-a", "2\r\nset-cookie: a=b"), ("x-a", "3")]);
    let enforced = enforce(&cf, Trigger::ViewerResponse, with_headers(&cf, after));
    assert_eq!(enforced.outcome, with_headers(&cf, Headers::from_iter([("x-a", "1"), ("x-a", "3")])));
    assert_eq!(enforced.repaired[0].header.as_deref(), Some("x-a"));
    let message = enforced.repaired[0].to_string();
    assert!(
        message.contains(r"'\r' at byte 1") && !message.contains("a=b"),
        "values may be secret: {message}"
    );
}

#[test]
fn a_repair_that_needs_a_repair_gets_it() {
    let trigger = Trigger::ViewerRequest;
    let cf = event(trigger, one("Via", "a\nb"));
    let enforced = enforce(&cf, trigger, with_headers(&cf, one("via", "a\nb")));
    let rules: Vec<_> = enforced.repaired.iter().map(|repaired| repaired.rule).collect();
    assert_eq!(rules, [Rule::HeaderValue, Rule::ReadOnlyHeader], "what was dropped had to come back");
    assert_eq!((enforced.outcome, enforced.left), (unchanged(&cf), vec![]));
}

#[test]
fn a_key_is_the_name_in_any_case() {
    let mut headers = none();
    let field = |key: Option<&str>| crate::event::Field { key: key.map(str::to_owned), value: "1".into() };
    headers.set("x-a", vec![field(Some("X-A")), field(None), field(Some("x-b"))]);
    let cf = event(Trigger::OriginRequest, none());
    let outcome = with_headers(&cf, headers.clone());
    assert_eq!(broken(&cf, Trigger::OriginRequest, &outcome), [Rule::HeaderKey]);
    headers.set("x-a", vec![field(Some("X-A")), field(None), field(None)]);
    assert_eq!(enforce(&cf, Trigger::OriginRequest, outcome).outcome, with_headers(&cf, headers));
}

#[test]
fn a_violation_says_all_there_is_to_know() {
    let cf = event(Trigger::ViewerRequest, one("Host", "example.org"));
    let outcome = with_headers(&cf, one("Host", &"x".repeat(1_000)));
    let text = check(&cf, Trigger::ViewerRequest, &outcome)[0].to_string();
    let wanted =
        ["`host`", "viewer-request", "\"example.org\"", "read-only-header", Rule::ReadOnlyHeader.url()];
    assert!(wanted.iter().all(|part| text.contains(part)) && text.len() < 500, "{text}");
}
