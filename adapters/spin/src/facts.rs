//! What is known about the client: from Spin, and from Akamai where the policy says that it stands in front.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, Uri};
use selvedge_core::facts::{Continent, Coordinates, CountryCode, Facts};
use selvedge_core::geo::rules::GeoSource;
use selvedge_core::policy::Policy;
use selvedge_core::spin::Front;

/// The address of whoever sent the request to Spin
/// (<https://spinframework.dev/http-trigger#additional-request-information>).
const CLIENT_ADDRESS: &str = "spin-client-addr";

/// The URL as the client asked for it, since the request's own has no host.
const FULL_URL: &str = "spin-full-url";

/// Akamai's word on the client's address
/// (<https://techdocs.akamai.com/property-mgr/docs/true-client-ip-header>).
const TRUE_CLIENT_IP: &str = "true-client-ip";

/// Akamai's word on the client's place (<https://techdocs.akamai.com/property-mgr/docs/edgescape>).
const EDGESCAPE: &str = "x-akamai-edgescape";

/// Whose word about the client counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    front: Option<Front>,
    place_of_front: bool,
}

impl Trust {
    pub(crate) fn of(policy: &Policy) -> Self {
        let front = policy.spin.front;
        Self { front, place_of_front: front.is_some() && policy.geo.source == GeoSource::Platform }
    }

    /// Names the headers that [`facts`](Self::facts) reads, but for the client's address where nobody needs it.
    pub(crate) fn sources(self, needs_address: bool) -> impl Iterator<Item = &'static str> {
        let address = match self.front {
            Some(Front::Akamai) => TRUE_CLIENT_IP,
            None => CLIENT_ADDRESS,
        };
        let place = self.place_of_front.then_some(EDGESCAPE);
        [FULL_URL].into_iter().chain(needs_address.then_some(address)).chain(place)
    }

    /// Returns what is known of a request's client. The headers that are read here never reach the policy or a backend: the
    /// core drops them at the door.
    pub(crate) fn facts(self, headers: &HeaderMap) -> Facts {
        let mut facts = if self.place_of_front {
            sole(headers, EDGESCAPE).map(edgescape).unwrap_or_default()
        } else {
            Facts::default()
        };
        let address = match self.front {
            Some(Front::Akamai) => sole(headers, TRUE_CLIENT_IP),
            None => last(headers, CLIENT_ADDRESS),
        };
        facts.client_ip = address.and_then(self::address);
        facts.is_https = last(headers, FULL_URL)
            .and_then(|url| url.split_once("://"))
            .map(|(scheme, _)| scheme.eq_ignore_ascii_case("https"));
        facts
    }
}

/// The URL as the client asked for it, when Spin says it.
pub(crate) fn full_url(headers: &HeaderMap) -> Option<Uri> {
    last(headers, FULL_URL)?.parse().ok()
}

/// Whether a header is one of Spin's own that nobody here reads. The core would drop it at the door, which takes longer.
pub(crate) fn is_idle(name: &str) -> bool {
    name.starts_with("spin-") && name != CLIENT_ADDRESS && name != FULL_URL
}

/// Reads `country_code=US,region_code=MA,...`; what is not there, or is none, is unknown.
fn edgescape(text: &str) -> Facts {
    let mut facts = Facts::default();
    let (mut latitude, mut longitude) = (None, None);
    for (name, value) in text.split(',').filter_map(|field| field.trim().split_once('=')) {
        let text = Some(value).filter(|value| !value.is_empty()).map(str::to_owned);
        match name {
            "country_code" => facts.country = CountryCode::new(value),
            "continent" => facts.continent = Continent::new(value),
            "region_code" => facts.region = text,
            "city" => facts.city = text,
            "timezone" => facts.time_zone = text.filter(|zone| is_iana(zone)),
            "asnum" => facts.asn = value.parse().ok(),
            "lat" => latitude = value.parse().ok(),
            "long" => longitude = value.parse().ok(),
            _ => {}
        }
    }
    facts.coordinates =
        latitude.zip(longitude).and_then(|(latitude, longitude)| Coordinates::new(latitude, longitude));
    facts
}

/// Akamai also writes zones as `EST` or `GMT+1`, which are no places.
fn is_iana(zone: &str) -> bool {
    zone.contains('/')
}

/// The last value of a header: Spin's own follows what a client sent by the same name.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    text(headers.get_all(name).iter().next_back()?)
}

/// The value of a header that is there once.
fn sole<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = text(values.next()?)?;
    values.next().is_none().then_some(value)
}

