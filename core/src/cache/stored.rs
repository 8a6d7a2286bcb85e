//! A stored response without its body, and its age.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use sfv::{List, ListEntry, Parser};

use super::control::{MAX_DELTA_SECONDS, read_delta_seconds};
use super::fields::Fields;
use super::lifetime::{LifetimeSource, Lifetimes, OriginDirectives, date_value};
use super::validation::http_date;
use super::vary::{SelectingHeader, Vary, select};
use crate::time::Timestamp;

/// Fields that concern one connection or one client's proxy and are never stored,
/// [RFC 9111 section 3.1](https://www.rfc-editor.org/rfc/rfc9111#section-3.1).
static NEVER_STORED: [HeaderName; 11] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    // RFC 9111 section 5.5: obsolete, and wrong in whatever is served later.
    header::WARNING,
    // What the age was on arrival is part of `initial_age`.
    header::AGE,
];

/// The head of a stored response and what is needed to decide about its reuse.
///
/// It never changes; share it in an `Arc`. The body is kept beside it by the store. It is packed to be kept in great number: durations have
/// whole milliseconds, and [`headers`](Self::headers) are made anew each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResponse {
    fields: Fields,
    /// Most responses have neither.
    selection: Option<Box<Selection>>,
    fresh_millis: u64,
    stale_while_revalidate_millis: u64,
    stale_if_error_millis: u64,
    initial_age_millis: u64,
    date: Timestamp,
    request_time: Timestamp,
    response_time: Timestamp,
    status: StatusCode,
    source: LifetimeSource,
    may_be_stale: bool,
}

/// What selects a response: a request, or a purge.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selection {
    vary: Vec<SelectingHeader>,
    tags: Vec<String>,
}

/// Everything that a [`StoredResponse`] holds, for the form in which it crosses a boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredParts {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) vary: Vec<SelectingHeader>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) may_be_stale: bool,
    pub(crate) tags: Vec<String>,
    pub(crate) date: Timestamp,
    pub(crate) request_time: Timestamp,
    pub(crate) response_time: Timestamp,
    pub(crate) initial_age: Duration,
}

/// A response on its way into the store, which
/// [`storability`](super::store::storability) has allowed.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Status of the response.
    pub status: StatusCode,
    /// Headers of the response as they came from the origin.
    pub headers: HeaderMap,
    /// Headers of the request, in the form in which later requests will be compared.
    pub request: &'a HeaderMap,
    /// The lifetimes that were decided.
    pub lifetimes: Lifetimes,
    /// Surrogate tags of the policy; those of the response are added.
    pub tags: Vec<String>,
    /// Whether `Set-Cookie` is kept too.
    pub keeps_cookies: bool,
    /// When the request left the edge.
    pub request_time: Timestamp,
    /// When the response's head arrived.
    pub response_time: Timestamp,
}

impl StoredResponse {
    /// Makes the stored form of a response.
    ///
    /// A missing or unreadable `Date` becomes the time of arrival,
    /// [RFC 9110 section 6.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1).
    #[must_use]
    pub fn new(arrival: Arrival<'_>) -> Self {
        let Arrival { status, mut headers, request, lifetimes, mut tags, keeps_cookies, .. } = arrival;
        let Arrival { request_time, response_time, .. } = arrival;
        let vary = select(Vary::parse(&headers).names(), request);
        let initial_age = initial_age(&headers, request_time, response_time);
        let date = date_value(&headers).unwrap_or_else(|| stamp(&mut headers, response_time));
        add_tags(&mut tags, &headers);
        let may_be_stale = !OriginDirectives::read(&headers).control.forbids_stale();
        remove_unstored(&mut headers, keeps_cookies);
        Self::from_parts(StoredParts {
            status,
            headers,
            vary,
            lifetimes,
            may_be_stale,
            tags,
            date,
            request_time,
            response_time,
            initial_age,
        })
    }

    pub(crate) fn to_parts(&self) -> StoredParts {
        StoredParts {
            status: self.status,
            headers: self.headers(),
            vary: self.vary().to_vec(),
            lifetimes: self.lifetimes(),
            may_be_stale: self.may_be_stale,
            tags: self.tags().to_vec(),
            date: self.date,
            request_time: self.request_time,
            response_time: self.response_time,
            initial_age: self.initial_age(),
        }
    }

