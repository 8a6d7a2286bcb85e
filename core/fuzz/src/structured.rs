//! Fields in the syntax of structured fields.

use http::StatusCode;
use selvedge_core::cache::stored::invalidated_groups;
use selvedge_core::cache::targeted::{TARGETS, surrogate_control, targeted};

use crate::{halves, lines, stored};

const OWN: &str = "selvedge-cdn-cache-control";
const CDN: &str = "cdn-cache-control";

/// Checks that the first valid field of the target list alone counts, that `Surrogate-Control` loses no `no-store`, and that
/// cache groups that are written are read as the same.
///
/// # Panics
/// When one of these does not hold.
pub fn check(data: &[u8]) {
    let (first, second) = halves(data, 0);
    let (own, cdn) = (lines(OWN, first), lines(CDN, second));
    let (by_own, by_cdn) = (targeted(&own, &TARGETS), targeted(&cdn, &TARGETS));
    let mut both = own;
    both.extend(cdn);
    assert_eq!(targeted(&both, &TARGETS), by_own.or(by_cdn), "RFC 9213 section 2.2");

    let mut surrogate = lines("surrogate-control", first);
    let before = surrogate_control(&surrogate);
    surrogate.append("surrogate-control", http::HeaderValue::from_static("no-store"));
    let after = surrogate_control(&surrogate);
    assert_eq!(after.is_aimed, before.is_aimed, "what is for all is aimed at nobody");
    assert!(after.no_store || after.is_aimed, "no-store is read after anything");
    assert_eq!(after.max_age, before.max_age);

    groups(first);
}

fn groups(data: &[u8]) {
    let read = stored(StatusCode::OK, lines("cache-groups", data), &http::HeaderMap::new()).groups();
    assert!(read.len() <= 256, "what is kept is bounded");
    assert_eq!(invalidated_groups(&lines("cache-group-invalidation", data)), read, "both are read alike");
    let quoted = |group: &String| format!("\"{}\"", group.replace('\\', "\\\\").replace('"', "\\\""));
    let line = read.iter().map(quoted).collect::<Vec<_>>().join(", ");
    let again = invalidated_groups(&lines("cache-group-invalidation", line.as_bytes()));
    assert_eq!(again, read, "what is written is read");
}
