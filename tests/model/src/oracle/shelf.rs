//! What is stored for one page.

use std::collections::BTreeMap;

use crate::Millis;
use crate::message::{Ask, Head, Vary};

/// A stored response.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) head: Head,
    pub(super) body: String,
    /// Values of the selecting headers.
    pub(super) selected_by: Selecting,
    pub(super) sent: Millis,
    pub(super) arrived: Millis,
    /// The date of the response.
    pub(super) date: Millis,
    pub(super) age_on_arrival: Millis,
    pub(super) fresh: Millis,
    pub(super) stale_while_revalidate: Millis,
    pub(super) stale_if_error: Millis,
    pub(super) may_be_stale: bool,
    /// Whether the origin's own fields gave the lifetime.
    pub(super) is_by_origin: bool,
    pub(super) keep_until: Millis,
}

/// Values of `Accept-Language` and `Origin`, where they select.
pub(super) type Selecting = [Option<Option<u8>>; 2];

/// The responses of a page that the same headers tell apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    names: Vary,
    entries: BTreeMap<Selecting, Entry>,
}

/// The values by which a request selects.
pub(super) fn selecting(names: Vary, ask: &Ask) -> Selecting {
    [names.language.then_some(ask.language), names.origin.then_some(ask.origin)]
}

impl Entry {
    /// RFC 9111 section 4.2.3.
    pub(super) fn age(&self, now: Millis) -> Millis {
        self.age_on_arrival + now.saturating_sub(self.arrived)
    }

    pub(super) fn is_selected_by(&self, ask: &Ask) -> bool {
        selecting(self.head.vary.unwrap_or_default(), ask) == self.selected_by
    }
}

impl Shelf {
    pub(super) fn get(&self, ask: &Ask) -> Option<&Entry> {
        self.entries.get(&selecting(self.names, ask))
    }

    /// Adds a new response; those that other headers tell apart go.
    pub(super) fn put(&mut self, ask: &Ask, entry: Entry) {
        let names = entry.head.vary.unwrap_or_default();
        if names != self.names {
            *self = Self { names, entries: BTreeMap::new() };
        }
        self.replace(ask, entry);
    }

    /// Puts a response in the place of the one that the request selects.
    pub(super) fn replace(&mut self, ask: &Ask, entry: Entry) {
        self.entries.insert(selecting(self.names, ask), entry);
    }

    pub(super) fn remove(&mut self, ask: &Ask) {
        self.entries.remove(&selecting(self.names, ask));
    }
}
