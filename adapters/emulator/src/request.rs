//! From a request on a socket to the core's request and facts.

use std::cell::OnceCell;
use std::net::IpAddr;

use http::{Request, Version};
use hyper::body::Incoming;
use selvedge_core::body::Body;
use selvedge_core::facts::Facts;

use crate::body::Bodies;
use crate::facts::{protocol, take_pose};
use crate::shared::Shared;

/// The client at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    address: IpAddr,
    facts: OnceCell<Facts>,
}

impl Peer {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), facts: OnceCell::new() }
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.address.is_loopback()
    }

    /// The facts about one of its requests; a posed client's are looked up each time.
    fn facts(&self, shared: &Shared, posed: Option<IpAddr>, version: Version) -> Facts {
        let named = |address| {
            let mut facts = shared.locate(address);
            facts.protocol = Some(protocol(version).to_owned());
            facts
        };
        match posed {
            Some(address) => named(address),
            None => self.facts.get_or_init(|| named(self.address)).clone(),
        }
    }
}

/// Splits a request into what the core sees; the body stays in `bodies`.
pub(crate) fn accept(
    request: Request<Incoming>,
    bodies: &Bodies,
    peer: &Peer,
    shared: &Shared,
) -> (Request<Body>, Facts) {
    let (mut parts, body) = request.into_parts();
    let posed = take_pose(&mut parts.headers).filter(|_| shared.config.pose);
    let facts = peer.facts(shared, posed, parts.version);
    parts.extensions.clear();
    (Request::from_parts(parts, bodies.keep_request(body)), facts)
}
