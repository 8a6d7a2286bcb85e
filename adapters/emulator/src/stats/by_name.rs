//! Counts by names, of which there can only be so many.

use std::collections::BTreeMap;

/// Most names; what comes later counts as [`OTHER`].
pub(crate) const MAX_NAMES: usize = 256;
/// Stands for all names beyond the bound.
pub(crate) const OTHER: &str = "_other";

/// Values by name; edits of a policy bring new names for as long as the edge runs.
#[derive(Debug, Default)]
pub(crate) struct ByName<V>(BTreeMap<Box<str>, V>);

impl<V: Default> ByName<V> {
    /// The value of a name, or that of all others.
    pub(crate) fn of(&mut self, name: &str) -> &mut V {
        let is_known = |name| self.0.contains_key(name);
        let is_full = || self.0.len() - usize::from(is_known(OTHER)) >= MAX_NAMES;
        let name = if is_known(name) || !is_full() { name } else { OTHER };
        // Looked up twice, as most names are known and need no copy.
        if !is_known(name) {
            self.0.insert(name.into(), V::default());
        }
        self.0.get_mut(name).expect("it was put there if it was not")
    }

    /// The names in order, each with its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_count_together() {
        let mut counts = ByName::<u64>::default();
        for number in 0..MAX_NAMES + 10 {
            *counts.of(&format!("route-{number}")) += 1;
        }
        *counts.of("route-3") += 1;
        assert_eq!(counts.iter().count(), MAX_NAMES + 1, "all the others have one name");
        assert_eq!((*counts.of("route-3"), *counts.of(OTHER)), (2, 10));
        let mut copy = ByName::<u64>::default();
        counts.iter().for_each(|(name, count)| *copy.of(name) += count);
        assert!(copy.iter().eq(counts.iter()), "whatever the order in which they come");
    }
}
