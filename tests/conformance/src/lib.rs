//! The conformance suite: what every platform has to answer, as data.
//!
//! Cases live in `cases/*.toml`; the README beside them explains the format.
//! [`case::load`] reads them, a [`Platform`] runs one, [`expect::differences`]
//! says where the answer is not the expected one, and [`trials::run`] makes a
//! test of each case. The same expectation holds for every platform.

mod build;
pub mod case;
pub mod core;
pub mod emulator;
pub mod engine;
pub mod expect;
pub mod http1;
pub mod http_cache;
pub mod lambda;
pub mod lambda_edge;
pub mod origin;
pub mod server;
pub mod spin;
pub mod trials;
pub mod workerd;

use case::{Case, Step};

/// A place where policies run.
pub trait Platform: Send + Sync {
    /// The name that a case's `skip` uses.
    fn name(&self) -> &'static str;

    /// Whether the platform joins repeated fields into one, as
    /// [RFC 9110 section 5.3](https://www.rfc-editor.org/rfc/rfc9110#section-5.3) lets a recipient do with all but `Set-Cookie`.
    fn joins_fields(&self) -> bool {
        false
    }

    /// Makes the platform ready for one case: its policy in force, its cache empty.
    ///
    /// # Errors
    /// When the policy is refused or the platform cannot be started.
    fn start(&self, case: &Case) -> anyhow::Result<Box<dyn Session>>;
}

/// A platform in the middle of a case.
pub trait Session {
    /// Sends one step's request and returns what the client and the backends saw, after everything
    /// that the request set off is done.
    ///
    /// # Errors
    /// When there is no answer to compare: the platform broke off or cannot express the request.
    fn send(&mut self, step: &Step) -> anyhow::Result<Observed>;
}

/// What came of one step.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The status.
    pub status: u16,
    /// The header fields of the response in order, names in lower case.
    pub headers: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// The requests that backends received, in order.
    pub fetches: Vec<Fetched>,
}

/// A request that a backend received.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The first label of the host in the backend's URL: `us` for `http://us.test`.
    pub to: String,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The header fields, names in lower case.
    pub headers: Fields,
    /// The body.
    pub body: Vec<u8>,
}

/// Header fields: names in lower case, values as bytes.
pub type Fields = Vec<(String, Vec<u8>)>;

/// All values of a field, in order.
#[must_use]
pub fn values<'a>(fields: &'a Fields, name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_slice()).collect()
}