    pub(crate) fn from_parts(parts: StoredParts) -> Self {
        let StoredParts { status, headers, vary, lifetimes, may_be_stale, tags, .. } = parts;
        let StoredParts { date, request_time, response_time, initial_age, .. } = parts;
        let is_selected = !vary.is_empty() || !tags.is_empty();
        Self {
            fields: Fields::pack(&headers),
            selection: is_selected.then(|| Box::new(Selection { vary, tags })),
            fresh_millis: millis(lifetimes.fresh),
            stale_while_revalidate_millis: millis(lifetimes.stale_while_revalidate),
            stale_if_error_millis: millis(lifetimes.stale_if_error),
            initial_age_millis: millis(initial_age),
            date,
            request_time,
            response_time,
            status,
            source: lifetimes.source,
            may_be_stale,
        }
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Makes a map of the headers that are kept; `Age` is not among them.
    ///
    /// It costs about as much as all other decisions about a stored response together: for one header there is [`field`](Self::field).
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        self.fields.unpack()
    }

    /// Returns the first value of a header that is kept.
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        self.fields.first(name)
    }

    /// Returns the request headers that selected this response.
    #[must_use]
    pub fn vary(&self) -> &[SelectingHeader] {
        self.selection.as_ref().map_or(&[], |selection| &selection.vary)
    }

    /// Returns the lifetimes.
    #[must_use]
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            fresh: Duration::from_millis(self.fresh_millis),
            stale_while_revalidate: Duration::from_millis(self.stale_while_revalidate_millis),
            stale_if_error: Duration::from_millis(self.stale_if_error_millis),
            source: self.source,
        }
    }

    /// Returns the surrogate tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        self.selection.as_ref().map_or(&[], |selection| &selection.tags)
    }

    /// Returns the cache groups, [RFC 9875 section 2](https://www.rfc-editor.org/rfc/rfc9875#section-2).
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        if self.field(&CACHE_GROUPS).is_none() {
            return Vec::new();
        }
        strings(&self.headers(), &CACHE_GROUPS)
    }

    /// Returns whether nothing forbids that it answers when it is stale,
    /// [RFC 9111 section 4.2.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.4).
    #[must_use]
    pub fn may_be_stale(&self) -> bool {
        self.may_be_stale
    }

    /// Returns the same response, stale since `time` unless it was before.
    #[must_use]
    pub fn stale_since(&self, time: Timestamp) -> Self {
        Self { fresh_millis: self.fresh_millis.min(millis(self.age(time))), ..self.clone() }
    }

    /// Returns when the origin made the response, by its own clock.
    #[must_use]
    pub fn date(&self) -> Timestamp {
        self.date
    }

    /// Returns when the request for it left the edge.
    #[must_use]
    pub fn request_time(&self) -> Timestamp {
        self.request_time
    }

    /// Returns when it arrived at the edge.
    #[must_use]
    pub fn response_time(&self) -> Timestamp {
        self.response_time
    }

    /// Returns the current age,
    /// [RFC 9111 section 4.2.3](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3).
    ///
    /// It never falls while `now` rises. A `now` before the arrival counts as the arrival.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        self.initial_age().saturating_add(now.saturating_since(self.response_time))
    }

    /// Returns how long after its arrival the response may be of use: for an answer, and a day longer where the origin can be
    /// asked whether it still holds. Zero when it arrived too old for either.
    #[must_use]
    pub fn keep(&self) -> Duration {
        let answers = self.lifetimes().useful().saturating_sub(self.initial_age());
        if self.has_validator() { answers.saturating_add(VALIDATION_TIME) } else { answers }
    }

    /// Returns whether the origin can be asked whether the response still holds: by an entity tag, or by a date of its last change.
    #[must_use]
    pub fn has_validator(&self) -> bool {
        let modified = || HeaderValue::from_bytes(self.field(&header::LAST_MODIFIED)?).ok();
        self.field(&header::ETAG).is_some() || modified().as_ref().and_then(http_date).is_some()
    }

    fn initial_age(&self) -> Duration {
        Duration::from_millis(self.initial_age_millis)
    }

    /// Returns about how many bytes the head takes in memory, for a store's accounts.
    #[must_use]
    pub fn approximate_bytes(&self) -> usize {
        let vary = self.vary().iter().map(|header| header.value.as_deref().map_or(0, <[u8]>::len));
        let tags = self.tags().iter().map(String::len);
        let entries = self.vary().len() + self.tags().len();
        vary.chain(tags).sum::<usize>() + entries * ENTRY_BYTES + self.fields.len() + size_of::<Self>()
    }
}

/// How long a response that can be validated is kept after its last use.
const VALIDATION_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The age of a response whose `Age` cannot be read: older than any lifetime.
const UNKNOWN_AGE: Duration = Duration::from_secs(MAX_DELTA_SECONDS);

/// Surrogate tags that a response may bring; more are left out.
const MAX_TAGS: usize = 256;

static CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
static CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");
static SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
static CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// What a selecting header or a tag takes beside its text.
const ENTRY_BYTES: usize = 64;

