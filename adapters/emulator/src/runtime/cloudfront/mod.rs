//! CloudFront, with Lambda@Edge functions on a real Node.js: triggers, cache, origins and its rules about results.

mod cache;
mod exchange;
pub(super) mod facts;
mod failure;
mod function;
mod node;
mod origin;
mod request;
mod response;
mod trigger;

pub use node::{Node, program};

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{Request, Response};
use selvedge_cloudfront::policy::distribution::{Attached, Distribution};
use selvedge_core::body::Body;
use selvedge_core::facts::Facts;
use selvedge_core::reason::Summary;

use crate::effects::EdgeHost;
use cache::Responses;
use exchange::Exchange;

/// Names this edge in `Via`.
const EDGE: &str = "5e1fed6e5e1fed6e5e1fed6e5e1fed6e";
/// Most bytes of kept responses.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// A CloudFront with one distribution; clones share it, and what is deployed can be exchanged while requests run.
#[derive(Clone)]
pub struct CloudFront(Arc<ArcSwap<Deployment>>);

/// A distribution and its functions.
struct Deployment {
    distribution: Distribution,
    /// Where the functions' process listens.
    functions: SocketAddr,
    responses: Responses,
}

impl CloudFront {
    /// Deploys a distribution whose functions listen at an address, as [`Node::address`] says.
    #[must_use]
    pub fn new(distribution: Distribution, functions: SocketAddr) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Deployment::new(distribution, functions))))
    }

    /// Lets another deployment answer from the next request on, with an empty cache.
    pub fn replace(&self, distribution: Distribution, functions: SocketAddr) {
        self.0.store(Arc::new(Deployment::new(distribution, functions)));
    }

    /// Answers a request.
    pub(crate) async fn answer(
        &self,
        host: &EdgeHost,
        request: Request<Body>,
        facts: &Facts,
    ) -> (Response<Body>, Summary) {
        Exchange::new(host, self.0.load_full(), facts.clone()).run(request).await
    }
}

impl Deployment {
    fn new(distribution: Distribution, functions: SocketAddr) -> Self {
        Self { distribution, functions, responses: Responses::new(CACHE_BYTES) }
    }

    fn attached(&self, trigger: selvedge_cloudfront::event::Trigger) -> Option<Attached> {
        self.distribution.triggers.iter().find(|attached| attached.trigger == trigger).copied()
    }
}

impl fmt::Debug for CloudFront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deployment = self.0.load();
        f.debug_struct("CloudFront")
            .field("distribution", &deployment.distribution)
            .field("functions", &deployment.functions)
            .finish_non_exhaustive()
    }
}
