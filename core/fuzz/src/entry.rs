//! The form in which stores keep what they store.

use http::StatusCode;
use http::header::HeaderMap;
use selvedge_core::body::Body;
use selvedge_core::cache::range::wanted;
use selvedge_core::cache::reuse::{asked, reuse, serve};
use selvedge_core::cache::stored::StoredResponse;
use selvedge_core::effect::CacheEntry;
use selvedge_core::time::Timestamp;
use selvedge_core::wire::{decode_entry, encode_entry};

use crate::{fields, halves, stored};

/// Checks that whatever is read can be used, and is written and read as the same; and that so is a response with any fields.
///
/// # Panics
/// When it is not.
pub fn check(data: &[u8]) {
    if let Some(entry) = decode_entry(data, Body::Empty) {
        is_written(&entry);
        if let CacheEntry::Response(head, _) = &entry {
            is_usable(head);
        }
    }
    let (response, request) = halves(data, 0);
    let head = stored(StatusCode::OK, fields(response), &fields(request));
    is_usable(&head);
    is_written(&CacheEntry::Response(head.into(), Body::Empty));
}

fn is_written(entry: &CacheEntry) {
    match (decode_entry(&encode_entry(entry), Body::Empty), entry) {
        (Some(CacheEntry::Response(again, _)), CacheEntry::Response(head, _)) => assert_eq!(&again, head),
        (Some(CacheEntry::Variants(again)), CacheEntry::Variants(variants)) => assert_eq!(&again, variants),
        (again, _) => panic!("{entry:?} is read as {again:?}"),
    }
}

fn is_usable(head: &StoredResponse) {
    let request = HeaderMap::new();
    for now in [Timestamp::default(), head.response_time(), Timestamp::from_millis(u64::MAX)] {
        assert!(head.age(now) >= head.age(Timestamp::default()), "no clock makes it younger");
        let _ = (reuse(head, &request, now), asked(head, &request, now), wanted(head, 10, &request));
        assert!(serve(head, &request, now).headers().contains_key("age"), "RFC 9111 section 5.1");
        assert!(head.stale_since(now).lifetimes().fresh <= head.lifetimes().fresh, "stale, never fresher");
    }
    let _ = (head.keep(), head.approximate_bytes(), head.groups());
}
