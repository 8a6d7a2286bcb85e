//! A clock that only goes forward.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Returns the time since the program first asked.
#[must_use]
pub fn monotonic() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward() {
        let earlier = monotonic();
        assert!((0..100).all(|_| monotonic() >= earlier));
    }
}
