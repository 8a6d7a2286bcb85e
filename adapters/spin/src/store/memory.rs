//! How much memory bodies take on their way into and out of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes of such bodies in one instance, of the 128 MiB that Akamai gives it.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What all bodies together take.
#[derive(Debug, Default)]
pub(crate) struct Memory(Arc<AtomicUsize>);

/// What one body takes; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    memory: Arc<AtomicUsize>,
    bytes: usize,
}

impl Memory {
    /// Reserves nothing yet.
    pub(crate) fn reserve(&self) -> Reserved {
        Reserved { memory: Arc::clone(&self.0), bytes: 0 }
    }
}

impl Reserved {
    /// Reserves more; false when there is no more, or when no body may be as long.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let grown = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= MAX_BYTES);
        let fits = self.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.memory.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_are_bounded_and_give_back_what_they_took() {
        let memory = Memory::default();
        let (mut one, mut two) = (memory.reserve(), memory.reserve());
        assert!(one.grow(MAX_BYTES - 10) && two.grow(10));
        assert!(!two.grow(1), "there is no more");
        assert!(!two.grow(usize::MAX), "nor as much as there can be");
        drop(one);
        assert!(two.grow(MAX_BYTES - 10));
    }
}
