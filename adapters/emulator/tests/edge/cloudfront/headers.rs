//! Headers on their way in and out.

use std::collections::BTreeMap;

use http::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use selvedge_cloudfront::event::Trigger;
use selvedge_cloudfront::policy::distribution::Distribution;
use selvedge_core::facts::{CountryCode, Facts};
use selvedge_emulator::EmulatorConfig;
use tokio::net::TcpStream;

use super::support::{Front, body, counted, distribution, header, node};
use crate::support::{empty, full, whole};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Knows where the client at 203.0.113.9 is.
fn knowing() -> EmulatorConfig {
    let mut place = Facts::default();
    place.country = CountryCode::new("DE");
    place.city = Some("Köln".to_owned());
    let places = BTreeMap::from([("203.0.113.9".parse().unwrap(), place)]);
    EmulatorConfig { places, ..EmulatorConfig::default() }
}

#[tokio::test]
async fn geography_is_known_from_origin_request_on() {
    let Some(node) = node() else { return };
    let distribution = Distribution {
        cache_key_headers: names(&["cloudfront-viewer-country"]),
        origin_request_headers: names(&["cloudfront-viewer-city", "cloudfront-viewer-asn"]),
        ..distribution()
    };
    let front = Front::start_with(&node, "", distribution, counted("x-origin", "yes"), knowing()).await;
    let request = Request::get("/").header("selvedge-client-ip", "203.0.113.9");
    front.send(request.body(empty()).unwrap()).await;
    let told = |trigger: Trigger| -> BTreeMap<String, String> {
        let headers = &front.events(trigger)[0].request.headers;
        let made = headers.iter().filter(|(name, _)| name.starts_with("cloudfront-"));
        made.map(|(_, field)| (field.key.clone().unwrap(), field.value.clone())).collect()
    };
    let expected = [("CloudFront-Viewer-Country", "DE"), ("CloudFront-Viewer-City", "K%C3%B6ln")];
    let expected = BTreeMap::from(expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(told(Trigger::ViewerRequest), BTreeMap::new());
    assert_eq!(told(Trigger::OriginRequest), expected);
    assert_eq!(told(Trigger::OriginResponse), expected);
    assert_eq!(told(Trigger::ViewerResponse), BTreeMap::new(), "the request as viewer-request left it");
}

#[tokio::test]
async fn a_client_cannot_say_where_it_is() {
    let Some(node) = node() else { return };
    let distribution = Distribution {
        cache_key_headers: names(&["cloudfront-viewer-country", "cloudfront-viewer-city"]),
        ..distribution()
    };
    let front = Front::start_with(&node, "", distribution, counted("x-origin", "yes"), knowing()).await;
    let request = Request::get("/")
        .header("cloudfront-viewer-country", "FR")
        .header("cloudfront-viewer-city", "Paris")
        .header("selvedge-client-ip", "198.51.100.1");
    front.send(request.body(empty()).unwrap()).await;
    let headers = &front.events(Trigger::OriginRequest)[0].request.headers;
    assert!(!headers.contains("cloudfront-viewer-country"), "nothing is known of this client: {headers:?}");
    assert!(!headers.contains("cloudfront-viewer-city"), "{headers:?}");
}

#[tokio::test]
async fn the_origin_gets_what_cloudfront_forwards() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, "", distribution(), counted("x-origin", "yes")).await;
    let request = Request::get("/")
        .header("user-agent", "a browser")
        .header("x-forwarded-for", "192.0.2.4")
        .header("accept-encoding", "zstd, br;q=0.5, GZIP, deflate")
        .header("expect", "x")
        .header("te", "trailers")
        .header("proxy-authorization", "x")
        .header("x-edge-thing", "x")
        .header("x-amz-cf-id", "forged")
        .header("x-real-ip", "x")
        .header("cookie", "a=1; b=2")
        .header("cookie", "c=3")
        .header("x-forwarded-proto", "x")
        .header("connection", "x-hop")
        .header("hop", "kept");
    let response = front.send(request.body(empty()).unwrap()).await;
    let asked = front.origin.requests().remove(0);
    let value = |name: &str| asked.headers().get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!(asked.version(), http::Version::HTTP_11);
    assert_eq!(value("host"), "shop.example", "the origin request policy forwards the viewer's");
    assert_eq!(value("user-agent"), "a browser");
    assert_eq!(value("x-forwarded-for"), "192.0.2.4, 127.0.0.1");
    assert_eq!(value("accept-encoding"), "br,gzip");
    assert_eq!(value("cookie"), "a=1; b=2; c=3");
    assert_eq!(value("x-amz-cf-id"), header(&response, "x-amz-cf-id"));
    assert!(value("via").ends_with(".cloudfront.net (CloudFront)"), "{}", value("via"));
    for name in ["expect", "te", "proxy-authorization", "x-edge-thing", "x-real-ip", "x-forwarded-proto"] {
        assert_eq!(value(name), "", "{name}");
    }
    let event = &front.events(Trigger::OriginRequest)[0].request.headers;
    assert_eq!(event.first("x-forwarded-for"), Some("192.0.2.4, 127.0.0.1"));
    assert_eq!(event.fields("user-agent")[0].key.as_deref(), Some("User-Agent"));
}

