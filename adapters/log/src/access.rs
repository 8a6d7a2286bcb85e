//! The access log: one line for each request.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use selvedge_core::policy::Policy;
use selvedge_core::reason::{Reason, Summary};
use selvedge_core::time::Timestamp;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::escape::escape;

/// Most bytes of a path or a query in a line; what is longer is cut.
pub const MAX_PATH_BYTES: usize = 2048;
/// Most bytes of any other text that a client chose, such as its user agent; what is longer is cut.
pub const MAX_TEXT_BYTES: usize = 256;

/// What tells the line from others in the same log.
pub(crate) const MEMBERS: &[u8] = br#""level":"INFO","selvedge":"access""#;

/// One request, as the access log has it.
///
/// What is `None` is not in the line. Nothing of a request's cookies or credentials is ever part of it.
///
/// # Examples
/// ```
/// use selvedge_core::time::Timestamp;
/// use selvedge_log::access::Access;
///
/// let access = Access { method: "GET".into(), status: Some(204), ..Access::at(Timestamp::from_millis(1)) };
/// let line = String::from_utf8(access.to_line())?;
/// assert!(line.starts_with(r#"{"level":"INFO","selvedge":"access","time":"1970-01-01T00:00:00.001Z","#));
/// assert!(line.ends_with("}\n"));
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Access<'a> {
    /// When the request's head was there.
    #[serde(serialize_with = "rfc3339")]
    pub time: Timestamp,
    /// The id under which backends and handlers know the request.
    pub request_id: Cow<'a, str>,
    /// The trace that the request belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Cow<'a, str>>,
    /// The edge's own part of that trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<Cow<'a, str>>,
    /// The method.
    pub method: Cow<'a, str>,
    /// The host that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Cow<'a, str>>,
    /// The path, without the query.
    pub path: Cow<'a, str>,
    /// As much of the query as may be in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Cow<'a, str>>,
    /// The protocol between client and edge, such as `HTTP/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Cow<'a, str>>,
    /// The response's status; `None` when the client went away before there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes of the response's body that were handed to the connection; `None` where the platform passes the body on by itself
    /// and nobody said how long it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// From the request's head to the response's head.
    #[serde(rename = "head_ms", serialize_with = "millis", skip_serializing_if = "Option::is_none")]
    pub head: Option<Duration>,
    /// Of that, the time during which at least one backend was waited for; `None` where none was asked.
    #[serde(rename = "origin_ms", serialize_with = "millis", skip_serializing_if = "Option::is_none")]
    pub origin: Option<Duration>,
    /// Of that, the time during which the cache's store was waited for; `None` where it was not asked.
    #[serde(rename = "cache_ms", serialize_with = "millis", skip_serializing_if = "Option::is_none")]
    pub cache_lookup: Option<Duration>,
    /// From the request's head to the end of the response's body; `None` where the platform does not show the end.
    #[serde(rename = "duration_ms", serialize_with = "millis", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Whether the response broke off before its end, on whichever side; `None` where the platform does not show the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted: Option<bool>,
    /// Code of the reason why the response is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// Code of the reason that says what the cache had to do with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<&'static str>,
    /// The response's `Cache-Status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_status: Option<Cow<'a, str>>,
    /// Name of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// Name of the backend that answered, or failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<&'a str>,
    /// Code of the last reason for which a backend did not answer though something else did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_over: Option<&'static str>,
    /// How many requests to backends there were, where it was more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The client's bot category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot: Option<&'static str>,
    /// Names of the experiments that the response shows, each with its variation.
    #[serde(serialize_with = "pairs", skip_serializing_if = "<[_]>::is_empty")]
    pub variations: &'a [(Arc<str>, Arc<str>)],
    /// The client's country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<Cow<'a, str>>,
    /// The client's kind of device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<&'static str>,
    /// The client's address, which is personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Cow<'a, str>>,
}

impl<'a> Access<'a> {
    /// Adds what the policy decided.
    #[must_use]
    pub fn decided(self, summary: Summary, policy: &'a Policy) -> Self {
        Self {
            outcome: Some(summary.reason.code()),
            cache: summary.cache.map(Reason::code),
            route: summary.route.map(|route| policy.route(route).name.as_str()),
            backend: summary.backend.map(|backend| policy.backend(backend).name.as_str()),
            failed_over: summary.failed_over.map(Reason::code),
            attempts: Some(summary.attempts).filter(|attempts| *attempts > 1),
            bot: summary.bot.map(|bot| bot.as_str()),
            ..self
        }
    }
}

