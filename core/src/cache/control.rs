//! `Cache-Control`, in requests and responses.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName};

use super::directive::{Argument, Directive, directives, members};

/// The most that a lifetime says, in seconds: what
/// [RFC 9111 section 1.2.2](https://www.rfc-editor.org/rfc/rfc9111#section-1.2.2) reads an overflow as.
pub const MAX_DELTA_SECONDS: u64 = 1 << 31;

/// Field names that `no-cache` or `private` may list; with more it is read as unqualified.
const MAX_FIELD_NAMES: usize = 32;

/// The cache directives of a message,
/// [RFC 9111 section 5.2](https://www.rfc-editor.org/rfc/rfc9111#section-5.2).
///
/// Unknown directives are ignored. Of a directive that is there twice the most
/// restrictive one counts. A lifetime that can't be read counts as zero, which
/// makes the response stale ([section 4.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1));
/// a permission to go stale that can't be read is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheControl {
    /// `max-age`: freshness lifetime, or in a request the greatest age.
    pub max_age: Option<Duration>,
    /// `s-maxage`: freshness lifetime for shared caches.
    pub s_maxage: Option<Duration>,
    /// `no-store`
    pub no_store: bool,
    /// `no-cache`, perhaps for some fields only.
    pub no_cache: FieldScope,
    /// `private`, perhaps for some fields only.
    pub private: FieldScope,
    /// `public`
    pub public: bool,
    /// `must-revalidate`
    pub must_revalidate: bool,
    /// `proxy-revalidate`
    pub proxy_revalidate: bool,
    /// `must-understand`
    pub must_understand: bool,
    /// `no-transform`
    pub no_transform: bool,
    /// `immutable`, [RFC 8246](https://www.rfc-editor.org/rfc/rfc8246)
    pub immutable: bool,
    /// `stale-while-revalidate`, [RFC 5861 section 3](https://www.rfc-editor.org/rfc/rfc5861#section-3)
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error`, [RFC 5861 section 4](https://www.rfc-editor.org/rfc/rfc5861#section-4)
    pub stale_if_error: Option<Duration>,
    /// `max-stale` of a request; without an argument it is the longest that can be said.
    pub max_stale: Option<Duration>,
    /// `min-fresh` of a request.
    pub min_fresh: Option<Duration>,
    /// `only-if-cached` of a request.
    pub only_if_cached: bool,
}

/// What `no-cache` or `private` is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FieldScope {
    /// The directive is not there.
    #[default]
    Absent,
    /// It is about these fields of the response.
    Fields(Vec<HeaderName>),
    /// It is about the whole response.
    Whole,
}

impl CacheControl {
    /// Parses all `Cache-Control` lines of a message.
    ///
    /// # Examples
    /// ```
    /// use http::HeaderMap;
    /// use selvedge_core::cache::control::CacheControl;
    /// use std::time::Duration;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.append("cache-control", "Public, max-age=60".parse().unwrap());
    /// headers.append("cache-control", "max-age=30".parse().unwrap());
    /// let control = CacheControl::parse(&headers);
    /// assert!(control.public);
    /// assert_eq!(control.max_age, Some(Duration::from_secs(30)), "the shorter one counts");
    /// ```
    #[must_use]
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for directive in directives(headers, &header::CACHE_CONTROL) {
            control.apply(&directive);
        }
        control
    }

    /// Returns the freshness lifetime for a shared cache: `s-maxage`, else `max-age`.
    #[must_use]
    pub fn shared_lifetime(&self) -> Option<Duration> {
        self.s_maxage.or(self.max_age)
    }

    /// Returns whether a stale response may never answer,
    /// [RFC 9111 section 4.2.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4).
    ///
    /// `s-maxage` implies `proxy-revalidate`
    /// ([section 5.2.2.10](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.10)).
    #[must_use]
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate
            || self.proxy_revalidate
            || self.s_maxage.is_some()
            || self.no_cache == FieldScope::Whole
    }

    /// Adds one directive; also the way in for the members of a targeted field.
    pub(super) fn apply(&mut self, directive: &Directive<'_>) {
        self.apply_lifetime(directive);
        for (name, flag) in self.flags() {
            *flag |= directive.is(name);
        }
        if directive.is("no-cache") {
            self.no_cache.widen(FieldScope::read(directive.argument));
        } else if directive.is("private") {
            self.private.widen(FieldScope::read(directive.argument));
        }
    }

    fn apply_lifetime(&mut self, directive: &Directive<'_>) {
        let seconds = delta_seconds(directive.argument);
        if directive.is("max-age") {
            shorten(&mut self.max_age, Some(seconds.unwrap_or_default()));
        } else if directive.is("s-maxage") {
            shorten(&mut self.s_maxage, Some(seconds.unwrap_or_default()));
        } else if directive.is("stale-while-revalidate") {
            shorten(&mut self.stale_while_revalidate, Some(seconds.unwrap_or_default()));
        } else if directive.is("stale-if-error") {
            shorten(&mut self.stale_if_error, Some(seconds.unwrap_or_default()));
        } else if directive.is("max-stale") {
            let bare = (directive.argument == Argument::Absent).then_some(MAX_DELTA);
            shorten(&mut self.max_stale, bare.or(Some(seconds.unwrap_or_default())));
        } else if directive.is("min-fresh") {
            self.min_fresh = self.min_fresh.max(seconds);
        }
    }

    fn flags(&mut self) -> [(&'static str, &mut bool); 8] {
        [
            ("no-store", &mut self.no_store),
            ("public", &mut self.public),
            ("must-revalidate", &mut self.must_revalidate),
            ("proxy-revalidate", &mut self.proxy_revalidate),
            ("must-understand", &mut self.must_understand),
            ("no-transform", &mut self.no_transform),
            ("immutable", &mut self.immutable),
            ("only-if-cached", &mut self.only_if_cached),
        ]
    }
}

