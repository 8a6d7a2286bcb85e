//! What CloudFront says about clients, in headers of its own.
//!
//! <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html>

use std::fmt::Write as _;
use std::net::IpAddr;

use selvedge_core::facts::{Coordinates, Facts};

/// How the names of CloudFront's headers begin.
const PREFIX: &str = "cloudfront-";

/// The port of every client.
///
/// DIFFERENCE: the emulator keeps no client's port, and no rule reads it.
const PORT: u16 = 49152;

/// Whether a header is one that CloudFront makes.
pub(in crate::runtime) fn is_made(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The value of one of CloudFront's headers by its name in lower case; `None` when it is not known, or not played.
pub(in crate::runtime) fn value(name: &str, facts: &Facts) -> Option<String> {
    match name.strip_prefix(PREFIX)? {
        "viewer-address" => facts.client_ip.map(address),
        "viewer-asn" => facts.asn.map(|asn| asn.to_string()),
        "viewer-country" => facts.country.map(|country| country.to_string()),
        "viewer-country-region" => facts.region.as_deref().map(ascii),
        "viewer-city" => facts.city.as_deref().map(ascii),
        "viewer-latitude" => facts.coordinates.map(|Coordinates { latitude, .. }| degrees(latitude)),
        "viewer-longitude" => facts.coordinates.map(|Coordinates { longitude, .. }| degrees(longitude)),
        "viewer-time-zone" => facts.time_zone.as_deref().map(ascii),
        "viewer-http-version" => facts.protocol.as_deref().map(version),
        "viewer-tls" => facts.tls_version.as_deref().map(tls),
        "forwarded-proto" => {
            facts.is_https.map(|is_https| if is_https { "https" } else { "http" }.to_owned())
        }
        _ => None,
    }
}

/// A header's name as CloudFront writes it, `CloudFront-Viewer-Country`.
pub(super) fn key(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for part in name.split('-') {
        if !key.is_empty() {
            key.push('-');
        }
        match part {
            "cloudfront" => key.push_str("CloudFront"),
            "asn" | "tls" => key.push_str(&part.to_ascii_uppercase()),
            part => {
                let mut letters = part.chars();
                key.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                key.push_str(letters.as_str());
            }
        }
    }
    key
}

/// The address and the port, with a colon between them for both kinds of address.
fn address(address: IpAddr) -> String {
    format!("{address}:{PORT}")
}

/// Five digits, as in CloudFront's examples.
fn degrees(degrees: f64) -> String {
    format!("{degrees:.5}")
}

/// `2.0` of `HTTP/2`.
fn version(protocol: &str) -> String {
    let version = protocol.trim_start_matches("HTTP/");
    if version.contains('.') { version.to_owned() } else { format!("{version}.0") }
}

/// DIFFERENCE: the version alone is known; the rest is what most clients have.
fn tls(version: &str) -> String {
    format!("{version}:TLS_AES_128_GCM_SHA256:fullHandshake")
}

/// "For non-ASCII characters in these headers' values, CloudFront percent-encodes the character". What no header
/// can hold is encoded too.
fn ascii(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() && !letter.is_ascii_control() {
            encoded.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                write!(encoded, "%{byte:02X}").expect("a string takes all that memory holds");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use selvedge_core::facts::CountryCode;

    use super::*;

    #[test]
    fn headers_have_cloudfronts_names_and_formats() {
        let mut facts = Facts::default();
        facts.client_ip = Some("2001:db8::7".parse().unwrap());
        facts.country = CountryCode::new("BR");
        facts.region = Some("SP".to_owned());
        facts.city = Some("São Paulo".to_owned());
        facts.coordinates = Coordinates::new(-23.5, -46.625);
        facts.time_zone = Some("America/Sao_Paulo".to_owned());
        facts.asn = Some(64496);
        facts.protocol = Some("HTTP/2".to_owned());
        facts.tls_version = Some("TLSv1.3".to_owned());
        facts.is_https = Some(true);
        let rows = [
            ("CloudFront-Viewer-Address", "2001:db8::7:49152"),
            ("CloudFront-Viewer-ASN", "64496"),
            ("CloudFront-Viewer-Country", "BR"),
            ("CloudFront-Viewer-Country-Region", "SP"),
            ("CloudFront-Viewer-City", "S%C3%A3o Paulo"),
            ("CloudFront-Viewer-Latitude", "-23.50000"),
            ("CloudFront-Viewer-Longitude", "-46.62500"),
            ("CloudFront-Viewer-Time-Zone", "America/Sao_Paulo"),
            ("CloudFront-Viewer-Http-Version", "2.0"),
            ("CloudFront-Viewer-TLS", "TLSv1.3:TLS_AES_128_GCM_SHA256:fullHandshake"),
            ("CloudFront-Forwarded-Proto", "https"),
        ];
        for (name, expected) in rows {
            let lower = name.to_ascii_lowercase();
            assert_eq!(value(&lower, &facts).as_deref(), Some(expected), "{name}");
            assert_eq!(key(&lower), name);
            if name != "CloudFront-Forwarded-Proto" {
                assert_eq!(value(&lower, &Facts::default()), None, "{name} of nobody");
            }
        }
        assert_eq!(value("x-forwarded-for", &facts), None, "not CloudFront's");
    }
}
