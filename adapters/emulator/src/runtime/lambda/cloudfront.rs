//! What CloudFront tells an origin about a client, and how it proves that it is CloudFront.

use http::{HeaderMap, HeaderName, HeaderValue};
use selvedge_core::facts::Facts;

use crate::runtime::cloudfront::facts::{is_made, value};

/// The header in which the function is told CloudFront's secret.
const SECRET_HEADER: &str = "selvedge-cloudfront-secret";

/// The secret of a function on this machine, whose URL listens on loopback.
pub(super) const SECRET: &str = "of the local edge in front of a function on this machine";

/// The headers of CloudFront that an origin request policy of a function names.
const NAMES: [&str; 11] = [
    "cloudfront-viewer-address",
    "cloudfront-viewer-country",
    "cloudfront-viewer-country-region",
    "cloudfront-viewer-city",
    "cloudfront-viewer-latitude",
    "cloudfront-viewer-longitude",
    "cloudfront-viewer-time-zone",
    "cloudfront-viewer-asn",
    "cloudfront-viewer-http-version",
    "cloudfront-viewer-tls",
    "cloudfront-forwarded-proto",
];

/// Returns CloudFront's headers, the secret among them; what is not known is not there.
#[must_use]
pub fn headers(facts: &Facts) -> Vec<(&'static str, String)> {
    let told = NAMES.into_iter().filter_map(|name| Some((name, value(name, facts)?)));
    std::iter::once((SECRET_HEADER, SECRET.to_owned())).chain(told).collect()
}

/// Puts what is known about a client in the place of whatever the client said there.
pub(in crate::runtime) fn tell(to: &mut HeaderMap, facts: &Facts) {
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
    is_made(name) || name == SECRET_HEADER
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
            ("cloudfront-viewer-address", "192.0.2.1:49152"),
            ("cloudfront-viewer-country", "DE"),
            ("cloudfront-viewer-city", "K%C3%B6ln 50%"),
            ("cloudfront-viewer-latitude", "52.50000"),
            ("cloudfront-viewer-longitude", "13.25000"),
            ("cloudfront-viewer-http-version", "2.0"),
        ];
        let told = headers(&facts);
        let told: Vec<_> = told.iter().skip(1).map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(told, expected);
    }
}
