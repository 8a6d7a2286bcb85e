//! What CloudFront tells an origin about a client, and how it proves that it is CloudFront.

use http::{HeaderMap, HeaderName, HeaderValue};
use selvedge_core::facts::Facts;

/// The header in which the function is told CloudFront's secret.
const SECRET_HEADER: &str = "selvedge-cloudfront-secret";

/// The secret of a function on this machine, whose URL listens on loopback.
pub(super) const SECRET: &str = "of the local edge in front of a function on this machine";

/// Returns [CloudFront's headers](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html),
/// the secret among them; what is not known is not there.
#[must_use]
pub fn headers(facts: &Facts) -> Vec<(&'static str, String)> {
    let coordinate = |which: fn(selvedge_core::facts::Coordinates) -> f64| {
        facts.coordinates.map(|place| which(place).to_string())
    };
    let fields = [
        (SECRET_HEADER, Some(SECRET.to_owned())),
        ("cloudfront-viewer-address", facts.client_ip.map(|address| format!("{address}:40000"))),
        ("cloudfront-viewer-country", facts.country.map(|country| country.to_string())),
        ("cloudfront-viewer-country-region", facts.region.clone()),
        ("cloudfront-viewer-city", facts.city.as_deref().map(encoded)),
        ("cloudfront-viewer-latitude", coordinate(|place| place.latitude)),
        ("cloudfront-viewer-longitude", coordinate(|place| place.longitude)),
        ("cloudfront-viewer-time-zone", facts.time_zone.clone()),
        ("cloudfront-viewer-asn", facts.asn.map(|asn| asn.to_string())),
        ("cloudfront-viewer-http-version", facts.protocol.as_deref().and_then(version)),
        (
            "cloudfront-viewer-tls",
            facts.tls_version.as_ref().map(|version| format!("{version}:-:fullHandshake")),
        ),
        ("cloudfront-forwarded-proto", facts.is_https.map(|is| if is { "https" } else { "http" }.to_owned())),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Puts what is known about a client in the place of whatever the client said there.
pub fn tell(to: &mut HeaderMap, facts: &Facts) {
    let forged: Vec<HeaderName> = to.keys().filter(|name| is_cloudfronts(name.as_str())).cloned().collect();
    for name in forged {
        to.remove(name);
    }
    for (name, value) in headers(facts) {
        if let Ok(value) = HeaderValue::try_from(value) {
            to.insert(HeaderName::from_static(name), value);
        }
    }
}

fn is_cloudfronts(name: &str) -> bool {
    name.starts_with("cloudfront-") || name == SECRET_HEADER
}

/// CloudFront's form of `HTTP/2`: a number with a point.
fn version(protocol: &str) -> Option<String> {
    let number = protocol.strip_prefix("HTTP/")?;
    Some(if number.contains('.') { number.to_owned() } else { format!("{number}.0") })
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use selvedge_core::facts::{Coordinates, CountryCode};

    use super::*;

    #[test]
    fn a_client_cannot_say_who_it_is() {
        let mut told = HeaderMap::new();
        for name in [SECRET_HEADER, "cloudfront-viewer-country", "cloudfront-is-mobile-viewer"] {
            told.append(name, HeaderValue::from_static("forged"));
            told.append(name, HeaderValue::from_static("twice"));
        }
        tell(&mut told, &Facts::default());
        let values: Vec<_> = told.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(values, [(SECRET_HEADER, SECRET.as_bytes())]);
    }

    #[test]
    fn what_is_known_goes_under_cloudfronts_names() {
        let mut facts = Facts::default();
        facts.country = CountryCode::new("DE");
        facts.city = Some("Köln 50%".to_owned());
        facts.coordinates = Coordinates::new(52.5, 13.25);
        facts.protocol = Some("HTTP/2".to_owned());
        facts.client_ip = Some("192.0.2.1".parse().unwrap());
        let expected = [
            ("cloudfront-viewer-address", "192.0.2.1:40000"),
            ("cloudfront-viewer-country", "DE"),
            ("cloudfront-viewer-city", "K%C3%B6ln 50%25"),
            ("cloudfront-viewer-latitude", "52.5"),
            ("cloudfront-viewer-longitude", "13.25"),
            ("cloudfront-viewer-http-version", "2.0"),
        ];
        let told = headers(&facts);
        let told: Vec<_> = told.iter().skip(1).map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(told, expected);
    }
}
