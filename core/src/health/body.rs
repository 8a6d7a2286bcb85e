//! How the body of a response ended, and what that says of the place that it came from.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use super::{Health, Place, Tracked};
use crate::phase::is_failure;
use crate::time::Timestamp;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// Its last byte came.
    Whole,
    /// The edge had no use for any of it.
    Unread,
    /// Whoever read it went away or was slow, or the request's own body failed: this says nothing of the backend.
    Left,
    /// The backend broke it off, or what came was no body.
    Broken,
    /// The backend took longer than it may.
    Late,
}

/// How a host tells the way in which a response's body ended. It tells it once.
#[derive(Clone)]
pub struct BodyReport {
    place: Place,
    pub(super) probe: Option<u32>,
    tracked: Option<Arc<Tracked>>,
}

impl Health {
    /// Prepares to be told how a body of a place ended; `probe` is the number of the request that tries the place, if it does. Nothing
    /// comes of it for a place that is none.
    #[must_use]
    pub fn body(&self, place: Place, probe: Option<u32>) -> BodyReport {
        BodyReport { place, probe, tracked: self.tracked(place).cloned() }
    }
}

impl BodyReport {
    /// Returns whose body it is, for hosts that tell it across a boundary: [`Health::body`] makes the same of it again.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Returns the number of the request where it tries a place whose circuit was open. For others, a host may keep every end to itself that
    /// is neither [`Broken`](BodyEnd::Broken) nor [`Late`](BodyEnd::Late).
    #[must_use]
    pub fn probe(&self) -> Option<u32> {
        self.probe
    }

    /// Tells the end of the body of a response with this status.
    ///
    /// A failure takes the place of the success that the response's head was; of a probe, this is the only verdict. Where the status was a
    /// failure already, nothing more comes of it.
    pub fn tell(&self, status: StatusCode, end: BodyEnd, now: Timestamp) {
        let is_failed = matches!(end, BodyEnd::Broken | BodyEnd::Late);
        let Some(tracked) = self.tracked.as_ref().filter(|_| is_failed || self.probe.is_some()) else {
            return;
        };
        if let Some(rule) = tracked.rule.breaker.filter(|_| !is_failure(status)) {
            tracked.state().circuit.on_body(rule, self.probe, end, now);
        }
    }
}

impl fmt::Debug for BodyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyReport")
            .field("place", &self.place)
            .field("probe", &self.probe)
            .finish_non_exhaustive()
    }
}

impl BodyEnd {
    /// Every end.
    pub const ALL: [Self; 5] = [Self::Whole, Self::Unread, Self::Left, Self::Broken, Self::Late];

    /// Returns the word for it, for hosts that tell it across a boundary.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Unread => "unread",
            Self::Left => "left",
            Self::Broken => "broken",
            Self::Late => "late",
        }
    }
}
