//! What CloudFront tells about a client, in [headers](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html)
//! that it adds after the viewer-request trigger and in the event itself.

use std::net::IpAddr;

use selvedge_core::facts::{Coordinates, CountryCode, Fact, FactSet, Facts};

use crate::event::Request;

/// What a header is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// To tell responses apart.
    Key,
    /// To tell the function.
    OriginRequest,
}

const ADDRESS: &str = "cloudfront-viewer-address";
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
    let door = at_the_door(&request.client_ip, https_only);
    let mut facts = viewer_facts(|name| request.headers.first(name));
    facts.client_ip = door.client_ip;
    facts.is_https = facts.is_https.or(door.is_https);
    facts
}

/// Returns what CloudFront's own headers tell about a viewer.
///
/// `header` returns the value of a header by its name in lower case, `None` where there is none. Whoever calls this knows that
/// CloudFront wrote them: a client may send headers of the same names.
///
/// A fact is absent where its header is, where it is empty and where it is none that CloudFront documents. A viewer's TLS without a
/// scheme is `https`.
///
/// # Examples
/// ```
/// use selvedge_cloudfront::policy::viewer_facts;
///
/// let headers = [("cloudfront-viewer-city", "K%C3%B6ln"), ("cloudfront-viewer-address", "2001:db8::1:49152")];
/// let facts = viewer_facts(|name| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value));
/// assert_eq!(facts.city.as_deref(), Some("Köln"));
/// assert_eq!(facts.client_ip, "2001:db8::1".parse().ok());
/// assert_eq!(facts.country, None);
/// ```
pub fn viewer_facts<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Facts {
    let value = |name| header(name).filter(|value| !value.is_empty());
    let number = |name| value(name).and_then(|value| value.parse().ok());
    let mut facts = Facts::default();
    facts.client_ip = value(ADDRESS).and_then(address);
    facts.country = value(COUNTRY).and_then(CountryCode::new);
    facts.region = value(REGION).map(percent_decoded);
    facts.city = value(CITY).map(percent_decoded);
    facts.coordinates = number(LATITUDE)
        .zip(number(LONGITUDE))
        .and_then(|(latitude, longitude)| Coordinates::new(latitude, longitude));
    facts.time_zone = value(TIME_ZONE).map(percent_decoded);
    facts.asn = value(ASN).and_then(|asn| asn.parse().ok());
    facts.protocol = value(HTTP_VERSION).and_then(protocol);
    facts.tls_version = value(TLS).and_then(|tls| tls.split(':').next()).map(str::to_owned);
    let scheme = value(PROTO).map(|proto| proto.eq_ignore_ascii_case("https"));
    facts.is_https = scheme.or(facts.tls_version.as_ref().map(|_| true));
    facts
}

/// An address with the port behind its last colon, also where an IPv6 address has no brackets.
fn address(text: &str) -> Option<IpAddr> {
    let (host, _) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// `2.0` as the other platforms write it: `HTTP/2`.
fn protocol(version: &str) -> Option<String> {
    let version = version.strip_suffix(".0").filter(|major| *major != "1").unwrap_or(version);
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_version.then(|| format!("HTTP/{version}"))
}

/// CloudFront percent-encodes what is not ASCII.
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
