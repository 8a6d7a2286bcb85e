//! Answers of the edge itself that hold for every request which is the same in what the policy can read.

use std::collections::HashMap;
use std::mem;

use http::header;
use selvedge_core::engine::{Answer, Engine};
use selvedge_core::facts::Fact;
use spin_sdk::wasip3::http::types::Method;

use crate::facts::Trust;
use crate::request::Incoming;

/// Requests whose answers are remembered, twice as many at most.
const MAX_REMEMBERED: usize = 256;

/// Longest request in part that is remembered, in bytes.
const MAX_PART_BYTES: usize = 2048;

/// Longest body that is remembered, in bytes.
const MAX_BODY_BYTES: usize = 4096;

/// What of a request can change an answer that needs no effect.
pub(crate) struct Reads {
    /// Names of fields, in order.
    names: Vec<String>,
    max_header_bytes: u64,
    /// Whether no answer names the request itself.
    answers_repeat: bool,
}

/// Everything of a request that [`Reads`] names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Part(Vec<u8>);

/// What is remembered; the older half is forgotten when there is too much.
pub(crate) struct Remembered<T> {
    recent: HashMap<Part, T>,
    earlier: HashMap<Part, T>,
}

impl Reads {
    pub(crate) fn of(engine: &Engine, trust: Trust, has_database: bool) -> Self {
        let interest = engine.interest();
        let mut names = interest.headers;
        let needs_address = has_database || interest.facts.has(Fact::ClientIp);
        names.extend(trust.sources(needs_address).map(str::to_owned));
        names.sort_unstable();
        names.dedup();
        let max_header_bytes = engine.policy().limits.max_header_bytes;
        Self { names, max_header_bytes, answers_repeat: !interest.request_id }
    }

    /// Returns the part of a request that its answer can depend on; `None` when it is not one to remember.
    pub(crate) fn part(&self, incoming: &Incoming) -> Option<Part> {
        let method = match incoming.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post
            | Method::Put
            | Method::Delete
            | Method::Connect
            | Method::Options
            | Method::Trace
            | Method::Patch
            | Method::Other(_) => return None,
        };
        let path = incoming.path.as_deref()?;
        let mut part = Vec::with_capacity(MAX_PART_BYTES / 4);
        part.extend_from_slice(method.as_bytes());
        part.push(b' ');
        part.extend_from_slice(path.as_bytes());
        let mut bytes = 0;
        for (name, value) in &incoming.fields {
            bytes += name.len() + value.len();
            if self.names.binary_search(name).is_ok() {
                // Neither a path nor a field has a line break.
                part.push(b'\n');
                part.extend_from_slice(name.as_bytes());
                part.push(b':');
                part.extend_from_slice(value);
            }
        }
        let is_within_limits = u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.max_header_bytes);
        (is_within_limits && part.len() <= MAX_PART_BYTES).then_some(Part(part))
    }

    /// Whether an answer holds for everybody whose request has the same part.
    pub(crate) fn is_anybodys(&self, answer: &Answer) -> bool {
        self.answers_repeat
            && answer.records.is_empty()
            && !answer.response.headers().contains_key(header::SET_COOKIE)
            && answer.response.body().len().is_some_and(|length| length <= MAX_BODY_BYTES)
    }
}

impl<T> Remembered<T> {
    pub(crate) fn recall(&mut self, part: &Part) -> Option<&T> {
        if !self.recent.contains_key(part) {
            let (part, earlier) = self.earlier.remove_entry(part)?;
            self.remember(part, earlier);
        }
        self.recent.get(part)
    }

