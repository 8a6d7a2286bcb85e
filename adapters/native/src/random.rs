//! Fresh randomness for each request.

use std::cell::RefCell;

use selvedge_core::transaction::Seed;

const BATCH: usize = 4096;

/// The operating system's randomness, fetched for 256 requests at a time.
#[derive(Debug)]
pub struct Seeds {
    batch: RefCell<Batch>,
}

#[derive(Debug)]
struct Batch {
    bytes: [u8; BATCH],
    used: usize,
}

impl Default for Seeds {
    fn default() -> Self {
        Self::new()
    }
}

impl Seeds {
    /// Draws nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { batch: RefCell::new(Batch { bytes: [0; BATCH], used: BATCH }) }
    }

    /// Returns what no other request gets.
    ///
    /// # Panics
    /// When the operating system has no randomness.
    pub fn next(&self) -> Seed {
        let mut batch = self.batch.borrow_mut();
        if batch.used == BATCH {
            getrandom::fill(&mut batch.bytes).expect("the operating system gives randomness once it is up");
            batch.used = 0;
        }
        let mut seed = Seed::default();
        let end = batch.used + seed.len();
        seed.copy_from_slice(&batch.bytes[batch.used..end]);
        batch.used = end;
        seed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seeds_do_not_repeat_within_or_across_batches() {
        let seeds = Seeds::new();
        let drawn: BTreeSet<Seed> = (0..1000).map(|_| seeds.next()).collect();
        assert_eq!(drawn.len(), 1000);
    }
}
