//! Cache directives that are meant for this cache alone.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::control::{CacheControl, read_delta_seconds};
use super::directive::{Argument, Directive, members, read};

/// Targeted field of this edge.
pub static SELVEDGE_CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("selvedge-cdn-cache-control");
/// Targeted field of every content delivery network,
/// [RFC 9213 section 3](https://www.rfc-editor.org/rfc/rfc9213#section-3).
pub static CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
/// Directives for surrogates, from the
/// [Edge Architecture Specification](https://www.w3.org/TR/edge-arch/).
pub static SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// How backends are told that the edge knows [`SURROGATE_CONTROL`], and by which name.
pub static SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");
/// What they are told.
pub const CAPABILITY: HeaderValue = HeaderValue::from_static("selvedge=\"Surrogate/1.0\"");
/// The name of this edge among surrogates.
const SURROGATE_NAME: &str = "selvedge";

/// The target list of this edge, most specific first.
pub static TARGETS: [&HeaderName; 2] = [&SELVEDGE_CDN_CACHE_CONTROL, &CDN_CACHE_CONTROL];

/// What `Surrogate-Control` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SurrogateControl {
    /// `max-age`, without its extension after a plus sign.
    pub max_age: Option<Duration>,
    /// `no-store` or `no-store-remote`.
    pub no_store: bool,
    /// Whether some directive is aimed at this edge by its name.
    pub is_aimed: bool,
}

/// Returns the directives of the first valid, non-empty field of the target list,
/// [RFC 9213 section 2.2](https://www.rfc-editor.org/rfc/rfc9213#section-2.2).
///
/// They stand in place of `Cache-Control` and `Expires`. `None` when no field
/// is there, or none is valid: then the caller falls back to those. A lifetime
/// that is not an integer of zero or more counts as zero, a flag counts unless
/// it is `?0`.
#[must_use]
pub fn targeted(headers: &HeaderMap, targets: &[&HeaderName]) -> Option<CacheControl> {
    targets.iter().find_map(|field| {
        let members = dictionary(headers, field).filter(|members| !members.is_empty())?;
        Some(from_members(&members))
    })
}

/// Reads `Surrogate-Control`; directives aimed at another surrogate (`;name`) are left out, and where some are aimed at this one
/// only those count.
#[must_use]
pub fn surrogate_control(headers: &HeaderMap) -> SurrogateControl {
    let read = |is_aimed| surrogate_directives(headers, is_aimed);
    let mut lines = headers.get_all(&SURROGATE_CONTROL).iter();
    let is_aimed =
        lines.any(|line| members(line.as_bytes()).any(|member| target(member) == Some(SURROGATE_NAME)));
    SurrogateControl { is_aimed, ..read(is_aimed) }
}

/// The surrogate that a directive is aimed at.
fn target(member: &[u8]) -> Option<&str> {
    let at = member.iter().position(|byte| *byte == b';')?;
    std::str::from_utf8(member[at + 1..].trim_ascii()).ok()
}

fn surrogate_directives(headers: &HeaderMap, is_aimed: bool) -> SurrogateControl {
    let mut control = SurrogateControl::default();
    let lines = headers.get_all(&SURROGATE_CONTROL).iter().flat_map(|line| members(line.as_bytes()));
    for member in lines.filter(|member| target(member) == is_aimed.then_some(SURROGATE_NAME)) {
        let plain = member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let directive = read(plain);
        control.no_store |= directive.is("no-store") || directive.is("no-store-remote");
        if directive.is("max-age") {
            let lifetime = surrogate_lifetime(directive.argument);
            control.max_age = Some(control.max_age.map_or(lifetime, |old| old.min(lifetime)));
        }
    }
    control
}

fn surrogate_lifetime(argument: Argument<'_>) -> Duration {
    match argument {
        Argument::Token(value) => {
            let fresh = value.split(|&b| b == b'+').next().unwrap_or_default();
            read_delta_seconds(fresh).unwrap_or_default()
        }
        Argument::Absent | Argument::Quoted(_) | Argument::Malformed => Duration::ZERO,
    }
}

/// Parses all lines of a field as one dictionary.
fn dictionary(headers: &HeaderMap, field: &HeaderName) -> Option<Dictionary> {
    let mut lines = headers.get_all(field).iter().map(http::HeaderValue::as_bytes);
    let mut text = lines.next()?.to_vec();
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line);
    }
    Parser::new(&text).parse::<Dictionary>().ok()
}

fn from_members(members: &Dictionary) -> CacheControl {
    let mut control = CacheControl::default();
    for (name, entry) in members {
        let mut digits = String::new();
        if let Some(argument) = argument(entry, &mut digits) {
            let name = name.as_str().as_bytes();
            control.apply(&Directive { name, argument, raw: name });
        }
    }
    control
}

