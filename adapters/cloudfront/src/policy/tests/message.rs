use std::time::Duration;

use http::{Method, Uri};

use super::*;
use crate::event::{BodyAction, Encoding, RequestBody};
use crate::policy::message::{CLOUDFRONTS_BODY, changed, clean, generated, request as read_request, send};

fn body(encoding: Encoding, data: &str, input_truncated: bool) -> RequestBody {
    let action = BodyAction::ReadOnly;
    RequestBody { input_truncated, action, encoding, data: data.to_owned(), ..RequestBody::replace(&[]) }
}

#[test]
fn a_body_is_read_where_the_event_has_all_of_it() {
    let kept = Body::Host(CLOUDFRONTS_BODY);
    let bytes = |bytes: &'static [u8]| Body::from(Bytes::from_static(bytes));
    let rows = [
        ("text", Some(body(Encoding::Text, "a\u{f6}", false)), "3", bytes("a\u{f6}".as_bytes())),
        ("base64 of text", Some(body(Encoding::Base64, "aGk=", false)), "2", bytes(b"hi")),
        ("base64 of bytes", Some(body(Encoding::Base64, "AJ+S/w==", false)), "4", bytes(&[0, 159, 146, 255])),
        ("an empty one", Some(body(Encoding::Base64, "", false)), "0", Body::Empty),
        ("a part", Some(body(Encoding::Base64, "aGk=", true)), "2000000", kept.clone()),
        ("no base64", Some(body(Encoding::Base64, "a!", false)), "2", kept.clone()),
        ("one that is not shown", None, "2", kept),
        ("none", None, "0", Body::Empty),
    ];
    for (what, body, length, expected) in rows {
        let request = Request { body, ..request("POST", "/", &[("Content-Length", length)]) };
        assert_eq!(read_request(&request).into_body(), expected, "{what}");
    }
    let chunked = request("POST", "/", &[("Transfer-Encoding", "chunked")]);
    assert_eq!(read_request(&chunked).into_body(), Body::Host(CLOUDFRONTS_BODY), "its length is unknown");
    assert_eq!(read_request(&get("/", &[])).into_body(), Body::Empty);
}

#[test]
fn method_target_and_headers_are_the_viewers() {
    let read = read_request(&request("PATCH", "/a%20b?x=1&x=2", &[("X-A", "1"), ("x-a", "2")]));
    assert_eq!((read.method(), read.uri()), (&Method::PATCH, &Uri::from_static("/a%20b?x=1&x=2")));
    assert_eq!(read.headers().get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn a_target_that_is_none_is_one_that_the_core_refuses() {
    for (uri, querystring) in [("", ""), ("a", ""), ("https://evil.example/", ""), ("/\0", ""), ("/", "a b")]
    {
        let request = Request { uri: uri.to_owned(), querystring: querystring.to_owned(), ..get("/", &[]) };
        assert_eq!(read_request(&request).uri().path_and_query(), None, "{uri:?} {querystring:?}");
    }
}

#[test]
fn the_origin_is_the_backends_address() {
    let rows = [
        ("https://a.example/x?q=1", 100, "a.example", 443, "https", 1),
        ("http://a.example/x", 1000, "a.example", 80, "http", 1),
        ("https://b.example:8443/", 1001, "b.example", 8443, "https", 2),
        ("http://b.example:8080/", 300_000, "b.example", 8080, "http", 60),
        ("https://c.example/", 0, "c.example", 443, "https", 1),
    ];
    for (url, millis, domain, port, protocol, seconds) in rows {
        let mut event = get("/old?old=1", &[]);
        let sent = http::Request::get(url).body(Body::Empty).expect("it is a request");
        send(&mut event, &sent, Duration::from_millis(millis), |_| false);
        let Some(Origin::Custom(origin)) = event.origin else { panic!("{url} is a custom origin") };
        let told = (origin.domain_name.as_str(), origin.port, origin.protocol.as_str(), origin.read_timeout);
        assert_eq!(told, (domain, Some(port), protocol, Some(seconds)), "{url}");
        assert_eq!(origin.path, "", "the path is the request's");
        assert_eq!(event.uri, sent.uri().path(), "{url}");
        assert_eq!(event.querystring, sent.uri().query().unwrap_or_default(), "{url}");
    }
}

#[test]
fn names_stay_as_they_were_written_and_fields_stay_repeated() {
    let mut event = get("/", &[("X-MiXeD", "1"), ("X-MiXeD", "2")]);
    let mut sent = read_request(&event);
    *sent.uri_mut() = Uri::from_static("https://a.example/");
    sent.headers_mut().insert("x-new", http::HeaderValue::from_static("3"));
    send(&mut event, &sent, Duration::from_secs(1), |_| false);
    let keys: Vec<_> = event.headers.fields("x-mixed").iter().map(|f| f.key.as_deref()).collect();
    assert_eq!(keys, [Some("X-MiXeD"); 2]);
    assert_eq!(all(&event.headers, "x-mixed"), ["1", "2"]);
    assert_eq!(event.headers.fields("x-new")[0].key.as_deref(), Some("x-new"));
}

#[test]
fn imitations_go_and_nothing_else() {
    let mut headers: Headers = [
        ("selvedge-state", "1"),
        ("Selvedge-Key", "1"),
        ("CloudFront-Viewer-Country", "CN"),
        ("cloudfront-forwarded-proto", "https"),
        ("Cookie", "a=b"),
        ("X-Mine", "1"),
    ]
    .into_iter()
    .collect();
    clean(&mut headers);
    assert_eq!(headers.names().collect::<Vec<_>>(), ["cookie", "x-mine"]);
}

#[test]
fn a_generated_body_is_text_where_it_can_be() {
    let rows = [
        (Bytes::from("h\u{f6}"), Some(("h\u{f6}", Encoding::Text))),
        (Bytes::from_static(&[0, 159, 146]), Some(("AJ+S", Encoding::Base64))),
        (Bytes::new(), None),
    ];
    for (bytes, expected) in rows {
        let response = http::Response::builder().status(201).header("content-length", "99");
        let response = response.body(Body::from(bytes)).expect("it is a response");
        let made = generated(response);
        assert_eq!(made.body.as_deref().zip(made.body_encoding), expected);
        assert_eq!((made.status.as_str(), made.status_description.as_deref()), ("201", Some("Created")));
        assert!(!made.headers.contains("content-length"), "CloudFront measures it");
    }
}

#[test]
fn cloudfronts_body_stays_unless_there_is_another_one() {
    let before = Response { status_description: Some("Fine".to_owned()), ..respond(200, &[("X-A", "1")]) };
    let change = |status: u16, body| {
        let response = http::Response::builder().status(status).header("x-a", "2").body(body);
        changed(Trigger::OriginResponse, before.clone(), response.expect("it is a response"))
    };
    let kept = change(200, Body::Host(CLOUDFRONTS_BODY));
    assert_eq!((kept.body, kept.status_description.as_deref()), (None, Some("Fine")));
    assert_eq!(kept.headers.fields("x-a")[0].key.as_deref(), Some("X-A"));
    let other = change(503, Body::from("sorry"));
    assert_eq!((other.status.as_str(), other.body.as_deref()), ("503", Some("sorry")));
    assert_eq!(other.status_description.as_deref(), Some("Service Unavailable"));
    assert_eq!(change(503, Body::Empty).body.as_deref(), Some(""), "the backend's goes");
}
