use bytes::Bytes;
use http::HeaderValue;
use selvedge_core::facts::{Continent, Coordinates, CountryCode};

use super::*;
use crate::event::Event;
use crate::settings::{CLOUDFRONT_SECRET, Settings};

const SECRET: &str = "0123456789abcdef";

fn event(text: &str) -> HttpEvent {
    match Event::parse(&Bytes::copy_from_slice(text.as_bytes())) {
        Ok(Event::Http(event)) => *event,
        other => panic!("it is a request and not {other:?}"),
    }
}

fn url() -> HttpEvent {
    event(
        r#"{"rawPath":"/","requestContext":{"http":{"method":"GET","protocol":"HTTP/1.1","sourceIp":"192.0.2.7"}}}"#,
    )
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).expect("it is a value"));
    }
    headers
}

fn secret() -> Settings {
    Settings::read(|name| (name == CLOUDFRONT_SECRET).then(|| SECRET.to_owned())).expect("they are settings")
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("it is an address"))
}

#[test]
fn the_front_says_where_the_client_is_and_headers_do_not() {
    let imitation = headers(&[("x-forwarded-for", "10.0.0.1"), ("cloudfront-viewer-country", "DE")]);
    let facts = of(&url(), &imitation, None);
    assert_eq!((facts.client_ip, facts.country, facts.is_https), (ip("192.0.2.7"), None, Some(true)));
    assert_eq!(facts.protocol.as_deref(), Some("HTTP/1.1"));
    let rest = event(
        r#"{"httpMethod":"GET","path":"/","requestContext":{"protocol":"HTTP/1.1","identity":{"sourceIp":"2001:db8::1"}}}"#,
    );
    assert_eq!(of(&rest, &imitation, None).client_ip, ip("2001:db8::1"));
}

#[test]
fn a_load_balancer_appends_the_client_to_what_the_client_said() {
    let event = event(r#"{"httpMethod":"GET","path":"/","requestContext":{"elb":{}}}"#);
    struct Row(&'static [(&'static str, &'static str)], Option<IpAddr>, Option<bool>);
    let rows = [
        Row(&[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")], ip("192.0.2.7"), Some(true)),
        Row(
            &[("x-forwarded-for", "10.0.0.1, 192.0.2.7"), ("x-forwarded-proto", "http")],
            ip("192.0.2.7"),
            Some(false),
        ),
        Row(
            &[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "a, 192.0.2.7:4711")],
            ip("192.0.2.7"),
            None,
        ),
        Row(&[("x-forwarded-for", "192.0.2.7, unknown")], None, None),
        Row(&[], None, None),
    ];
    for Row(fields, address, is_https) in rows {
        let facts = of(&event, &headers(fields), None);
        assert_eq!((facts.client_ip, facts.is_https), (address, is_https), "{fields:?}");
    }
}

#[test]
fn cloudfront_is_believed_when_it_knows_the_secret() {
    let settings = secret();
    let told = [
        ("cloudfront-viewer-address", "2001:db8::2:4711"),
        ("cloudfront-viewer-country", "DE"),
        ("cloudfront-viewer-country-region", "BE"),
        ("cloudfront-viewer-city", "K%C3%B6ln %zz"),
        ("cloudfront-viewer-latitude", "52.5"),
        ("cloudfront-viewer-longitude", "13.25"),
        ("cloudfront-viewer-time-zone", "Europe/Berlin"),
        ("cloudfront-viewer-asn", "64496"),
        ("cloudfront-viewer-http-version", "2.0"),
        ("cloudfront-viewer-tls", "TLSv1.3:TLS_AES_128_GCM_SHA256:fullHandshake"),
        ("cloudfront-forwarded-proto", "https"),
    ];
    let mut proven = headers(&told);
    proven.insert(SECRET_HEADER, HeaderValue::from_static(SECRET));
    let facts = of(&url(), &proven, settings.secret.as_ref());
    assert_eq!((facts.client_ip, facts.asn), (ip("2001:db8::2"), Some(64496)));
    assert_eq!((facts.country, facts.continent()), (CountryCode::new("DE"), Some(Continent::Europe)));
    assert_eq!((facts.region.as_deref(), facts.city.as_deref()), (Some("BE"), Some("Köln %zz")));
    assert_eq!((facts.coordinates, facts.is_https), (Coordinates::new(52.5, 13.25), Some(true)));
    assert_eq!((facts.protocol.as_deref(), facts.tls_version.as_deref()), (Some("HTTP/2"), Some("TLSv1.3")));
    assert_eq!(facts.time_zone.as_deref(), Some("Europe/Berlin"));
}

#[test]
fn who_does_not_know_the_secret_is_a_client_like_any_other() {
    let settings = secret();
    let rows: [(&[&str], Option<&Secret>); 5] = [
        (&[], settings.secret.as_ref()),
        (&["0123456789abcdeF"], settings.secret.as_ref()),
        (&[""], settings.secret.as_ref()),
        (&[SECRET, SECRET], settings.secret.as_ref()),
        (&[SECRET], None),
    ];
    for (secrets, known) in rows {
        let mut headers =
            headers(&[("cloudfront-viewer-country", "DE"), ("cloudfront-viewer-address", "10.0.0.1:1")]);
        for secret in secrets {
            headers.append(SECRET_HEADER, HeaderValue::from_str(secret).expect("it is a value"));
        }
        let facts = of(&url(), &headers, known);
        assert_eq!((facts.client_ip, facts.country), (ip("192.0.2.7"), None), "{secrets:?}");
    }
}

#[test]
fn without_the_headers_cloudfronts_own_address_is_not_taken_for_the_clients() {
    let settings = secret();
    let facts = of(&url(), &headers(&[(SECRET_HEADER, SECRET)]), settings.secret.as_ref());
    assert_eq!(facts, Facts::default());
}

#[test]
fn a_header_that_is_there_twice_tells_nothing() {
    let settings = secret();
    let told = [
        (SECRET_HEADER, SECRET),
        ("cloudfront-viewer-country", "DE"),
        ("cloudfront-viewer-country", "US"),
        ("cloudfront-viewer-city", "Berlin"),
    ];
    let facts = of(&url(), &headers(&told), settings.secret.as_ref());
    assert_eq!((facts.country, facts.city.as_deref()), (None, Some("Berlin")));
}

#[test]
fn the_core_drops_every_header_that_is_read_here() {
    let names = [
        SECRET_HEADER,
        "cloudfront-viewer-address",
        "cloudfront-forwarded-proto",
        "x-forwarded-for",
        "x-forwarded-proto",
    ];
    for name in names {
        assert!(selvedge_core::headers::imitation::is_imitation(name), "{name}");
    }
}
