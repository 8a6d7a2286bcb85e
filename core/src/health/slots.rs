//! How many requests are under way.

use crate::time::Timestamp;

/// Requests under way to a place.
///
/// A host whose platform ends a request without a word never gives its slot back. Once all that are taken have had their time, they are
/// free again, so that no such host is busy for ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    taken: u32,
    /// When the last one of them is over in any case.
    over: Timestamp,
    /// How often they were all taken back.
    generation: u32,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    generation: u32,
}

impl Slots {
    /// Returns how many are taken.
    pub(super) fn taken(&mut self, now: Timestamp) -> u32 {
        if self.taken > 0 && self.over < now {
            self.taken = 0;
            self.generation = self.generation.wrapping_add(1);
        }
        self.taken
    }

    /// Takes one, which is over by then in any case.
    pub(super) fn take(&mut self, over: Timestamp) -> Slot {
        self.taken += 1;
        self.over = self.over.max(over);
        Slot { generation: self.generation }
    }

    /// Gives one back.
    pub(super) fn free(&mut self, slot: Slot) {
        if slot.generation == self.generation {
            self.taken = self.taken.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn what_nobody_gives_back_is_free_when_all_of_it_has_had_its_time() {
        let mut slots = Slots::default();
        let (first, _) = (slots.take(at(10)), slots.take(at(20)));
        assert_eq!((slots.taken(at(11)), slots.taken(at(20))), (2, 2));
        assert_eq!(slots.taken(at(21)), 0);
        let third = slots.take(at(40));
        slots.free(first);
        assert_eq!(slots.taken(at(30)), 1, "one that comes late gives nobody else's back");
        slots.free(third);
        assert_eq!(slots.taken(at(30)), 0);
    }
}