impl FieldScope {
    /// Returns the fields that the directive lists; none when it is about the whole response.
    #[must_use]
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(fields) => fields,
            Self::Absent | Self::Whole => &[],
        }
    }

    fn read(argument: Argument<'_>) -> Self {
        match argument {
            Argument::Token(list) | Argument::Quoted(list) => Self::read_fields(list),
            Argument::Absent | Argument::Malformed => Self::Whole,
        }
    }

    fn read_fields(list: &[u8]) -> Self {
        let names: Result<Vec<_>, _> =
            members(list).take(MAX_FIELD_NAMES + 1).map(HeaderName::from_bytes).collect();
        match names {
            Ok(names) if (1..=MAX_FIELD_NAMES).contains(&names.len()) => Self::Fields(names),
            Ok(_) | Err(_) => Self::Whole,
        }
    }

    fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Absent) | (Self::Whole, _) => {}
            (Self::Fields(fields), Self::Fields(more)) if fields.len() + more.len() <= MAX_FIELD_NAMES => {
                fields.extend(more);
            }
            (Self::Fields(_), Self::Fields(_)) => *self = Self::Whole,
            (Self::Absent | Self::Fields(_), other) => *self = other,
        }
    }
}

const MAX_DELTA: Duration = Duration::from_secs(MAX_DELTA_SECONDS);

/// Reads delta-seconds, as a token or a quoted string; `None` when it is none.
fn delta_seconds(argument: Argument<'_>) -> Option<Duration> {
    match argument {
        Argument::Token(digits) | Argument::Quoted(digits) => read_delta_seconds(digits),
        Argument::Absent | Argument::Malformed => None,
    }
}

/// Reads [delta-seconds](https://www.rfc-editor.org/rfc/rfc9111#section-1.2.2); overflow saturates.
pub(super) fn read_delta_seconds(digits: &[u8]) -> Option<Duration> {
    let seconds = digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some((sum * 10 + digit).min(MAX_DELTA_SECONDS))
    })?;
    (!digits.is_empty()).then_some(Duration::from_secs(seconds))
}

