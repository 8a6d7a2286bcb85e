//! How long a request waited for something that it may wait for several times at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A clock that only goes forward: the time since whenever it likes.
pub type Clock = fn() -> Duration;

/// The time during which at least one wait was under way.
#[derive(Debug)]
pub struct Waits {
    clock: Clock,
    under_way: Cell<u32>,
    since: Cell<Duration>,
    total: Cell<Option<Duration>>,
}

/// One wait, until it is dropped.
#[derive(Debug)]
#[must_use = "the wait is over when this is dropped"]
pub struct Wait(Rc<Waits>);

impl Waits {
    /// Begins without a wait.
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        let (under_way, since, total) = (Cell::new(0), Cell::new(Duration::ZERO), Cell::new(None));
        Self { clock, under_way, since, total }
    }

    /// Begins a wait.
    pub fn begin(self: &Rc<Self>) -> Wait {
        if self.under_way.get() == 0 {
            self.since.set((self.clock)());
        }
        self.under_way.set(self.under_way.get() + 1);
        Wait(Rc::clone(self))
    }

    /// Returns the time until the last end of a wait; `None` when none has ended.
    #[must_use]
    pub fn total(&self) -> Option<Duration> {
        self.total.get()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Waits { clock, under_way, since, total } = &*self.0;
        let now = clock();
        total.set(Some(total.get().unwrap_or_default() + now.saturating_sub(since.get())));
        since.set(now);
        under_way.set(under_way.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::thread::LocalKey;

    use super::*;

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    const CLOCK: &LocalKey<Cell<Duration>> = &NOW;

    #[test]
    fn waits_that_overlap_count_once_and_gaps_do_not() {
        let (at, seconds) = (
            |second| CLOCK.set(Duration::from_secs(second)),
            |waits: &Waits| waits.total().map(|total| total.as_secs()),
        );
        let waits = Rc::new(Waits::new(|| CLOCK.get()));
        assert_eq!(seconds(&waits), None, "nothing was waited for");
        at(10);
        let first = waits.begin();
        at(11);
        let second = waits.begin();
        assert_eq!(seconds(&waits), None, "both are under way");
        at(14);
        drop(second);
        assert_eq!(seconds(&waits), Some(4), "of the one that is still under way too");
        at(15);
        drop(first);
        assert_eq!(seconds(&waits), Some(5));
        at(20);
        let third = waits.begin();
        at(22);
        drop(third);
        assert_eq!(seconds(&waits), Some(7), "nothing was under way for five seconds");
    }
}
