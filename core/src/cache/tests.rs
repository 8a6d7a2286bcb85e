//! Laws of the cache, and what its tests share.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use proptest::prelude::*;

use super::control::CacheControl;
use super::lifetime::{LifetimeSource, Lifetimes};
use super::reuse::{Reuse, reuse};
use super::rule::{AuthorizationRule, CacheRule, SetCookieRule, Storing};
use super::status::{CacheStatus, Forward};
use super::store::{NoStoreReason, Storability, storability};
use super::stored::{Arrival, StoredResponse};
use super::targeted::{TARGETS, surrogate_control, targeted};
use super::vary::{Selection, Vary, matches, select, variant_key};
use crate::time::Timestamp;

/// Sun, 06 Nov 1994 08:49:37 GMT
pub(super) const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let parse = |&(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    let mut map = HeaderMap::new();
    for (name, value) in fields.iter().map(parse) {
        map.append(name, value);
    }
    map
}

pub(super) fn lifetimes(fresh: u64, stale_while_revalidate: u64, stale_if_error: u64) -> Lifetimes {
    Lifetimes {
        fresh: secs(fresh),
        stale_while_revalidate: secs(stale_while_revalidate),
        stale_if_error: secs(stale_if_error),
        source: LifetimeSource::CacheControl,
    }
}

pub(super) fn stored(fields: &[(&str, &str)], request: &HeaderMap, lifetimes: Lifetimes) -> StoredResponse {
    StoredResponse::new(Arrival {
        status: StatusCode::OK,
        headers: headers(fields),
        request,
        lifetimes,
        tags: Vec::new(),
        keeps_cookies: false,
        request_time: NOW,
        response_time: NOW,
    })
}

fn any_value() -> impl Strategy<Value = HeaderValue> {
    let byte = prop_oneof![Just(b'\t'), 0x20u8..0x7f, 0x80u8..=0xff, Just(b','), Just(b'"'), Just(b'=')];
    prop::collection::vec(byte, 0..60).prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
}

fn any_headers(names: &'static [&'static str]) -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec((prop::sample::select(names), any_value()), 0..6).prop_map(|fields| {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, value);
        }
        map
    })
}

const EVERY_FIELD: &[&str] = &[
    "cache-control",
    "cdn-cache-control",
    "selvedge-cdn-cache-control",
    "surrogate-control",
    "expires",
    "date",
    "age",
    "vary",
    "connection",
    "etag",
    "last-modified",
    "if-none-match",
    "if-modified-since",
    "accept",
];

fn any_rule() -> impl Strategy<Value = CacheRule> {
    let lifetime = || prop::option::of((0u64..10_000).prop_map(secs));
    let words = (any::<bool>(), any::<bool>(), any::<bool>());
    (lifetime(), lifetime(), lifetime(), lifetime(), words).prop_map(
        |(edge, browser, stale_while_revalidate, stale_if_error, (never, strip, authorized))| CacheRule {
            store: if never { Storing::Never } else { Storing::Store },
            edge,
            browser,
            stale_while_revalidate,
            stale_if_error,
            set_cookie: if strip { SetCookieRule::Strip } else { SetCookieRule::Refuse },
            authorization: if authorized { AuthorizationRule::Store } else { AuthorizationRule::Refuse },
            ..CacheRule::default()
        },
    )
}

/// A spelling of a directive in any case.
fn any_case(word: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<bool>(), word.len()).prop_map(move |upper| {
        let cased = |(c, up): (char, bool)| if up { c.to_ascii_uppercase() } else { c };
        word.chars().zip(upper).map(cased).collect()
    })
}

fn forbidding() -> impl Strategy<Value = String> {
    let argument = prop::sample::select(vec!["", "=\"\"", "=\"not a name\"", " =x"]);
    let private = (any_case("private"), argument).prop_map(|(word, argument)| word + argument);
    prop_oneof![any_case("no-store"), private]
}

/// Any other directive of the grammar, commas and escapes in quotes included. `must-understand` is not one:
/// it takes `no-store` back.
fn harmless() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["public", "max-age=60", "s-maxage=60", "immutable", ""])
            .prop_map(str::to_owned),
        "[a-z]{1,8}(=[a-z0-9]{1,8})?".prop_filter("is not the word itself", |text| text != "private"),
        "x=\"([a-z, =]|\\\\\"|\\\\\\\\){0,12}\"",
    ]
}

