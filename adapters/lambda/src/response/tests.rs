use http::Response;
use serde_json::{Value, json};

use super::*;

fn head(fields: &[(&'static str, &[u8])]) -> Parts {
    let mut response = Response::new(());
    for (name, value) in fields {
        response.headers_mut().append(*name, HeaderValue::from_bytes(value).expect("it is a value"));
    }
    response.into_parts().0
}

fn encoded(front: Front, body: &[u8]) -> Value {
    let head = head(&[
        ("vary", b"accept"),
        ("set-cookie", b"a=1; Path=/"),
        ("vary", b"cookie"),
        ("set-cookie", b"b=2, Expires"),
        ("x-latin", b"caf\xe9"),
    ]);
    serde_json::from_slice(&encode(front, &head, body)).expect("it is JSON")
}

#[test]
fn every_front_gets_every_value_and_every_cookie() {
    let cookies = json!(["a=1; Path=/", "b=2, Expires"]);
    let version2 = encoded(Front::Version2, b"hi");
    assert_eq!(version2["headers"], json!({ "vary": "accept, cookie", "x-latin": "café" }));
    assert_eq!((&version2["cookies"], &version2["statusCode"]), (&cookies, &json!(200)));
    let repeated = json!({ "vary": ["accept", "cookie"], "set-cookie": cookies, "x-latin": ["café"] });
    let version1 = encoded(Front::Version1, b"hi");
    assert_eq!((&version1["multiValueHeaders"], version1.get("headers")), (&repeated, None));
    let multi = encoded(Front::LoadBalancer { multi_value: true }, b"hi");
    assert_eq!((&multi["multiValueHeaders"], &multi["statusDescription"]), (&repeated, &json!("200 OK")));
    let single = encoded(Front::LoadBalancer { multi_value: false }, b"hi");
    let spelled = json!({
        "vary": "accept, cookie", "set-cookie": "a=1; Path=/", "Set-cookie": "b=2, Expires", "x-latin": "café"
    });
    assert_eq!((&single["headers"], single.get("multiValueHeaders")), (&spelled, None));
}

#[test]
fn a_body_that_is_no_text_goes_in_base64() {
    for front in [Front::Version2, Front::Version1, Front::LoadBalancer { multi_value: true }] {
        let text = encoded(front, "é\0".as_bytes());
        assert_eq!((&text["body"], &text["isBase64Encoded"]), (&json!("é\0"), &json!(false)));
        let bytes = encoded(front, b"\xff\0");
        assert_eq!((&bytes["body"], &bytes["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
    }
}

#[test]
fn a_prelude_ends_with_eight_zeros() {
    let bytes = prelude(&head(&[("set-cookie", b"a=1"), ("vary", b"a"), ("vary", b"b")]));
    let (json, zeros) = bytes.split_at(bytes.len() - 8);
    assert_eq!(zeros, [0; 8]);
    let json: Value = serde_json::from_slice(json).expect("it is JSON");
    assert_eq!(json, json!({ "statusCode": 200, "headers": { "vary": "a, b" }, "cookies": ["a=1"] }));
}

#[test]
fn spellings_of_a_name_differ_for_as_many_cookies_as_there_are() {
    let names: std::collections::BTreeSet<_> = (0..512).map(spelling).collect();
    assert_eq!(names.len(), 512);
    assert!(names.iter().all(|name| name.eq_ignore_ascii_case("set-cookie")));
}