    pub(crate) fn remember(&mut self, part: Part, kept: T) {
        if self.recent.len() >= MAX_REMEMBERED {
            self.earlier = mem::take(&mut self.recent);
        }
        self.recent.insert(part, kept);
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { recent: HashMap::new(), earlier: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    /// A visitor: programs are in no experiment.
    const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    fn reads(policy: &str, has_database: bool) -> Reads {
        let policy = read(policy).unwrap_or_else(|errors| panic!("{policy}: {errors}"));
        let trust = Trust::of(&policy);
        Reads::of(&Engine::compile(policy).expect("the policy compiles"), trust, has_database)
    }

    fn incoming(path: &str, fields: &[(&str, &str)]) -> Incoming {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Incoming { method: Method::Get, path: Some(path.to_owned()), fields: fields.collect() }
    }

    /// Whether two requests may get one answer.
    fn are_alike(reads: &Reads, one: &Incoming, other: &Incoming) -> bool {
        reads.part(one).expect("a part") == reads.part(other).expect("a part")
    }

    #[test]
    fn requests_that_differ_in_what_can_be_read_are_not_alike() {
        let cookies = "[[routes]]\npath = \"/\"\nwhen = { cookies = { a = \"*\" } }\nrespond = {}";
        let address = "[[routes]]\npath = \"/\"\nrespond = { body = \"{client-ip}\" }";
        let rows = [
            ("", ("user-agent", "curl/8"), ("user-agent", "wget/1"), false),
            ("", ("spin-full-url", "http://a.test/"), ("spin-full-url", "https://a.test/"), false),
            ("", ("cookie", "a=1"), ("cookie", "a=2"), true),
            (cookies, ("cookie", "a=1"), ("cookie", "a=2"), false),
            ("", ("spin-client-addr", "192.0.2.1:1"), ("spin-client-addr", "192.0.2.2:1"), true),
            (address, ("spin-client-addr", "192.0.2.1:1"), ("spin-client-addr", "192.0.2.2:1"), false),
            (
                "[spin]\nfront = \"akamai\"",
                ("x-akamai-edgescape", "city=A"),
                ("x-akamai-edgescape", "city=B"),
                false,
            ),
            ("", ("x-akamai-edgescape", "city=A"), ("x-akamai-edgescape", "city=B"), true),
        ];
        for (policy, one, other, expected) in rows {
            let found = are_alike(&reads(policy, false), &incoming("/", &[one]), &incoming("/", &[other]));
            assert_eq!(found, expected, "{policy} {one:?} {other:?}");
        }
        let (one, other) = (("spin-client-addr", "192.0.2.1:1"), ("spin-client-addr", "192.0.2.2:1"));
        let found = are_alike(&reads("", true), &incoming("/", &[one]), &incoming("/", &[other]));
        assert!(!found, "the database is asked about the address");
    }

    #[test]
    fn method_path_order_and_repetition_tell_requests_apart() {
        let reads = reads("", false);
        let fields = [("user-agent", "a"), ("accept", "b")];
        let one = incoming("/a?b", &fields);
        assert!(are_alike(&reads, &one, &incoming("/a?b", &fields)));
        assert!(!are_alike(&reads, &one, &incoming("/a?c", &fields)));
        assert!(!are_alike(&reads, &one, &incoming("/a?b", &[fields[0], fields[1], fields[1]])));
        assert!(!are_alike(&reads, &one, &incoming("/a?b", &[("user-agent", "a\u{20}accept:b")])));
        let head = Incoming { method: Method::Head, ..incoming("/a?b", &fields) };
        assert!(!are_alike(&reads, &one, &head));
    }

    #[test]
    fn what_is_seldom_repeated_or_too_long_is_not_remembered() {
        let reads = reads("limits.max-header-bytes = 2000", false);
        let long = "a".repeat(2000);
        let rows = [
            Incoming { method: Method::Post, ..incoming("/", &[]) },
            Incoming { path: None, ..incoming("/", &[]) },
            incoming(&format!("/{long}{long}"), &[]),
            incoming("/", &[("x-nobody-reads-it", &long)]),
        ];
        for row in rows {
            assert_eq!(reads.part(&row), None, "{:?}", row.method);
        }
    }

    #[test]
    fn an_answer_with_a_record_a_cookie_or_the_requests_id_is_one_requests_own() {
        let answer = |reads: &Reads, policy: &str| {
            let engine = Engine::compile(read(policy).expect("a policy")).expect("it compiles");
            let request = http::Request::builder()
                .uri("/")
                .header("host", "a.test")
                .header("user-agent", BROWSER)
                .header("accept-language", "en")
                .header("accept", "*/*")
                .body(selvedge_core::body::Body::Empty);
            let now = selvedge_core::time::Timestamp::from_millis(0);
            let answer = engine.answer_alone(
                request.expect("a request"),
                selvedge_core::facts::Facts::default(),
                [0; 16],
                selvedge_core::transaction::Omitted::default(),
                now,
            );
            reads.is_anybodys(&answer.expect("an answer"))
        };
        let long = format!(
            "[[routes]]\npath = \"/\"\nrespond = {{ body = \"{}\" }}",
            "a".repeat(MAX_BODY_BYTES + 1)
        );
        let rows = [
            ("[[routes]]\npath = \"/\"\nrespond = { body = \"a\" }", true),
            ("[[routes]]\npath = \"/\"\nrespond = { body = \"{request-id}\" }", false),
            (
                "[experiments.e]\nvariations = [{ name = \"a\" }, { name = \"b\" }]\n\
                 [[routes]]\npath = \"/\"\nrespond = { body = \"a\" }",
                false,
            ),
            (long.as_str(), false),
        ];
        for (policy, expected) in rows {
            assert_eq!(answer(&reads(policy, false), policy), expected, "{policy}");
        }
    }

    #[test]
    fn what_was_not_asked_for_lately_is_forgotten() {
        let mut remembered = Remembered::default();
        let part = |at: usize| Part(at.to_string().into_bytes());
        for at in 0..10 * MAX_REMEMBERED {
            remembered.remember(part(at), at);
            assert_eq!(remembered.recall(&part(0)).copied(), Some(0), "{at}");
        }
        assert!(remembered.recent.len() + remembered.earlier.len() <= 2 * MAX_REMEMBERED);
        assert_eq!(remembered.recall(&part(1)), None);
        assert_eq!(remembered.recall(&part(10 * MAX_REMEMBERED - 1)).copied(), Some(10 * MAX_REMEMBERED - 1));
    }
}
