use std::net::IpAddr;

use selvedge_core::facts::{Coordinates, CountryCode, Fact, FactSet};

use super::*;
use crate::policy::facts::{Use, at_the_door, behind_the_cache, headers, viewer_facts};

fn told(headers: &[(&str, &str)]) -> Facts {
    behind_the_cache(&get("/", headers), true)
}

/// The values are those that CloudFront documents:
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html>
#[test]
fn cloudfronts_headers_tell_every_fact() {
    let facts = told(&[
        ("CloudFront-Viewer-Country", "US"),
        ("CloudFront-Viewer-Country-Region", "MI"),
        ("CloudFront-Viewer-City", "Ann Arbor"),
        ("CloudFront-Viewer-Latitude", "42.30680"),
        ("CloudFront-Viewer-Longitude", "-83.70590"),
        ("CloudFront-Viewer-Time-Zone", "America/Detroit"),
        ("CloudFront-Viewer-ASN", "64496"),
        ("CloudFront-Viewer-Http-Version", "2.0"),
        ("CloudFront-Viewer-TLS", "TLSv1.3:TLS_AES_128_GCM_SHA256:connectionReused"),
        ("CloudFront-Forwarded-Proto", "https"),
    ]);
    let mut expected = Facts::default();
    expected.client_ip = Some(IpAddr::from([203, 0, 113, 7]));
    expected.country = CountryCode::new("US");
    expected.region = Some("MI".to_owned());
    expected.city = Some("Ann Arbor".to_owned());
    expected.coordinates = Coordinates::new(42.3068, -83.7059);
    expected.time_zone = Some("America/Detroit".to_owned());
    expected.asn = Some(64_496);
    expected.protocol = Some("HTTP/2".to_owned());
    expected.tls_version = Some("TLSv1.3".to_owned());
    expected.is_https = Some(true);
    assert_eq!(facts, expected);
}

#[test]
fn a_city_is_percent_decoded() {
    let rows = [
        ("K%C3%B6ln", Some("K\u{f6}ln")),
        ("%e6%9d%b1%E4%BA%AC", Some("\u{6771}\u{4eac}")),
        ("100%", Some("100%")),
        ("%zz%4", Some("%zz%4")),
        ("%%41", Some("%A")),
        ("%C3", Some("\u{fffd}")),
        ("", None),
    ];
    for (value, city) in rows {
        assert_eq!(told(&[("CloudFront-Viewer-City", value)]).city.as_deref(), city, "{value}");
    }
}

#[test]
fn http_versions_are_written_as_on_other_platforms() {
    let rows = [
        ("1.0", Some("HTTP/1.0")),
        ("1.1", Some("HTTP/1.1")),
        ("2.0", Some("HTTP/2")),
        ("3.0", Some("HTTP/3")),
        ("", None),
        ("h2", None),
    ];
    for (version, protocol) in rows {
        let facts = told(&[("CloudFront-Viewer-Http-Version", version)]);
        assert_eq!(facts.protocol.as_deref(), protocol, "{version}");
    }
}

#[test]
fn an_address_comes_with_a_port_in_every_spelling() {
    let rows = [
        ("192.0.2.1:80", Some("192.0.2.1")),
        ("[2001:db8::1]:80", Some("2001:db8::1")),
        ("2001:db8::1:80", Some("2001:db8::1")),
        ("::ffff:192.0.2.1:80", Some("192.0.2.1")),
        ("192.0.2.1", None),
        ("", None),
    ];
    for (value, address) in rows {
        let facts = viewer_facts(|name| (name == "cloudfront-viewer-address").then_some(value));
        let address = address.map(|address| address.parse::<IpAddr>().expect("it is an address"));
        assert_eq!(facts.client_ip, address, "{value}");
    }
}

#[test]
fn the_events_own_address_is_the_viewers() {
    let facts = told(&[("CloudFront-Viewer-Address", "192.0.2.1:80")]);
    assert_eq!(facts.client_ip, Some(IpAddr::from([203, 0, 113, 7])));
}

#[test]
fn what_is_no_fact_is_none() {
    let facts = told(&[
        ("CloudFront-Viewer-Country", "Atlantis"),
        ("CloudFront-Viewer-Latitude", "91"),
        ("CloudFront-Viewer-Longitude", "0"),
        ("CloudFront-Viewer-ASN", "-1"),
    ]);
    assert_eq!((facts.country, facts.coordinates, facts.asn), (None, None, None));
    assert_eq!(told(&[("CloudFront-Viewer-Latitude", "1")]).coordinates, None, "half a position");
    let nobody = Request { client_ip: "unknown".to_owned(), ..get("/", &[]) };
    assert_eq!(at_the_door(&nobody.client_ip, true).client_ip, None);
}

#[test]
fn the_door_believes_no_header() {
    let request = get("/", &[("CloudFront-Viewer-Country", "CN"), ("CloudFront-Forwarded-Proto", "https")]);
    for (https_only, is_https) in [(true, Some(true)), (false, None)] {
        let facts = at_the_door(&request.client_ip, https_only);
        assert_eq!((facts.country, facts.is_https), (None, is_https));
    }
}

#[test]
fn the_scheme_is_the_one_that_cloudfront_tells() {
    for (proto, https_only, is_https) in [("http", true, false), ("HTTPS", false, true)] {
        let facts = behind_the_cache(&get("/", &[("CloudFront-Forwarded-Proto", proto)]), https_only);
        assert_eq!(facts.is_https, Some(is_https), "{proto}");
    }
}

#[test]
fn a_viewer_with_tls_came_by_https() {
    let tls = "TLSv1.3:TLS_AES_128_GCM_SHA256:fullHandshake";
    let rows = [(None, None, None), (Some(tls), None, Some(true)), (Some(tls), Some("http"), Some(false))];
    for (tls, proto, is_https) in rows {
        let facts = viewer_facts(|name| match name {
            "cloudfront-viewer-tls" => tls,
            "cloudfront-forwarded-proto" => proto,
            _ => None,
        });
        assert_eq!(facts.is_https, is_https, "{tls:?} {proto:?}");
    }
}

#[test]
fn a_header_is_named_once_and_for_what_it_may_be_used() {
    let names = |facts: &[Fact], wanted| headers(FactSet::of(facts), wanted).collect::<Vec<_>>();
    let place = [Fact::Country, Fact::Continent];
    assert_eq!(names(&place, Use::Key), ["cloudfront-viewer-country"]);
    assert_eq!(names(&[Fact::Continent], Use::Key), ["cloudfront-viewer-country"]);
    let unfit = [Fact::Asn, Fact::TlsVersion];
    assert_eq!(names(&unfit, Use::Key), [""; 0], "a cache policy may not name them");
    assert_eq!(names(&unfit, Use::OriginRequest), ["cloudfront-viewer-asn", "cloudfront-viewer-tls"]);
    assert_eq!(names(&[Fact::ClientIp, Fact::BotScore], Use::OriginRequest), [""; 0], "no header tells them");
}