fn shorten(slot: &mut Option<Duration>, value: Option<Duration>) {
    *slot = match (*slot, value) {
        (Some(old), Some(new)) => Some(old.min(new)),
        (old, new) => old.or(new),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::{headers, secs};

    struct Lifetime {
        line: &'static str,
        max_age: Option<u64>,
        why: &'static str,
    }

    #[test]
    fn max_age_is_read_as_rfc_9111_says() {
        let cases = [
            Lifetime { line: "max-age=60", max_age: Some(60), why: "5.2.2.1" },
            Lifetime { line: "MAX-AGE=60", max_age: Some(60), why: "5.2: names are case-insensitive" },
            Lifetime { line: "max-age=\"60\"", max_age: Some(60), why: "5.2: accept both argument forms" },
            Lifetime { line: "max-age=007", max_age: Some(7), why: "1.2.2: 1*DIGIT" },
            Lifetime { line: ",, ,max-age=60,", max_age: Some(60), why: "RFC 9110 5.6.1.2: empty members" },
            Lifetime { line: "a=\"max-age=5\", max-age=60", max_age: Some(60), why: "not inside quotes" },
            Lifetime { line: "a=\"\\\", max-age=5\", max-age=60", max_age: Some(60), why: "escaped quote" },
            Lifetime { line: "max-age=60, max-age=100", max_age: Some(60), why: "4.2.1: two values" },
            Lifetime { line: "max-age=100, max-age=60", max_age: Some(60), why: "4.2.1: two values" },
            Lifetime { line: "max-age=60, max-age=x", max_age: Some(0), why: "4.2.1: invalid is stale" },
            Lifetime { line: "max-age=99999999999999999999", max_age: Some(1 << 31), why: "1.2.2: overflow" },
            Lifetime { line: "max-age=2147483649", max_age: Some(1 << 31), why: "1.2.2: overflow" },
            Lifetime { line: "max-age", max_age: Some(0), why: "4.2.1: invalid is stale" },
            Lifetime { line: "max-age=", max_age: Some(0), why: "4.2.1: invalid is stale" },
            Lifetime { line: "max-age=-1", max_age: Some(0), why: "4.2.1: invalid is stale" },
            Lifetime { line: "max-age=+1", max_age: Some(0), why: "4.2.1: invalid is stale" },
            Lifetime { line: "max-age=1.5", max_age: Some(0), why: "4.2.1: invalid is stale" },
            Lifetime { line: "max-age =60", max_age: Some(0), why: "5.2: no whitespace in a directive" },
            Lifetime { line: "max-age= 60", max_age: Some(0), why: "5.2: no whitespace in a directive" },
            Lifetime { line: "max-age=\"60\"x", max_age: Some(0), why: "4.2.1: invalid is stale" },
            Lifetime { line: "xmax-age=60", max_age: None, why: "5.2.3: unknown directives are ignored" },
            Lifetime { line: "max-age;60", max_age: None, why: "5.2.3: unknown directives are ignored" },
            Lifetime { line: "", max_age: None, why: "nothing is said" },
        ];
        for case in cases {
            let control = CacheControl::parse(&headers(&[("cache-control", case.line)]));
            assert_eq!(control.max_age, case.max_age.map(secs), "{}: {}", case.line, case.why);
        }
    }

    struct Scope {
        line: &'static str,
        scope: FieldScope,
    }

    #[test]
    fn private_and_no_cache_may_name_fields() {
        let names = |names: &[&'static str]| {
            FieldScope::Fields(names.iter().map(|name| HeaderName::from_static(name)).collect())
        };
        let cases = [
            Scope { line: "no-store", scope: FieldScope::Absent },
            Scope { line: "X", scope: FieldScope::Whole },
            Scope { line: "X=\"Set-Cookie\"", scope: names(&["set-cookie"]) },
            Scope { line: "X=\"a, b\"", scope: names(&["a", "b"]) },
            Scope { line: "X=a", scope: names(&["a"]) },
            Scope { line: "X=a, X=b", scope: names(&["a", "b"]) },
            Scope { line: "X=a, X", scope: FieldScope::Whole },
            Scope { line: "X, X=a", scope: FieldScope::Whole },
            Scope { line: "X=\"\"", scope: FieldScope::Whole },
            Scope { line: "X=\"not a name\"", scope: FieldScope::Whole },
            Scope { line: "X =a", scope: FieldScope::Whole },
        ];
        for case in cases {
            let read =
                |name| CacheControl::parse(&headers(&[("cache-control", &case.line.replace('X', name))]));
            assert_eq!(read("private").private, case.scope, "RFC 9111 section 5.2.2.7: {}", case.line);
            assert_eq!(read("no-cache").no_cache, case.scope, "RFC 9111 section 5.2.2.4: {}", case.line);
        }
    }

    #[test]
    fn more_field_names_than_the_bound_mean_the_whole_response() {
        let list: Vec<String> = (0..33).map(|n| format!("x{n}")).collect();
        let line = format!("private=\"{}\"", list.join(","));
        let control = CacheControl::parse(&headers(&[("cache-control", &line)]));
        assert_eq!(control.private, FieldScope::Whole, "the list must not grow without bound");
    }

    #[test]
    fn every_flag_is_read_from_any_line() {
        let lines = [
            ("cache-control", "no-store, public, must-revalidate, proxy-revalidate"),
            ("cache-control", "Must-Understand, no-transform,immutable,only-if-cached, s-maxage=1"),
            (
                "cache-control",
                "stale-while-revalidate=2, stale-if-error=3, max-stale, min-fresh=4, min-fresh=5",
            ),
        ];
        let expected = CacheControl {
            s_maxage: Some(secs(1)),
            no_store: true,
            public: true,
            must_revalidate: true,
            proxy_revalidate: true,
            must_understand: true,
            no_transform: true,
            immutable: true,
            stale_while_revalidate: Some(secs(2)),
            stale_if_error: Some(secs(3)),
            max_stale: Some(MAX_DELTA),
            min_fresh: Some(secs(5)),
            only_if_cached: true,
            ..CacheControl::default()
        };
        assert_eq!(CacheControl::parse(&headers(&lines)), expected, "RFC 9111 sections 5.2.1 and 5.2.2");
    }

    #[test]
    fn a_stray_quote_hides_no_directive_after_it() {
        for line in ["x=\"open, no-store", "x\"y, no-store, z\"", "\", no-store, \""] {
            let control = CacheControl::parse(&headers(&[("cache-control", line)]));
            assert!(control.no_store, "outside the grammar the restrictive reading wins: {line}");
        }
    }
}