impl Access<'_> {
    /// A request of which nothing is known but its time.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self {
            time,
            request_id: Cow::Borrowed(""),
            trace_id: None,
            span_id: None,
            method: Cow::Borrowed(""),
            host: None,
            path: Cow::Borrowed(""),
            query: None,
            protocol: None,
            status: None,
            bytes_out: None,
            head: None,
            origin: None,
            cache_lookup: None,
            duration: None,
            aborted: None,
            outcome: None,
            cache: None,
            cache_status: None,
            route: None,
            backend: None,
            failed_over: None,
            attempts: None,
            bot: None,
            variations: &[],
            country: None,
            device: None,
            address: None,
            user_agent: None,
        }
    }

    /// Writes it as a line of JSON, with its line break.
    ///
    /// # Panics
    /// Never: every part of it is text or a number.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        line.push(b'{');
        line.extend_from_slice(MEMBERS);
        append(&mut line, self);
        line.push(b'\n');
        line
    }
}

/// Adds the members of an object to one that has some and has not ended, and ends it.
pub(crate) fn append(line: &mut Vec<u8>, object: &impl Serialize) {
    let at = line.len();
    serde_json::to_writer(&mut *line, object).expect("texts and numbers are JSON, and memory takes them");
    line[at] = b',';
    escape(line);
}

/// Cuts a text to at most `max_bytes`, between two characters.
#[must_use]
pub fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// Keeps of a query the names of its parameters, which say what was asked for and seldom a secret.
#[must_use]
pub fn query_names(query: &str) -> String {
    let names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    names.collect::<Vec<_>>().join("&")
}

/// Writes a time as [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339) has it, in UTC with milliseconds.
///
/// HTTP's form of a date has the same parts in other places.
fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = time.to_http_date();
    let month = (1..).zip(MONTHS).find(|(_, name)| *name == &date[8..11]).map_or(0, |(month, _)| month);
    let (year, day, clock, millis) = (&date[12..16], &date[5..7], &date[17..25], time.as_millis() % 1000);
    serializer.collect_str(&format_args!("{year}-{month:02}-{day}T{clock}.{millis:03}Z"))
}

/// Writes a time in milliseconds, to the microsecond.
#[expect(clippy::cast_precision_loss, reason = "microseconds of centuries fit a double")]
#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
fn millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = time.unwrap_or_default().as_micros();
    serializer.serialize_f64(micros as f64 / 1000.0)
}

fn pairs<S: Serializer>(pairs: &&[(Arc<str>, Arc<str>)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (name, value) in *pairs {
        map.serialize_entry(&**name, &**value)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(access: &Access<'_>) -> Value {
        serde_json::from_slice(&access.to_line()).expect("a line of JSON")
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        let rows = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_798_761_599_999, "2026-12-31T23:59:59.999Z"),
        ];
        for (millis, expected) in rows {
            assert_eq!(read(&Access::at(Timestamp::from_millis(millis)))["time"], expected);
        }
    }

    #[test]
    fn a_line_has_what_is_known_and_stays_one_line() {
        let variations = [("hero".into(), "bold\n".into())];
        let access = Access {
            path: "/a\n\"b\"".into(),
            duration: Some(Duration::from_micros(1_234)),
            variations: &variations,
            ..Access::at(Timestamp::from_millis(0))
        };
        let line = access.to_line();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "what a client writes is escaped");
        let expected = json!({
            "level": "INFO", "selvedge": "access", "time": "1970-01-01T00:00:00.000Z", "request_id": "",
            "method": "", "path": "/a\n\"b\"", "duration_ms": 1.234,
            "variations": { "hero": "bold\n" },
        });
        assert_eq!(read(&access), expected);
    }

    #[test]
    fn a_query_keeps_its_names_and_a_cut_its_characters() {
        let rows = [("", ""), ("a", "a"), ("a=1&b=2=3&c", "a&b&c"), ("token=s3cret&=x", "token&")];
        for (query, names) in rows {
            assert_eq!(query_names(query), names, "{query}");
        }
        assert_eq!((cut("äöü", 3), cut("äöü", 4), cut("a", 9)), ("ä", "äö", "a"));
    }
}