/// Whole milliseconds; what is longer than those can count is as long as they can.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Computes `corrected_initial_age`.
fn initial_age(headers: &HeaderMap, request_time: Timestamp, response_time: Timestamp) -> Duration {
    let date = date_value(headers).unwrap_or(response_time);
    // Date has whole seconds: without rounding down, half a second of clock would count as age.
    let arrival = Timestamp::from_millis(response_time.as_millis() / 1000 * 1000);
    let apparent_age = arrival.saturating_since(date);
    let response_delay = response_time.saturating_since(request_time);
    apparent_age.max(age_value(headers).saturating_add(response_delay))
}

/// Reads `Age`: the first member counts,
/// [RFC 9111 section 5.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.1).
///
/// DIFFERENCE: that section says that one which is no number of seconds should be ignored. It shows that a cache on the way
/// measured an age, and what that was is unknown; so the response counts as stale, which is the only safe guess.
pub(super) fn age_value(headers: &HeaderMap) -> Duration {
    let first = headers.get(header::AGE).and_then(|value| value.as_bytes().split(|&b| b == b',').next());
    first.map_or(Duration::ZERO, |digits| read_delta_seconds(digits.trim_ascii()).unwrap_or(UNKNOWN_AGE))
}

/// Adds what `Surrogate-Key` (between blanks) and `Cache-Tag` (between commas) list.
fn add_tags(tags: &mut Vec<String>, headers: &HeaderMap) {
    for (field, separator) in [(&SURROGATE_KEY, ' '), (&CACHE_TAG, ',')] {
        let lines = headers.get_all(field).iter().filter_map(|line| line.to_str().ok());
        let listed =
            lines.flat_map(|line| line.split(separator)).map(str::trim).filter(|tag| !tag.is_empty());
        for tag in listed.take(MAX_TAGS) {
            if !tags.iter().any(|known| known == tag) {
                tags.push(tag.to_owned());
            }
        }
    }
}

/// Reads a list of strings, [RFC 9651 section 3.1](https://www.rfc-editor.org/rfc/rfc9651#section-3.1); other members are left out.
fn strings(headers: &HeaderMap, field: &HeaderName) -> Vec<String> {
    if !headers.contains_key(field) {
        return Vec::new();
    }
    let lines: Vec<_> = headers.get_all(field).iter().map(HeaderValue::as_bytes).collect();
    let Ok(list) = Parser::new(&lines.join(&b", "[..])).parse::<List>() else { return Vec::new() };
    let string = |entry: &ListEntry| match entry {
        ListEntry::Item(item) => item.bare_item.as_string().map(|text| text.as_str().to_owned()),
        ListEntry::InnerList(_) => None,
    };
    list.iter().filter_map(string).take(MAX_TAGS).collect()
}

/// Returns the cache groups that a response to an unsafe request invalidates,
/// [RFC 9875 section 3](https://www.rfc-editor.org/rfc/rfc9875#section-3).
#[must_use]
pub fn invalidated_groups(response: &HeaderMap) -> Vec<String> {
    strings(response, &CACHE_GROUP_INVALIDATION)
}

fn stamp(headers: &mut HeaderMap, now: Timestamp) -> Timestamp {
    let date = HeaderValue::from_str(&now.to_http_date()).expect("an HTTP-date is ASCII");
    headers.insert(header::DATE, date);
    now
}

fn remove_unstored(headers: &mut HeaderMap, keeps_cookies: bool) {
    let control = OriginDirectives::read(headers).control;
    let listed = connection_options(headers);
    let named = control.no_cache.fields().iter().chain(control.private.fields());
    let cookies = (!keeps_cookies).then_some(&header::SET_COOKIE);
    for name in NEVER_STORED.iter().chain(&listed).chain(named).chain(cookies) {
        headers.remove(name);
    }
}

