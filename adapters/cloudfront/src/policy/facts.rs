//! What CloudFront tells about a client, in [headers](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html)
//! that it adds after the viewer-request trigger and in the event itself.

use selvedge_core::facts::{Coordinates, CountryCode, Fact, FactSet, Facts};

use crate::event::{Headers, Request};

/// What a header is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// To tell responses apart.
    Key,
    /// To tell the function.
    OriginRequest,
}

const COUNTRY: &str = "cloudfront-viewer-country";
const REGION: &str = "cloudfront-viewer-country-region";
const CITY: &str = "cloudfront-viewer-city";
const LATITUDE: &str = "cloudfront-viewer-latitude";
const LONGITUDE: &str = "cloudfront-viewer-longitude";
const TIME_ZONE: &str = "cloudfront-viewer-time-zone";
const ASN: &str = "cloudfront-viewer-asn";
const HTTP_VERSION: &str = "cloudfront-viewer-http-version";
const TLS: &str = "cloudfront-viewer-tls";
const PROTO: &str = "cloudfront-forwarded-proto";

/// Headers by the fact that they tell, and whether a cache policy may name them.
const HEADERS: [(Fact, &str, bool); 11] = [
    (Fact::Country, COUNTRY, true),
    (Fact::Continent, COUNTRY, true),
    (Fact::Region, REGION, true),
    (Fact::City, CITY, true),
    (Fact::Latitude, LATITUDE, true),
    (Fact::Longitude, LONGITUDE, true),
    (Fact::TimeZone, TIME_ZONE, true),
    (Fact::Asn, ASN, false),
    (Fact::Protocol, HTTP_VERSION, true),
    (Fact::TlsVersion, TLS, false),
    (Fact::IsHttps, PROTO, true),
];

/// Whether a header tells the viewer's scheme.
pub(super) fn is_scheme(name: &str) -> bool {
    name == PROTO
}

/// Whether a header tells where the viewer is.
pub(super) fn is_place(name: &str) -> bool {
    [COUNTRY, REGION, CITY, TIME_ZONE].contains(&name)
}

/// The headers that tell these facts, each once.
pub(super) fn headers(facts: FactSet, wanted: Use) -> impl Iterator<Item = &'static str> {
    let mut last = "";
    HEADERS.into_iter().filter_map(move |(fact, name, may_be_key)| {
        let is_wanted = facts.has(fact) && (may_be_key || wanted == Use::OriginRequest) && name != last;
        last = if is_wanted { name } else { last };
        is_wanted.then_some(name)
    })
}

/// What every trigger knows.
pub(super) fn at_the_door(client_ip: &str, https_only: bool) -> Facts {
    let mut facts = Facts::default();
    facts.client_ip = client_ip.parse().ok();
    facts.is_https = https_only.then_some(true);
    facts
}

/// What the origin-request trigger knows: the viewer-request trigger let no client's own header of these names pass.
pub(super) fn behind_the_cache(request: &Request, https_only: bool) -> Facts {
    let headers = &request.headers;
    let mut facts = at_the_door(&request.client_ip, https_only);
    facts.country = headers.first(COUNTRY).and_then(CountryCode::new);
    facts.region = text(headers, REGION);
    facts.city = text(headers, CITY);
    facts.coordinates = number(headers, LATITUDE)
        .zip(number(headers, LONGITUDE))
        .and_then(|(latitude, longitude)| Coordinates::new(latitude, longitude));
    facts.time_zone = text(headers, TIME_ZONE);
    facts.asn = headers.first(ASN).and_then(|asn| asn.parse().ok());
    facts.protocol = headers.first(HTTP_VERSION).and_then(protocol);
    facts.tls_version = headers.first(TLS).and_then(|tls| tls.split(':').next()).map(str::to_owned);
    if let Some(proto) = headers.first(PROTO) {
        facts.is_https = Some(proto.eq_ignore_ascii_case("https"));
    }
    facts
}

/// `2.0` as the other platforms write it: `HTTP/2`.
fn protocol(version: &str) -> Option<String> {
    let version = version.strip_suffix(".0").filter(|major| *major != "1").unwrap_or(version);
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_version.then(|| format!("HTTP/{version}"))
}

fn number(headers: &Headers, name: &str) -> Option<f64> {
    headers.first(name)?.parse().ok()
}

/// CloudFront percent-encodes what is not ASCII.
fn text(headers: &Headers, name: &str) -> Option<String> {
    let value = headers.first(name).filter(|value| !value.is_empty())?;
    Some(percent_decoded(value))
}

fn percent_decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
