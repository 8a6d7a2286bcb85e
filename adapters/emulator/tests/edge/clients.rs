//! Who the client is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::Request;
use selvedge_emulator::{EmulatorConfig, GeoDatabase};

use crate::support::{Edge, Origin, connect, empty, policy, text, whole, with_host};

/// In Sweden by every database: the network of Uppsala University, where the country has not changed in decades.
const SWEDEN: &str = "130.238.7.10";

fn geoip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/storefront/geoip/iptoasn-country.mmdb")
}

fn config(pose: bool) -> EmulatorConfig {
    EmulatorConfig { pose, geoip: Some(GeoDatabase::open(&geoip()).unwrap()), ..EmulatorConfig::default() }
}

async fn ask(address: SocketAddr, path: &str, posed: &str) -> String {
    let request = Request::get(path).header("selvedge-client-ip", posed).body(empty()).unwrap();
    text(&whole(connect(address).await.send_request(with_host(request)).await.unwrap()).await).to_owned()
}

#[tokio::test]
async fn a_posed_address_decides_the_place_and_the_header_goes_no_further() {
    let edge = Edge::start_with(policy(Origin::start().await.address), config(true)).await;
    assert_eq!(ask(edge.address, "/country", SWEDEN).await, "SE");
    assert_eq!(ask(edge.address, "/address", SWEDEN).await, SWEDEN);
    assert_eq!(ask(edge.address, "/address", "2001:db8::1").await, "2001:db8::1");
    assert_eq!(ask(edge.address, "/address", "nonsense").await, "127.0.0.1", "an invalid address is ignored");
    for posed in [SWEDEN, "nonsense"] {
        assert!(!ask(edge.address, "/headers", posed).await.contains("selvedge-client-ip"), "{posed}");
    }
}

#[tokio::test]
async fn without_posing_the_header_is_dropped() {
    let edge = Edge::start_with(policy(Origin::start().await.address), config(false)).await;
    assert_eq!(ask(edge.address, "/address", SWEDEN).await, "127.0.0.1");
    assert_eq!(ask(edge.address, "/country", SWEDEN).await, "", "a loopback address is in no country");
    assert!(!ask(edge.address, "/headers", SWEDEN).await.contains("selvedge-client-ip"));
}

#[tokio::test]
async fn a_place_that_cannot_be_read_is_unknown_and_counted() {
    let mut database = std::fs::read(geoip()).unwrap();
    let metadata = b"\xab\xcd\xefMaxMind.com";
    let at = database.windows(metadata.len()).rposition(|window| window == metadata).unwrap();
    // The records are torn out, all but the first byte.
    let key = b"country_code";
    let first = database.windows(key.len()).position(|window| window == key).unwrap();
    database.drain(first..at);
    let geoip = Some(GeoDatabase::from_bytes(database).unwrap());
    let config = EmulatorConfig { geoip, ..EmulatorConfig::default() };
    let edge = Edge::start_with(policy(Origin::start().await.address), config).await;
    for _ in 0..2 {
        assert_eq!(ask(edge.address, "/country", SWEDEN).await, "");
    }
    let page = ask(edge.address, "/_selvedge/metrics", SWEDEN).await;
    assert!(page.contains("selvedge_errors_total{kind=\"place-failed\"} 2\n"), "{page}");
}