/// Returns the fields that `Connection` lists.
fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    let options = lines.flat_map(|line| line.as_bytes().split(|&b| b == b','));
    options.filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::{NOW, headers, lifetimes, secs, stored};

    struct Aged {
        fields: &'static [(&'static str, &'static str)],
        response_delay_millis: u64,
        age_on_arrival_millis: u64,
        why: &'static str,
    }

    const UNREADABLE_MILLIS: u64 = MAX_DELTA_SECONDS * 1000;

    /// Ten seconds before `NOW`.
    const TEN_BEFORE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:27 GMT");
    const AT_NOW: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    const TEN_AFTER: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:47 GMT");

    #[test]
    fn the_age_on_arrival_is_the_corrected_initial_age() {
        let cases = [
            Aged {
                fields: &[],
                response_delay_millis: 0,
                age_on_arrival_millis: 0,
                why: "nothing says more",
            },
            Aged {
                fields: &[TEN_BEFORE],
                response_delay_millis: 0,
                age_on_arrival_millis: 10_000,
                why: "apparent_age",
            },
            Aged {
                fields: &[TEN_AFTER],
                response_delay_millis: 0,
                age_on_arrival_millis: 0,
                why: "apparent_age >= 0",
            },
            Aged {
                fields: &[AT_NOW],
                response_delay_millis: 2_500,
                age_on_arrival_millis: 2_500,
                why: "response_delay",
            },
            Aged {
                fields: &[AT_NOW, ("age", "7")],
                response_delay_millis: 1_000,
                age_on_arrival_millis: 8_000,
                why: "corrected_age_value",
            },
            Aged {
                fields: &[TEN_BEFORE, ("age", "7")],
                response_delay_millis: 0,
                age_on_arrival_millis: 10_000,
                why: "the greater one",
            },
            Aged {
                fields: &[AT_NOW, ("age", "7, 9")],
                response_delay_millis: 0,
                age_on_arrival_millis: 7_000,
                why: "5.1: first member",
            },
            Aged {
                fields: &[AT_NOW, ("age", "9"), ("age", "7")],
                response_delay_millis: 0,
                age_on_arrival_millis: 9_000,
                why: "5.1: first member",
            },
            Aged {
                fields: &[AT_NOW, ("age", "-7")],
                response_delay_millis: 0,
                age_on_arrival_millis: UNREADABLE_MILLIS,
                why: "5.1: unknown, so stale",
            },
            Aged {
                fields: &[AT_NOW, ("age", "7.5")],
                response_delay_millis: 0,
                age_on_arrival_millis: UNREADABLE_MILLIS,
                why: "5.1: unknown, so stale",
            },
            Aged {
                fields: &[("date", "no date"), ("age", "7")],
                response_delay_millis: 0,
                age_on_arrival_millis: 7_000,
                why: "no date_value",
            },
        ];
        for case in cases {
            let response_time = NOW + Duration::from_millis(case.response_delay_millis);
            let age = initial_age(&headers(case.fields), NOW, response_time);
            let expected = Duration::from_millis(case.age_on_arrival_millis);
            assert_eq!(age, expected, "RFC 9111 section 4.2.3, {}: {:?}", case.why, case.fields);
        }
    }

    #[test]
    fn a_date_without_fractions_adds_no_age_within_its_second() {
        let arrival = NOW + Duration::from_millis(999);
        let age = initial_age(&headers(&[AT_NOW]), arrival, arrival);
        assert_eq!(age, Duration::ZERO, "Date says no more than the second");
    }

    #[test]
    fn the_age_grows_by_the_resident_time() {
        let kept = stored(&[AT_NOW, ("age", "7")], &HeaderMap::new(), lifetimes(60, 20, 30));
        assert_eq!(kept.age(NOW + secs(5)), secs(12), "RFC 9111 section 4.2.3: current_age");
        assert_eq!(kept.age(Timestamp::default()), secs(7), "a clock that went back can't make it younger");
        assert_eq!(kept.keep(), secs(60 + 30 - 7), "what is left of the longest use");
    }

    #[test]
    fn what_belongs_to_one_connection_or_one_client_is_not_kept() {
        let fields = [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("proxy-authenticate", "Basic"),
            ("set-cookie", "a=1"),
            ("cache-control", "private=\"x-mine\", no-cache=\"x-fragile\""),
            ("x-mine", "1"),
            ("x-fragile", "1"),
            ("age", "3"),
            AT_NOW,
            ("link", "</a>"),
            ("link", "</b>"),
        ];
        let kept = stored(&fields, &HeaderMap::new(), lifetimes(60, 0, 0));
        let expected = headers(&[fields[6], AT_NOW, fields[11], fields[12]]);
        assert_eq!(kept.headers(), expected, "RFC 9111 sections 3.1, 5.2.2.4 and 5.2.2.7");
    }

    #[test]
    fn a_response_without_date_gets_the_time_of_its_arrival() {
        for fields in [&[][..], &[("date", "soon")]] {
            let kept = stored(fields, &HeaderMap::new(), lifetimes(60, 0, 0));
            assert_eq!(kept.headers()["date"], "Sun, 06 Nov 1994 08:49:37 GMT", "RFC 9110 section 6.6.1");
            assert_eq!(kept.date(), NOW);
        }
    }

    #[test]
    fn the_size_grows_with_the_text() {
        let size =
            |text: &str| stored(&[("x", text)], &HeaderMap::new(), lifetimes(1, 0, 0)).approximate_bytes();
        assert_eq!(size("123456") - size("12"), 4, "every byte of a value counts");
    }
}
