//! What a cache store holds, as bytes for stores that only keep bytes. The body is kept beside it.

use std::sync::Arc;

use crate::body::Body;
use crate::effect::{CacheEntry, Variants};
use crate::time::Timestamp;

use super::head;
use super::lines::{Reader, Writer};

/// Writes everything of an entry but its body.
#[must_use]
pub fn encode_entry(entry: &CacheEntry) -> Vec<u8> {
    match entry {
        CacheEntry::Response(stored, _) => {
            let mut bytes = b"R".to_vec();
            bytes.extend_from_slice(&head::write(stored));
            bytes
        }
        CacheEntry::Variants(Variants { names, since }) => {
            let mut lines = Writer::new(b'\n', 64);
            lines.text("V");
            lines.number(since.as_millis());
            lines.number(names.len());
            names.iter().for_each(|name| lines.text(name.as_str()));
            lines.text
        }
    }
}

/// Reads an entry and gives it a body.
///
/// `None` for what is none: another version wrote it, or it was damaged, so that it counts as not there.
///
/// # Examples
/// ```
/// use selvedge_core::body::Body;
/// use selvedge_core::effect::{CacheEntry, Variants};
/// use selvedge_core::time::Timestamp;
/// use selvedge_core::wire::{decode_entry, encode_entry};
///
/// let variants = Variants { names: [http::header::ACCEPT_LANGUAGE].into(), since: Timestamp::from_millis(7) };
/// let bytes = encode_entry(&CacheEntry::Variants(variants.clone()));
/// let back = decode_entry(&bytes, Body::Empty);
/// assert!(matches!(back, Some(CacheEntry::Variants(found)) if found == variants));
/// assert!(decode_entry(&bytes[..4], Body::Empty).is_none());
/// ```
#[must_use]
pub fn decode_entry(bytes: &[u8], body: Body) -> Option<CacheEntry> {
    if let Some(stored) = bytes.strip_prefix(b"R") {
        return head::read(stored).map(|stored| CacheEntry::Response(Arc::new(stored), body));
    }
    let mut lines = Reader::new(bytes, b'\n');
    if lines.text("kind of entry").ok()? != "V" {
        return None;
    }
    let since = lines.parse("time").map(Timestamp::from_millis).ok()?;
    let count = lines.count("number of names").ok()?;
    let names = (0..count).map(|_| lines.name()).collect::<Result<Vec<_>, _>>().ok()?;
    lines.end().ok()?;
    Some(CacheEntry::Variants(Variants { names: names.into(), since }))
}
