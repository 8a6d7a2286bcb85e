//! What the emulator knows about a client: its address, and what a geolocation database says of it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Version};
use selvedge_core::facts::Facts;
use selvedge_mmdb::{GeoDatabase, Located};

/// The request header that poses as another client.
pub(crate) const POSE: HeaderName = HeaderName::from_static("selvedge-client-ip");

/// What a client is known as, with or without a database.
pub(crate) fn locate(database: Option<&GeoDatabase>, address: IpAddr) -> Located {
    let address = address.to_canonical();
    let mut located = match database {
        Some(database) => database.look_up(address),
        None => {
            let mut facts = Facts::default();
            facts.client_ip = Some(address);
            Located { facts, damage: None }
        }
    };
    located.facts.is_https = Some(false);
    located
}

/// Removes the posing header and returns the address it holds, when it holds exactly one.
pub(crate) fn take_pose(headers: &mut HeaderMap) -> Option<IpAddr> {
    let mut values = headers.get_all(POSE).iter();
    let (first, second) = (values.next(), values.next());
    let address = match (first, second) {
        (Some(value), None) => value.to_str().ok().and_then(|text| text.trim().parse().ok()),
        _ => None,
    };
    if first.is_some() {
        headers.remove(POSE);
    }
    address
}

/// The protocol's name as [`Facts::protocol`] has it.
pub(crate) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_posing_header_is_always_removed_and_believed_only_when_it_is_one_address() {
        struct Row {
            values: &'static [&'static str],
            address: Option<&'static str>,
        }
        let rows = [
            Row { values: &[], address: None },
            Row { values: &["203.0.113.9"], address: Some("203.0.113.9") },
            Row { values: &[" 2001:db8::1 "], address: Some("2001:db8::1") },
            Row { values: &["203.0.113.9:80"], address: None },
            Row { values: &["203.0.113.9, 203.0.113.10"], address: None },
            Row { values: &["203.0.113.9", "203.0.113.9"], address: None },
            Row { values: &[""], address: None },
        ];
        for row in rows {
            let mut headers = HeaderMap::new();
            for value in row.values {
                headers.append(POSE, value.parse().unwrap());
            }
            let expected = row.address.map(|address| address.parse().unwrap());
            assert_eq!(take_pose(&mut headers), expected, "{:?}", row.values);
            assert!(headers.is_empty(), "{:?} stays", row.values);
        }
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_keeps_its_ipv4_address() {
        let facts = locate(None, "::ffff:203.0.113.9".parse().unwrap()).facts;
        assert_eq!(facts.client_ip, Some("203.0.113.9".parse().unwrap()));
        assert_eq!((facts.country, facts.is_https), (None, Some(false)));
    }
}