#[tokio::test]
async fn a_request_over_http_2_is_one_like_others() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, "", distribution(), counted("via", "1.1 origin")).await;
    let stream = TokioIo::new(TcpStream::connect(front.address()).await.unwrap());
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://shop.example/a").body(empty()).unwrap();
    let response = whole(client.send_request(request).await.unwrap()).await;
    let headers = &front.events(Trigger::ViewerRequest)[0].request.headers;
    assert_eq!((headers.first("host"), headers.first("via")), (Some("shop.example"), None));
    let asked = front.origin.requests().remove(0);
    assert!(asked.headers()["via"].to_str().unwrap().starts_with("2.0 "), "{asked:?}");
    let via = header(&response, "via");
    assert!(via.starts_with("1.1 origin, 1.1 ") && via.ends_with(" (CloudFront)"), "{via}");
}

#[tokio::test]
async fn repeated_headers_stay_repeated_in_both_directions() {
    let Some(node) = node() else { return };
    let answer = |_: &_, _| {
        let response = http::Response::builder().header("set-cookie", "a=1").header("set-cookie", "b=2, c");
        response.header("link", "<a>").header("link", "<a>").body(full("x")).unwrap()
    };
    let front = Front::start(&node, "", distribution(), answer).await;
    let request =
        Request::get("/").header("x-many", "one").header("x-many", "one").header("x-many", "two, three");
    let response = front.send(request.body(empty()).unwrap()).await;
    let values = |headers: &http::HeaderMap, name: &str| -> Vec<String> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(values(front.origin.requests()[0].headers(), "x-many"), ["one", "one", "two, three"]);
    assert_eq!(values(response.headers(), "set-cookie"), ["a=1", "b=2, c"]);
    assert_eq!(values(response.headers(), "link"), ["<a>", "<a>"]);
}

#[tokio::test]
async fn functions_change_requests_and_responses() {
    let Some(node) = node() else { return };
    let functions = r#"
        "viewer-request": ({ request }) => {
            request.uri = "/changed";
            request.querystring = "by=viewer-request";
            request.headers["x-state"] = [{ key: "X-State", value: "1" }];
            return request;
        },
        "origin-request": ({ request }) => {
            request.headers.host = [{ value: "backend.example" }];
            delete request.headers["x-state"];
            request.origin.custom.path = "/base";
            request.origin.custom.customHeaders["x-secret"] = [{ key: "X-Secret", value: "s3cret" }];
            return to(request, ORIGIN_PORT);
        },
        "origin-response": ({ response }) => {
            response.headers["x-edge"] = undefined;
            response.headers["x-by"] = [{ value: "origin-response" }];
            response.status = "203";
            return response;
        },
        "viewer-response": ({ request, response }) => {
            response.headers["x-state"] = request.headers["x-state"];
            return response;
        }"#;
    let front = Front::start(&node, functions, distribution(), counted("x-origin", "yes")).await;
    let response = front.get("/first?x=1").await;
    let asked = front.origin.requests().remove(0);
    assert_eq!(asked.uri(), "/base/changed?by=viewer-request");
    assert_eq!(asked.headers()["host"], "backend.example");
    assert_eq!(asked.headers()["x-secret"], "s3cret");
    assert!(!asked.headers().contains_key("x-state"));
    assert_eq!((response.status().as_u16(), body(&response)), (203, "answer 1"));
    assert_eq!((header(&response, "x-by"), header(&response, "x-state")), ("origin-response", "1"));
}
