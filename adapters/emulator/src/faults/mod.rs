//! Faults of backends, made on purpose: to see what clients get when a backend is down or slow.

pub(crate) mod page;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use selvedge_core::effect::{Fetch, FetchError};

/// The faults of an edge's backends, by their names; clones share them.
///
/// Everything that the edge's own engine asks of a backend meets its fault: clients' requests, checks, what handlers and jobs send.
/// A request that has left already does not. There is at most one fault for each name that was ever given one.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use selvedge_emulator::{EmulatorConfig, Fault, Faults};
///
/// let faults = Faults::default();
/// let config = EmulatorConfig { faults: faults.clone(), ..EmulatorConfig::default() };
/// faults.set("us", Fault::Slow(Duration::from_secs(2)));
/// assert!(config.faults.of("us").is_some());
/// faults.heal("us");
/// assert!(config.faults.of("us").is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<ArcSwap<BTreeMap<Box<str>, Fault>>>);

/// What is wrong with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no connection to it, which is found out at once.
    Fail,
    /// Each request leaves so much later, which counts towards its timeout.
    Slow(Duration),
}

impl Faults {
    /// Gives a backend a fault in the place of any other.
    pub fn set(&self, backend: &str, fault: Fault) {
        self.0.rcu(|faults| {
            let mut faults = BTreeMap::clone(faults);
            faults.insert(backend.into(), fault);
            faults
        });
    }

    /// Takes a backend's fault away, if it has one.
    pub fn heal(&self, backend: &str) {
        self.0.rcu(|faults| {
            let mut faults = BTreeMap::clone(faults);
            faults.remove(backend);
            faults
        });
    }

    /// Returns a backend's fault.
    #[must_use]
    pub fn of(&self, backend: &str) -> Option<Fault> {
        self.0.load().get(backend).copied()
    }

    /// Lets a request that is about to leave meet the fault of its backend.
    pub(crate) async fn meet(&self, fetch: &mut Fetch) -> Result<(), FetchError> {
        match self.of(&fetch.backend) {
            None => Ok(()),
            Some(Fault::Fail) => Err(FetchError::Connect),
            Some(Fault::Slow(delay)) => {
                Box::pin(tokio::time::sleep(delay.min(fetch.timeout))).await;
                fetch.timeout = fetch.timeout.saturating_sub(delay);
                if fetch.timeout.is_zero() { Err(FetchError::Timeout) } else { Ok(()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use selvedge_core::body::Body;
    use tokio::time::Instant;

    use super::*;

    fn fetch() -> Fetch {
        Fetch {
            backend: "a".into(),
            request: Request::new(Body::Empty),
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(1),
            watch: None,
            max_body_bytes: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_meets_the_fault_of_its_own_backend_within_its_timeout() {
        let seconds = Duration::from_secs;
        let rows = [
            ("b", Fault::Fail, Ok(()), 0, 5),
            ("a", Fault::Fail, Err(FetchError::Connect), 0, 5),
            ("a", Fault::Slow(seconds(2)), Ok(()), 2, 3),
            ("a", Fault::Slow(seconds(5)), Err(FetchError::Timeout), 5, 0),
            ("a", Fault::Slow(seconds(9)), Err(FetchError::Timeout), 5, 0),
        ];
        for (backend, fault, result, waited, left) in rows {
            let (faults, mut fetch, began) = (Faults::default(), fetch(), Instant::now());
            faults.set(backend, fault);
            assert_eq!(faults.meet(&mut fetch).await, result, "{backend} {fault:?}");
            assert_eq!(began.elapsed().as_secs(), waited, "{backend} {fault:?}");
            assert_eq!(fetch.timeout, seconds(left), "{backend} {fault:?}");
        }
    }

    #[test]
    fn a_later_fault_takes_the_place_of_an_earlier_one() {
        let faults = Faults::default();
        faults.set("a", Fault::Fail);
        faults.set("a", Fault::Slow(Duration::from_secs(1)));
        assert_eq!(faults.of("a"), Some(Fault::Slow(Duration::from_secs(1))));
        faults.clone().heal("a");
        faults.heal("never broken");
        assert_eq!(faults.of("a"), None);
    }
}
