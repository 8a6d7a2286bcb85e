use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::event::{BodyAction, Encoding, Extra, Field, RequestBody};

fn trigger() -> impl Strategy<Value = Trigger> {
    select(Trigger::ALL.to_vec())
}

/// Names that rules speak of as often as others, so that events and results meet.
fn name() -> impl Strategy<Value = String> {
    let read_only = Trigger::ALL.into_iter().flat_map(|trigger| read_only(trigger).iter().copied());
    let others =
        ["x-edge-a", "x-amz-cf-id", "connection", "x-cache", "cloudfront-viewer-country", "x-env", "x-a"];
    let known: Vec<_> = read_only.chain(others).map(str::to_owned).collect();
    prop_oneof![4 => select(known), 1 => "[a-zA-Z:\n ]{0,4}", 1 => any::<String>()]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[ab]{0,2}", 1 => "[a\r\n\0\tä]{0,3}", 1 => any::<String>()]
}

fn headers() -> impl Strategy<Value = Headers> {
    let field = (option::of(option::of(name())), text());
    vec((name(), vec(field, 0..3)), 0..8).prop_map(|all| {
        let mut headers = Headers::new();
        for (name, fields) in all {
            let field = |(key, value): (Option<Option<String>>, String)| {
                let key = key.map(|other| other.unwrap_or_else(|| name.clone()));
                Field { key, value }
            };
            headers.set(&name, fields.into_iter().map(field).collect());
        }
        headers
    })
}

fn encoding() -> impl Strategy<Value = Encoding> {
    select(vec![Encoding::Base64, Encoding::Text])
}

fn data() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("YQ==".to_owned()), 2 => text(), 1 => select(vec![40_000, 60_000, 1_100_000]).prop_map(|n| "A".repeat(n))]
}

fn response() -> impl Strategy<Value = Response> {
    let status = prop_oneof![5 => select(vec!["200", "204", "304"]).prop_map(str::to_owned), 1 => text()];
    (status, option::of(text()), headers(), option::of(data()), option::of(encoding())).prop_map(
        |(status, status_description, headers, body, body_encoding)| {
            let extra = Extra::new();
            Response { status, status_description, headers, body, body_encoding, extra }
        },
    )
}

fn target() -> impl Strategy<Value = (String, String)> {
    let uri =
        prop_oneof![3 => Just("/a".to_owned()), 1 => text(), 1 => Just(format!("/{}", "x".repeat(9_000)))];
    (uri, prop_oneof![3 => Just("b=c".to_owned()), 1 => text()])
}

fn body() -> impl Strategy<Value = RequestBody> {
    (any::<bool>(), encoding(), data()).prop_map(|(replaces, encoding, data)| {
        let action = if replaces { BodyAction::Replace } else { BodyAction::ReadOnly };
        RequestBody { action, encoding, data, ..RequestBody::replace(b"") }
    })
}

fn origins() -> impl Strategy<Value = Option<Origin>> {
    let custom = (headers(), prop_oneof![3 => Just("example.org".to_owned()), 1 => text()], 0..2_u32)
        .prop_map(|(custom_headers, domain_name, seconds)| {
            let read_timeout = Some(seconds * 30);
            Origin::Custom(CustomOrigin { custom_headers, domain_name, read_timeout, ..origin() })
        });
    prop_oneof![2 => Just(None), 1 => Just(Some(Origin::Custom(origin()))), 1 => custom.prop_map(Some)]
}

fn request() -> impl Strategy<Value = Request> {
    let fixed = (
        prop_oneof![5 => Just("GET".to_owned()), 1 => text()],
        prop_oneof![5 => Just("::1".to_owned()), 1 => text()],
    );
    (fixed, target(), headers(), option::of(body()), origins()).prop_map(
        |((method, client_ip), (uri, querystring), headers, body, origin)| {
            let extra = Extra::new();
            Request { client_ip, method, uri, querystring, headers, body, origin, extra }
        },
    )
}

fn cf() -> impl Strategy<Value = Cf> {
    (request(), option::of(response())).prop_map(|(request, response)| Cf {
        request,
        response,
        ..Cf::default()
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        request().prop_map(|request| Outcome::Request(Box::new(request))),
        response().prop_map(Outcome::Response),
    ]
}

proptest! {
    #[test]
    fn what_is_enforced_breaks_what_is_left_and_nothing_else(trigger in trigger(), cf in cf(), outcome in outcome()) {
        let found = check(&cf, trigger, &outcome);
        let enforced = enforce(&cf, trigger, outcome.clone());
        prop_assert_eq!(&enforced.left, &check(&cf, trigger, &enforced.outcome));
        let unrepaired: Vec<_> = enforced.left.iter().filter(|left| left.rule.is_repairable()).collect();
        prop_assert!(unrepaired.is_empty(), "{:?}", unrepaired);
        prop_assert!(enforced.repaired.iter().all(|repaired| repaired.rule.is_repairable()));
        if found.iter().all(|found| !found.rule.is_repairable()) {
            prop_assert_eq!(&enforced.outcome, &outcome, "what needs no repair stays as it is");
        }
        let again = enforce(&cf, trigger, enforced.outcome.clone());
        prop_assert_eq!(again.outcome, enforced.outcome);
    }

    #[test]
    fn what_is_broken_and_cannot_be_repaired_is_left(trigger in trigger(), cf in cf(), outcome in outcome()) {
        let lasting = [Rule::ResponseExpected, Rule::Status, Rule::StatusChange, Rule::Method, Rule::Uri, Rule::QueryString];
        let of = |found: &[Violation]| found.iter().map(|found| found.rule).filter(|rule| lasting.contains(rule)).collect::<Vec<_>>();
        let found = check(&cf, trigger, &outcome);
        prop_assert_eq!(of(&enforce(&cf, trigger, outcome).left), of(&found));
    }

    #[test]
    fn a_function_that_changes_nothing_breaks_no_rule(trigger in trigger(), request in request(), mut response in response()) {
        response.status = "200".to_owned();
        response.body = None;
        let mut cf = Cf { request, response: (!trigger.is_request()).then_some(response), ..Cf::default() };
        cf.request.body = None;
        prop_assert_eq!(check(&cf, trigger, &unchanged(&cf)), []);
    }
}
