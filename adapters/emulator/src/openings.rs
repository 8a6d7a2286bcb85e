//! Circuits that open, for the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use selvedge_core::backend::BackendId;
use selvedge_core::engine::Engine;
use selvedge_core::health::{CircuitState, Place};
use selvedge_core::time::Timestamp;

/// The circuits that were last seen open, each with the time until which it is: another time is another opening.
#[derive(Debug, Default)]
pub(crate) struct Openings(Mutex<BTreeMap<Place, Timestamp>>);

impl Openings {
    /// Tells the log of each circuit that opened since it was last told. Whoever has seen a backend fail asks for that.
    pub(crate) fn tell(&self, engine: &Engine, now: Timestamp) {
        for ((id, url), until) in self.since_last(open(engine, now)) {
            let backend = engine.policy().backend(id);
            let open = until.saturating_since(now);
            tracing::warn!(backend = backend.name, url = %backend.urls[url], place = url, ?open, "a circuit opens");
        }
    }

    fn since_last(&self, open: BTreeMap<Place, Timestamp>) -> Vec<(Place, Timestamp)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |(place, until): &(&Place, &Timestamp)| known.get(place) != Some(until);
        let new = open.iter().filter(is_new).map(|(place, until)| (*place, *until)).collect();
        *known = open;
        new
    }
}

fn open(engine: &Engine, now: Timestamp) -> BTreeMap<Place, Timestamp> {
    let mut open = BTreeMap::new();
    for id in (0..).map(BackendId).take(engine.policy().backends.len()) {
        for (url, report) in engine.health().report(id, now).enumerate() {
            if let Some(CircuitState::Open(left)) = report.circuit {
                open.insert((id, url), now + left);
            }
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_opening_is_told_once() {
        let openings = Openings::default();
        let at = |places: &[(u16, u64)]| {
            let open = places.iter().map(|(id, until)| ((BackendId(*id), 0), Timestamp::from_millis(*until)));
            let new = openings.since_last(open.collect());
            new.into_iter().map(|((id, _), until)| (id.0, until.as_millis())).collect::<Vec<_>>()
        };
        assert_eq!(at(&[(0, 10)]), [(0, 10)]);
        assert_eq!(at(&[(0, 10)]), [], "it is the same opening");
        assert_eq!(at(&[(0, 10), (1, 12)]), [(1, 12)]);
        assert_eq!(at(&[(0, 30), (1, 12)]), [(0, 30)], "it opened again");
        assert_eq!(at(&[]), []);
        assert_eq!(at(&[(1, 12)]), [(1, 12)], "it was not open in between");
    }
}
