//! What goes with a request to its backend, so that the third stage can go on with it.

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use serde::{Deserialize, Serialize};

use super::{Learnt, from_bytes, to_bytes};
use crate::body::Body;
use crate::facts::Facts;
use crate::transaction::Transaction;

/// A request on its way to a backend: what was learnt about it, and where it differs from what the backend is sent.
///
/// It holds what the client said and the backend may not be told, such as cookies that the policy removes: an adapter that lets it leave
/// the edge has to encrypt it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    learnt: Learnt,
    facts: Facts,
    /// Path and query, when the backend sees others.
    target: Option<String>,
    /// Names that only the backend is sent, or that it is sent with other values.
    added: Vec<String>,
    /// Fields that the backend is not sent, or is sent with other values.
    removed: Vec<(String, Vec<u8>)>,
}

impl Passage {
    /// Makes the passage of a request that departs as `sent`.
    pub(super) fn new(tx: &Transaction, sent: &Request<Body>) -> Self {
        let (own, target) = (path_and_query(tx.request.uri()), path_and_query(sent.uri()));
        let differs = |name: &HeaderName| !is_same(name, tx.request.headers(), sent.headers());
        let differing =
            |headers: &HeaderMap| headers.keys().filter(|name| differs(name)).cloned().collect::<Vec<_>>();
        let removed = differing(tx.request.headers());
        let fields = removed.iter().flat_map(|name| {
            let values = tx.request.headers().get_all(name).iter();
            values.map(move |value| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        });
        Self {
            learnt: Learnt::of(tx),
            facts: tx.facts.clone(),
            target: (own != target).then(|| own.to_owned()),
            added: differing(sent.headers()).iter().map(|name| name.as_str().to_owned()).collect(),
            removed: fields.collect(),
        }
    }

    /// Makes the transaction anew, from the request as the backend was sent it.
    #[must_use]
    pub fn resume(&self, mut sent: Request<Body>) -> Transaction {
        let target = self.target.as_deref().unwrap_or_else(|| path_and_query(sent.uri()));
        *sent.uri_mut() = target.parse().unwrap_or(Uri::from_static("*"));
        for name in &self.added {
            sent.headers_mut().remove(name.as_str());
        }
        for (name, value) in &self.removed {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
            {
                sent.headers_mut().append(name, value);
            }
        }
        Transaction::resumed(sent, self.facts.clone(), &self.learnt)
    }

    /// Returns the bytes that [`from_bytes`](Self::from_bytes) reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` when it is something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        from_bytes(bytes)
    }
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
}

/// The host that a platform sends is not always the one that it was told, so that it counts as another one.
fn is_same(name: &HeaderName, one: &HeaderMap, other: &HeaderMap) -> bool {
    *name != HOST && one.get_all(name).iter().eq(other.get_all(name))
}