/// Maps a structured value to a directive's argument; `None` for `?0`, which takes the directive back.
fn argument<'a>(entry: &'a ListEntry, digits: &'a mut String) -> Option<Argument<'a>> {
    let ListEntry::Item(item) = entry else { return Some(Argument::Malformed) };
    Some(match &item.bare_item {
        BareItem::Boolean(false) => return None,
        BareItem::Boolean(true) => Argument::Absent,
        BareItem::Integer(number) => {
            *digits = number.to_string();
            Argument::Token(digits.as_bytes())
        }
        BareItem::String(text) => Argument::Quoted(text.as_str().as_bytes()),
        BareItem::Token(token) => Argument::Token(token.as_str().as_bytes()),
        BareItem::Decimal(_) | BareItem::ByteSequence(_) | BareItem::Date(_) | BareItem::DisplayString(_) => {
            Argument::Malformed
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::control::FieldScope;
    use crate::cache::tests::{headers, secs};

    struct Case {
        fields: &'static [(&'static str, &'static str)],
        max_age: Option<Option<u64>>,
        why: &'static str,
    }

    const OWN: &str = "selvedge-cdn-cache-control";
    const CDN: &str = "cdn-cache-control";

    #[test]
    fn the_first_valid_field_of_the_target_list_counts() {
        let cases = [
            Case { fields: &[], max_age: None, why: "2.2: falls back" },
            Case { fields: &[(CDN, "max-age=60")], max_age: Some(Some(60)), why: "2.2" },
            Case {
                fields: &[(CDN, "max-age=60"), (OWN, "max-age=5")],
                max_age: Some(Some(5)),
                why: "2.2: list order",
            },
            Case {
                fields: &[(CDN, "max-age=60"), (OWN, "")],
                max_age: Some(Some(60)),
                why: "2.1: empty is ignored",
            },
            Case {
                fields: &[(CDN, "max-age=60"), (OWN, "&&")],
                max_age: Some(Some(60)),
                why: "2.1: broken is ignored",
            },
            Case {
                fields: &[(CDN, "Max-Age=60")],
                max_age: None,
                why: "RFC 8941 3.1.2: keys are lower case",
            },
            Case { fields: &[(CDN, "max-age=60, ,")], max_age: None, why: "RFC 8941 4.2: no empty members" },
            Case {
                fields: &[(CDN, "max-age=60;x=1")],
                max_age: Some(Some(60)),
                why: "2.1: parameters are ignored",
            },
            Case {
                fields: &[(CDN, "max-age=5"), (CDN, "max-age=60")],
                max_age: Some(Some(60)),
                why: "RFC 8941 4.2.2: last wins",
            },
            Case {
                fields: &[(CDN, "max-age=1.5")],
                max_age: Some(Some(0)),
                why: "RFC 9111 4.2.1: invalid is stale",
            },
            Case {
                fields: &[(CDN, "max-age=-1")],
                max_age: Some(Some(0)),
                why: "RFC 9111 4.2.1: invalid is stale",
            },
            Case {
                fields: &[(CDN, "max-age=(1 2)")],
                max_age: Some(Some(0)),
                why: "RFC 9111 4.2.1: invalid is stale",
            },
            Case {
                fields: &[(CDN, "unknown=1")],
                max_age: Some(None),
                why: "2.2: unknown directives are ignored",
            },
        ];
        for case in cases {
            let control = targeted(&headers(case.fields), &TARGETS);
            let expected = case.max_age.map(|age| age.map(secs));
            assert_eq!(control.map(|c| c.max_age), expected, "{:?}: RFC 9213 {}", case.fields, case.why);
        }
    }

    #[test]
    fn flags_and_field_names_of_a_targeted_field_are_read() {
        let fields = headers(&[(CDN, "no-store, private=\"a\", must-revalidate=?0, no-cache=?1")]);
        let control = targeted(&fields, &TARGETS).unwrap();
        assert!(control.no_store, "RFC 9213 section 2.2 names no-store");
        assert!(!control.must_revalidate, "?0 is false, RFC 8941 section 3.3.6");
        assert_eq!(control.no_cache, FieldScope::Whole, "?1 is true");
        assert_eq!(control.private.fields(), ["a"], "a string lists field names");
    }

    #[test]
    fn surrogate_control_gives_lifetime_and_no_store() {
        let cases = [
            ("max-age=60", Some(60), false),
            ("max-age=3600+600", Some(3600), false),
            ("max-age=60;selvedge, max-age=5, no-store", Some(60), false),
            ("max-age=60; selvedge", Some(60), false),
            ("no-store;other, max-age=60;selvedge", Some(60), false),
            ("max-age=60;other, content=\"ESI/1.0\"", None, false),
            ("max-age=x, no-store", Some(0), true),
            ("no-store-remote", None, true),
            ("", None, false),
        ];
        for (line, max_age, no_store) in cases {
            let control = surrogate_control(&headers(&[("surrogate-control", line)]));
            let is_aimed = line.contains("selvedge");
            let expected = SurrogateControl { max_age: max_age.map(secs), no_store, is_aimed };
            assert_eq!(control, expected, "Edge Architecture Specification section 2.2: {line}");
        }
    }
}
