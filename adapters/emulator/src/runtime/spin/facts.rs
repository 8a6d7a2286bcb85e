//! What a component is told about a client: its address by this host, and what Akamai knows, if that is in front.

use http::{HeaderMap, HeaderName, HeaderValue};
use selvedge_core::facts::{Coordinates, Facts};

/// The header in which the host here is told a client's address, where its configuration trusts it.
pub const ADDRESS_HEADER: &str = "selvedge-client-addr";

/// The header in which it is told, likewise, whether the client came by `http` or `https`.
pub const SCHEME_HEADER: &str = "selvedge-client-proto";

/// Akamai's word on the client's address
/// (<https://techdocs.akamai.com/akamai-functions/docs/http-trigger-reference>).
const AKAMAI_ADDRESS: &str = "true-client-ip";

/// The header in which Akamai's behaviour
/// [EdgeScape](https://techdocs.akamai.com/property-mgr/docs/content-tgting-edgescape) says where the client is.
const AKAMAI_PLACE: &str = "x-akamai-edgescape";

/// Returns what the host here and Akamai say; what is not known is not there.
#[must_use]
pub fn headers(facts: &Facts) -> Vec<(&'static str, String)> {
    let address = facts.client_ip.map(|address| address.to_string());
    let scheme = facts.is_https.map(|is_https| if is_https { "https" } else { "http" }.to_owned());
    let told = [
        (ADDRESS_HEADER, address.clone()),
        (SCHEME_HEADER, scheme),
        (AKAMAI_ADDRESS, address),
        (AKAMAI_PLACE, place(facts)),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Puts what is known about a client in the place of whatever the client said there, for the host here.
pub(in crate::runtime) fn tell(to: &mut HeaderMap, facts: &Facts) {
    for name in [ADDRESS_HEADER, SCHEME_HEADER, AKAMAI_ADDRESS, AKAMAI_PLACE] {
        to.remove(name);
    }
    for (name, value) in headers(facts) {
        if let Ok(value) = HeaderValue::try_from(value) {
            to.insert(HeaderName::from_static(name), value);
        }
    }
}

/// The same for Spin itself, which goes by the connection for the address.
pub(in crate::runtime) fn tell_spin(to: &mut HeaderMap, facts: &Facts) {
    tell(to, facts);
    to.remove(ADDRESS_HEADER);
    to.remove(SCHEME_HEADER);
}

/// `country_code=US,region_code=MA,..`: what is known, in Akamai's order.
fn place(facts: &Facts) -> Option<String> {
    let text = |text: &Option<String>| text.as_deref().map(|text| text.replace([',', '='], " "));
    let fields = [
        ("country_code", facts.country.map(|country| country.to_string())),
        ("region_code", text(&facts.region)),
        ("city", text(&facts.city)),
        ("lat", facts.coordinates.map(|Coordinates { latitude, .. }| degrees(latitude))),
        ("long", facts.coordinates.map(|Coordinates { longitude, .. }| degrees(longitude))),
        ("timezone", text(&facts.time_zone)),
        ("continent", facts.continent.map(|continent| continent.as_str().to_owned())),
        ("asnum", facts.asn.map(|asn| asn.to_string())),
    ];
    let known: Vec<_> =
        fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect();
    (!known.is_empty()).then(|| known.join(","))
}

/// Four digits, as in Akamai's examples.
fn degrees(degrees: f64) -> String {
    format!("{degrees:.4}")
}

#[cfg(test)]
mod tests {
    use selvedge_core::facts::CountryCode;

    use super::*;

    fn facts() -> Facts {
        let mut facts = Facts::default();
        facts.client_ip = "203.0.113.9".parse().ok();
        facts.country = CountryCode::new("US");
        facts.region = Some("MA".to_owned());
        facts.city = Some("A, B=C".to_owned());
        facts.coordinates = Coordinates::new(42.3933, -71.1333);
        facts.asn = Some(21399);
        facts.is_https = Some(true);
        facts
    }

    #[test]
    fn akamai_says_where_a_client_is() {
        let place = "country_code=US,region_code=MA,city=A  B C,lat=42.3933,long=-71.1333,asnum=21399";
        let expected = [
            (ADDRESS_HEADER, "203.0.113.9".to_owned()),
            (SCHEME_HEADER, "https".to_owned()),
            (AKAMAI_ADDRESS, "203.0.113.9".to_owned()),
            (AKAMAI_PLACE, place.to_owned()),
        ];
        assert_eq!(headers(&facts()), expected);
    }

    #[test]
    fn a_client_cannot_say_who_it_is() {
        let mut told = HeaderMap::new();
        for name in [ADDRESS_HEADER, SCHEME_HEADER, AKAMAI_ADDRESS, AKAMAI_PLACE] {
            told.append(name, HeaderValue::from_static("forged"));
            told.append(name, HeaderValue::from_static("twice"));
        }
        tell(&mut told, &Facts::default());
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn spin_itself_is_not_told_the_address_of_this_host() {
        let mut told = HeaderMap::new();
        told.append(ADDRESS_HEADER, HeaderValue::from_static("forged"));
        told.append(SCHEME_HEADER, HeaderValue::from_static("forged"));
        tell_spin(&mut told, &facts());
        assert!(!told.contains_key(ADDRESS_HEADER) && !told.contains_key(SCHEME_HEADER));
        assert_eq!(told[AKAMAI_ADDRESS], "203.0.113.9");
    }
}
