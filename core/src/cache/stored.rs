//! A stored response without its body, and its age.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::control::read_delta_seconds;
use super::lifetime::{Lifetimes, OriginDirectives, date_value};
use super::vary::{SelectingHeader, Vary, select};
use crate::time::Timestamp;

/// Fields that concern one connection or one client's proxy and are never stored,
/// [RFC 9111 section 3.1](https://www.rfc-editor.org/rfc/rfc9111#section-3.1).
static NEVER_STORED: [HeaderName; 10] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    // What the age was on arrival is part of `initial_age`.
    header::AGE,
];

/// The head of a stored response and what is needed to decide about its reuse.
///
/// It never changes; share it in an `Arc`. The body is kept beside it by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResponse(StoredParts);

/// Everything that a [`StoredResponse`] holds, for the form in which it crosses a boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredParts {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) vary: Vec<SelectingHeader>,
    pub(crate) lifetimes: Lifetimes,
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
    /// Surrogate tags.
    pub tags: Vec<String>,
    /// When the request left the edge.
    pub request_time: Timestamp,
    /// When the response's head arrived.
    pub response_time: Timestamp,
}

impl StoredResponse {
    /// Makes the stored form of a response. `Set-Cookie` is never a part of it.
    ///
    /// A missing or unreadable `Date` becomes the time of arrival,
    /// [RFC 9110 section 6.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1).
    #[must_use]
    pub fn new(arrival: Arrival<'_>) -> Self {
        let Arrival { status, mut headers, request, lifetimes, tags, request_time, response_time } = arrival;
        let vary = select(Vary::parse(&headers).names(), request);
        let initial_age = initial_age(&headers, request_time, response_time);
        let date = date_value(&headers).unwrap_or_else(|| stamp(&mut headers, response_time));
        remove_unstored(&mut headers);
        Self(StoredParts {
            status,
            headers,
            vary,
            lifetimes,
            tags,
            date,
            request_time,
            response_time,
            initial_age,
        })
    }

    pub(crate) fn to_parts(&self) -> StoredParts {
        self.0.clone()
    }

    pub(crate) fn from_parts(parts: StoredParts) -> Self {
        Self(parts)
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Returns the headers that are kept; `Age` is not among them.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// Returns the request headers that selected this response.
    #[must_use]
    pub fn vary(&self) -> &[SelectingHeader] {
        &self.0.vary
    }

    /// Returns the lifetimes.
    #[must_use]
    pub fn lifetimes(&self) -> Lifetimes {
        self.0.lifetimes
    }

    /// Returns the surrogate tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.0.tags
    }

    /// Returns when the origin made the response, by its own clock.
    #[must_use]
    pub fn date(&self) -> Timestamp {
        self.0.date
    }

    /// Returns when the request for it left the edge.
    #[must_use]
    pub fn request_time(&self) -> Timestamp {
        self.0.request_time
    }

    /// Returns when it arrived at the edge.
    #[must_use]
    pub fn response_time(&self) -> Timestamp {
        self.0.response_time
    }

    /// Returns the current age,
    /// [RFC 9111 section 4.2.3](https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3).
    ///
    /// It never falls while `now` rises. A `now` before the arrival counts as the arrival.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        self.0.initial_age.saturating_add(now.saturating_since(self.0.response_time))
    }

    /// Returns how long after its arrival the response may be of use; zero when it arrived too old.
    #[must_use]
    pub fn keep(&self) -> Duration {
        self.0.lifetimes.useful().saturating_sub(self.0.initial_age)
    }

    /// Returns about how many bytes the head takes in memory, for a store's accounts.
    #[must_use]
    pub fn approximate_bytes(&self) -> usize {
        let headers = self.0.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        let vary = self.0.vary.iter().map(|header| header.value.as_deref().map_or(0, <[u8]>::len));
        let tags = self.0.tags.iter().map(String::len);
        let entries = self.0.headers.len() + self.0.vary.len() + self.0.tags.len();
        headers.chain(vary).chain(tags).sum::<usize>() + entries * ENTRY_BYTES + size_of::<Self>()
    }
}

/// What a header, selecting header or tag takes beside its text.
const ENTRY_BYTES: usize = 96;

/// Computes `corrected_initial_age`.
fn initial_age(headers: &HeaderMap, request_time: Timestamp, response_time: Timestamp) -> Duration {
    let date = date_value(headers).unwrap_or(response_time);
    // Date has whole seconds: without rounding down, half a second of clock would count as age.
    let arrival = Timestamp::from_millis(response_time.as_millis() / 1000 * 1000);
    let apparent_age = arrival.saturating_since(date);
    let response_delay = response_time.saturating_since(request_time);
    apparent_age.max(age_value(headers).saturating_add(response_delay))
}

/// Reads `Age`: the first member counts, and nothing else than delta-seconds does,
/// [RFC 9111 section 5.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.1).
pub(super) fn age_value(headers: &HeaderMap) -> Duration {
    let first = headers.get(header::AGE).and_then(|value| value.as_bytes().split(|&b| b == b',').next());
    first.and_then(|digits| read_delta_seconds(digits.trim_ascii())).unwrap_or_default()
}

fn stamp(headers: &mut HeaderMap, now: Timestamp) -> Timestamp {
    let date = HeaderValue::from_str(&now.to_http_date()).expect("an HTTP-date is ASCII");
    headers.insert(header::DATE, date);
    now
}

fn remove_unstored(headers: &mut HeaderMap) {
    let control = OriginDirectives::read(headers).control;
    let listed = connection_options(headers);
    let named = control.no_cache.fields().iter().chain(control.private.fields());
    for name in NEVER_STORED.iter().chain(&listed).chain(named).chain([&header::SET_COOKIE]) {
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
                age_on_arrival_millis: 0,
                why: "5.1: invalid is ignored",
            },
            Aged {
                fields: &[AT_NOW, ("age", "7.5")],
                response_delay_millis: 0,
                age_on_arrival_millis: 0,
                why: "5.1: invalid is ignored",
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
        assert_eq!(kept.headers(), &expected, "RFC 9111 sections 3.1, 5.2.2.4 and 5.2.2.7");
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