proptest! {
    #[test]
    fn no_field_value_makes_a_parser_panic(fields in any_headers(EVERY_FIELD), rule in any_rule(), now: u64) {
        let now = Timestamp::from_millis(now);
        let _ = CacheControl::parse(&fields);
        let _ = targeted(&fields, &TARGETS);
        let _ = surrogate_control(&fields);
        let _ = storability(&Method::GET, &fields, StatusCode::OK, &fields, &rule, now);
        let mut told = fields.clone();
        super::client::tell_client(&mut told, &fields, &rule);
        super::client::make_private(&mut told);
        let kept = StoredResponse::new(Arrival {
            status: StatusCode::OK, headers: fields.clone(), request: &fields, lifetimes: lifetimes(1, 1, 1),
            tags: Vec::new(), keeps_cookies: false, request_time: NOW, response_time: now,
        });
        let _ = super::reuse::serve(&kept, &fields, now);
        prop_assert_ne!(reuse(&kept, &fields, now), Reuse::VaryMismatch, "its own request matches");
    }

    #[test]
    fn private_and_no_store_are_never_stored_whatever_the_rule(
        before in prop::collection::vec(harmless(), 0..4),
        word in forbidding(),
        after in prop::collection::vec(harmless(), 0..4),
        split in any::<bool>(),
        rule in any_rule(),
    ) {
        let mut response = HeaderMap::new();
        let members = [before, vec![word], after].concat();
        if split {
            for member in &members {
                response.append("cache-control", member.parse().unwrap());
            }
        } else {
            response.append("cache-control", members.join(" ,").parse().unwrap());
        }
        let decision =
            storability(&Method::GET, &HeaderMap::new(), StatusCode::OK, &response, &rule, NOW);
        let refused = matches!(
            decision,
            Storability::Refuse(NoStoreReason::Rule | NoStoreReason::NoStore | NoStoreReason::Private)
        );
        prop_assert!(refused, "RFC 9111 section 3 forbids it: {:?} gave {:?}", response, decision);
    }

    #[test]
    fn age_never_falls_and_fresh_means_younger_than_the_lifetime(
        fields in any_headers(&["date", "age", "cache-control"]),
        fresh in 0u64..100, arrival in 0u64..200_000, earlier in 0u64..400_000, later in 0u64..400_000,
    ) {
        let request = HeaderMap::new();
        let at = |millis| NOW + Duration::from_millis(millis);
        let kept = StoredResponse::new(Arrival {
            status: StatusCode::OK, headers: fields, request: &request, lifetimes: lifetimes(fresh, 10, 20),
            tags: Vec::new(), keeps_cookies: false, request_time: NOW, response_time: at(arrival),
        });
        let (earlier, later) = (at(earlier.min(later)), at(earlier.max(later)));
        prop_assert!(kept.age(earlier) <= kept.age(later), "age is monotonic");
        if let Reuse::Fresh { ttl } = reuse(&kept, &request, later) {
            prop_assert!(kept.age(later) < secs(fresh), "RFC 9111 section 4.2: lifetime > age");
            prop_assert_eq!(kept.age(later) + ttl, secs(fresh), "ttl is what is left");
        }
    }

    #[test]
    fn variant_keys_are_the_same_exactly_when_the_selection_is(
        vary in any_headers(&["vary"]),
        one in any_headers(&["accept", "accept-encoding", "x"]),
        other in any_headers(&["accept", "accept-encoding", "x"]),
    ) {
        let mut names = Vary::parse(&vary).names().to_vec();
        names.extend(["accept", "accept-encoding", "x"].map(HeaderName::from_static));
        let is_same_key = variant_key(&select(&names, &one)) == variant_key(&select(&names, &other));
        let is_match = matches(&select(&names, &one), &other) == Selection::Matches;
        prop_assert_eq!(is_same_key, is_match, "the key is injective over selections");
        let has_same_names = names.iter().all(|name| one.contains_key(name) == other.contains_key(name));
        prop_assert!(!is_match || has_same_names, "an absent header matches only an absent one");
    }

    #[test]
    fn variant_keys_are_printable_ascii(request in any_headers(&["accept"])) {
        let key = variant_key(&select(&[http::header::ACCEPT], &request));
        prop_assert!(key.bytes().all(|b| b.is_ascii_graphic()), "{}", key);
    }

    #[test]
    fn every_detail_gives_a_structured_field(detail in any::<String>()) {
        let mut response = HeaderMap::new();
        CacheStatus::forward(Forward::Bypass).detail(detail).append_to(&mut response);
        let list = sfv::Parser::new(response["cache-status"].as_bytes()).parse::<sfv::List>();
        prop_assert_eq!(list.unwrap().len(), 1, "one member, whatever the detail holds");
    }
}
