//! How backends fare, for whoever looks at them.

use std::time::Duration;

use super::Health;
use crate::backend::BackendId;
use crate::time::Timestamp;

/// How one URL of a backend fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceReport {
    /// Its circuit; `None` where the policy has no breaker for it.
    pub circuit: Option<CircuitState>,
    /// Whether its checks fail.
    pub is_unhealthy: bool,
    /// How many requests wait for the head of its response.
    pub in_flight: u32,
}

/// Whether a circuit lets requests through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// All of them.
    Closed,
    /// None for so much longer.
    Open(Duration),
    /// Some, to see whether the place answers again.
    HalfOpen,
}

impl Health {
    /// Returns how each URL of a backend fares, in the policy's order. It has none where the policy says nothing of the backend's failures.
    pub fn report(&self, backend: BackendId, now: Timestamp) -> impl Iterator<Item = PlaceReport> {
        self.backends[usize::from(backend.0)].iter().map(move |tracked| {
            let mut state = tracked.state();
            PlaceReport {
                circuit: tracked.rule.breaker.map(|_| state.circuit.state(now)),
                is_unhealthy: state.checks.is_unhealthy,
                in_flight: state.slots.taken(now),
            }
        })
    }
}
