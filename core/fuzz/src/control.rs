//! `Cache-Control`.

use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use selvedge_core::cache::control::{CacheControl, FieldScope};
use selvedge_core::cache::rule::CacheRule;
use selvedge_core::cache::store::{Storability, storability};
use selvedge_core::time::Timestamp;

use crate::{halves, lines};

const FIELD: &str = "cache-control";

/// Checks that what is written of a parsed field is read as the same, that more directives only restrict, and that nothing hides one.
///
/// # Panics
/// When one of these does not hold.
pub fn check(data: &[u8]) {
    let (first, more) = halves(data, 0);
    let few = lines(FIELD, first);
    let control = CacheControl::parse(&few);
    assert_eq!(CacheControl::parse(&printed(&control)), control, "what is written is read");
    let shouted = CacheControl::parse(&lines(FIELD, &first.to_ascii_uppercase()));
    assert_eq!(shouted, control, "case means nothing");

    let mut many = few.clone();
    for line in lines(FIELD, more).get_all(FIELD) {
        many.append(FIELD, line.clone());
    }
    only_restricts(&control, &CacheControl::parse(&many));
    stays_unstored(&few, &many);
    nothing_hides(first);
}

fn printed(control: &CacheControl) -> HeaderMap {
    let flags = [
        ("no-store", control.no_store),
        ("public", control.public),
        ("must-revalidate", control.must_revalidate),
        ("proxy-revalidate", control.proxy_revalidate),
        ("must-understand", control.must_understand),
        ("no-transform", control.no_transform),
        ("immutable", control.immutable),
        ("only-if-cached", control.only_if_cached),
    ];
    let lifetimes = [
        ("max-age", control.max_age),
        ("s-maxage", control.s_maxage),
        ("stale-while-revalidate", control.stale_while_revalidate),
        ("stale-if-error", control.stale_if_error),
        ("max-stale", control.max_stale),
        ("min-fresh", control.min_fresh),
    ];
    let scopes = [("no-cache", &control.no_cache), ("private", &control.private)];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned());
    let lifetimes =
        lifetimes.into_iter().filter_map(|(name, time)| Some(format!("{name}={}", time?.as_secs())));
    let scopes = scopes.into_iter().filter_map(|(name, scope)| match scope {
        FieldScope::Absent => None,
        FieldScope::Whole => Some(name.to_owned()),
        FieldScope::Fields(fields) => {
            let fields: Vec<_> = fields.iter().map(http::HeaderName::as_str).collect();
            Some(format!("{name}=\"{}\"", fields.join(", ")))
        }
    });
    let line = flags.chain(lifetimes).chain(scopes).collect::<Vec<_>>().join(", ");
    lines(FIELD, line.as_bytes())
}

fn only_restricts(few: &CacheControl, many: &CacheControl) {
    let flags = |control: &CacheControl| {
        [
            control.no_store,
            control.must_revalidate,
            control.proxy_revalidate,
            control.must_understand,
            control.no_cache == FieldScope::Whole,
            control.private == FieldScope::Whole,
            control.no_cache != FieldScope::Absent,
            control.private != FieldScope::Absent,
            control.forbids_stale(),
        ]
    };
    let is_kept = flags(few).into_iter().zip(flags(many)).all(|(was, is)| !was || is);
    assert!(is_kept, "no directive is lost by others: {few:?} {many:?}");
    let lifetimes = |control: &CacheControl| {
        [control.max_age, control.s_maxage, control.stale_while_revalidate, control.stale_if_error]
    };
    let is_shorter = lifetimes(few)
        .into_iter()
        .zip(lifetimes(many))
        .all(|(was, is)| was.is_none_or(|was| is.is_some_and(|is| is <= was)));
    assert!(is_shorter, "no lifetime grows by others: {few:?} {many:?}");
}

/// Whoever adds `must-understand` may take `no-store` back, RFC 9111 section 5.2.2.3.
fn stays_unstored(few: &HeaderMap, many: &HeaderMap) {
    let (was, is) = (CacheControl::parse(few), CacheControl::parse(many));
    if (was.no_store && !is.must_understand) || was.private == FieldScope::Whole {
        let decision = storability(
            &Method::GET,
            &HeaderMap::new(),
            StatusCode::OK,
            many,
            &CacheRule::default(),
            Timestamp::default(),
        );
        assert!(matches!(decision, Storability::Refuse(_)), "it is not stored: {many:?}");
    }
}

fn nothing_hides(before: &[u8]) {
    for (directive, is_read) in [
        ("no-store", (|c: &CacheControl| c.no_store) as fn(&CacheControl) -> bool),
        ("private", |c| c.private == FieldScope::Whole),
        ("must-revalidate", |c| c.must_revalidate),
    ] {
        let line = [before, b", ", directive.as_bytes()].concat();
        let Ok(value) = HeaderValue::from_bytes(&line) else { continue };
        let headers = HeaderMap::from_iter([(http::header::CACHE_CONTROL, value)]);
        assert!(is_read(&CacheControl::parse(&headers)), "{directive} is read after anything");
    }
}