/// Names of cities are not all ASCII.
fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|both| both.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    const SCAPE: &str = "georegion=246,country_code=US,region_code=MA,city=CAMBRIDGE,dma=506,lat=42.3933,\
                         long=-71.1333,timezone=America/New_York,continent=NA,asnum=21399";

    fn facts(policy: &str, headers: &[(&'static str, &str)]) -> Facts {
        let policy = read(policy).unwrap_or_else(|errors| panic!("{policy}: {errors}"));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header value"));
        }
        Trust::of(&policy).facts(&map)
    }

    #[test]
    fn without_a_front_only_spin_itself_is_believed() {
        let headers = [
            ("spin-client-addr", "[::ffff:203.0.113.9]:5123"),
            ("true-client-ip", "198.51.100.1"),
            ("x-akamai-edgescape", SCAPE),
            ("spin-full-url", "https://shop.example/a"),
        ];
        let facts = facts("", &headers);
        assert_eq!(facts.client_ip, Some("203.0.113.9".parse().expect("an address")));
        assert_eq!((facts.country, facts.city, facts.is_https), (None, None, Some(true)));
    }

    #[test]
    fn spins_word_counts_after_whatever_a_client_said_in_its_name() {
        let headers = [
            ("spin-client-addr", "198.51.100.1:1"),
            ("spin-full-url", "https://shop.example/forged"),
            ("spin-client-addr", "203.0.113.9:5123"),
            ("spin-full-url", "http://shop.example/a"),
        ];
        let facts = facts("", &headers);
        assert_eq!(facts.client_ip, Some("203.0.113.9".parse().expect("an address")));
        assert_eq!(facts.is_https, Some(false));
    }

    #[test]
    fn behind_akamai_its_word_counts_and_no_other() {
        let headers = [
            ("spin-client-addr", "203.0.113.9:5123"),
            ("true-client-ip", "2001:db8::1"),
            ("x-akamai-edgescape", SCAPE),
            ("spin-full-url", "http://shop.example/a"),
        ];
        let known = facts("[spin]\nfront = \"akamai\"", &headers);
        assert_eq!(known.client_ip, Some("2001:db8::1".parse().expect("an address")));
        assert_eq!((known.country, known.continent), (CountryCode::new("US"), Some(Continent::NorthAmerica)));
        assert_eq!((known.region.as_deref(), known.city.as_deref()), (Some("MA"), Some("CAMBRIDGE")));
        assert_eq!(known.coordinates, Coordinates::new(42.3933, -71.1333));
        assert_eq!((known.time_zone.as_deref(), known.asn), (Some("America/New_York"), Some(21399)));
        assert_eq!(known.is_https, Some(false));
        let none = facts("[spin]\nfront = \"akamai\"", &headers[..1]);
        assert_eq!(none.client_ip, None, "Spin's word is the address of Akamai");
        let database = facts("[spin]\nfront = \"akamai\"\n[geo]\nsource = \"database\"", &headers);
        assert_eq!((database.country, database.client_ip), (None, known.client_ip), "the database says it");
    }

    #[test]
    fn only_what_is_read_here_is_kept_of_spins_own() {
        for name in ["spin-path-info", "spin-matched-route", "spin-component-route"] {
            assert!(is_idle(name), "{name}");
        }
        for name in
            [CLIENT_ADDRESS, FULL_URL, TRUE_CLIENT_IP, EDGESCAPE, "x-spin-path-info", "spinning", "host"]
        {
            assert!(!is_idle(name), "{name}");
        }
    }

    #[test]
    fn what_is_repeated_or_makes_no_sense_is_unknown() {
        let rows: [&[(&'static str, &str)]; 5] = [
            &[],
            &[("spin-client-addr", "203.0.113.9:1"), ("spin-client-addr", "unknown")],
            &[("spin-client-addr", "203.0.113.9, 203.0.113.8")],
            &[("spin-client-addr", "unknown")],
            &[("spin-client-addr", "")],
        ];
        for headers in rows {
            assert_eq!(facts("", headers).client_ip, None, "{headers:?}");
        }
        let twice = [("true-client-ip", "203.0.113.9"), ("true-client-ip", "203.0.113.8")];
        assert_eq!(facts("[spin]\nfront = \"akamai\"", &twice).client_ip, None, "the front sends one");
        let odd = "country_code=EU,continent=,lat=1000,long=1,timezone=GMT+1,asnum=many,city=,=,x";
        assert_eq!(edgescape(odd), Facts::default());
    }
}
