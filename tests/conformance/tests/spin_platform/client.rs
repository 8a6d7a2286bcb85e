//! Requests as bytes and answers as they come.

use std::net::SocketAddr;

use selvedge_conformance::case::Step;
use selvedge_conformance::{Observed, http1};
use selvedge_core::facts::{CountryCode, Facts};
use selvedge_emulator::runtime::spin;

/// One request.
pub(super) fn step(method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Step {
    let mut headers: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers.push(("host".to_owned(), "shop.test".to_owned()));
    if !body.is_empty() {
        headers.push(("content-length".to_owned(), body.len().to_string()));
    }
    Step::request(method, target, headers, body.to_owned())
}

/// Sends it from an address in a country.
pub(super) async fn send_from(to: SocketAddr, step: &Step, address: &str, country: &str) -> Observed {
    let mut facts = Facts::default();
    facts.client_ip = address.parse().ok();
    facts.country = CountryCode::new(country);
    http1::exchange(to, step, &spin::headers(&facts)).await.unwrap()
}

/// Sends a request and waits for the answer.
pub(super) fn send(to: SocketAddr, method: &str, target: &str, fields: &[(&str, &str)]) -> Observed {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let step = step(method, target, fields, "");
    runtime.block_on(http1::exchange(to, &step, &[])).unwrap()
}

/// The values of a field.
pub(super) fn all<'a>(answer: &'a Observed, name: &str) -> Vec<&'a str> {
    let values = answer.headers.iter().filter(|(n, _)| n == name);
    values.map(|(_, value)| std::str::from_utf8(value).unwrap()).collect()
}

pub(super) fn text(answer: &Observed) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}
