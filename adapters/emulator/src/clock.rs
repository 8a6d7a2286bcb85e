//! The time that the policy sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use selvedge_core::time::Timestamp;

/// Where the edge reads the time on which caching, limits and cookies depend.
///
/// Timeouts and the cache's own tidying go by the machine's time whatever this says.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A time that only moves when it is set, for tests.
    Manual(ManualClock),
}

/// A time that only moves when it is set; clones share it.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }
            Self::Manual(clock) => Timestamp::from_millis(clock.0.load(Ordering::Acquire)),
        }
    }
}

impl ManualClock {
    /// Makes a clock that stands still at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(start.as_millis())))
    }

    /// Sets the time.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::Release);
    }
}
