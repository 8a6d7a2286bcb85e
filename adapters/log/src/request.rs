//! What a host sees of a request, for its line in the access log.

use std::borrow::Cow;
use std::cell::{Ref, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Uri, header};
use selvedge_core::device::DeviceClass;
use selvedge_core::facts::Facts;
use selvedge_core::hex;
use selvedge_core::log::{Log, LogQuery};
use selvedge_core::time::Timestamp;

use crate::access::{Access, MAX_PATH_BYTES, MAX_TEXT_BYTES, cut, query_names};
use crate::waits::{Clock, Waits};

/// Most variations of one response that the log tells.
const MAX_VARIATIONS: usize = 32;

/// A request as it came.
#[derive(Debug)]
pub struct Asked {
    time: Timestamp,
    method: String,
    path: String,
    host: Option<String>,
    query: Option<String>,
    address: Option<IpAddr>,
    user_agent: Option<String>,
    device: DeviceClass,
    country: Option<String>,
    protocol: Option<String>,
}

/// What the effects of a request show about it.
#[derive(Debug)]
pub struct Seen {
    variations: RefCell<Vec<(Arc<str>, Arc<str>)>>,
    /// The waits for backends.
    pub origin: Rc<Waits>,
    /// The waits for the cache's store.
    pub cache: Rc<Waits>,
}

impl Asked {
    /// Keeps of a request's head what its line tells, and of the client no more than is allowed; `now` is the machine's time.
    pub fn of<B>(request: &Request<B>, facts: &Facts, log: Log, now: Timestamp) -> Self {
        let headers = request.headers();
        Self {
            time: now,
            method: cut(request.method().as_str(), MAX_TEXT_BYTES).to_owned(),
            path: cut(request.uri().path(), MAX_PATH_BYTES).to_owned(),
            host: host(request.uri(), headers),
            query: request.uri().query().and_then(|query| kept(log.query, query)),
            address: facts.client_ip.filter(|_| log.client_address),
            user_agent: headers
                .get(header::USER_AGENT)
                .filter(|_| log.user_agent)
                .map(|agent| text(agent.as_bytes())),
            device: DeviceClass::classify(headers),
            country: facts.country.map(|country| country.to_string()),
            protocol: facts.protocol.clone(),
        }
    }

    /// Begins its line, with the id under which backends and handlers know it.
    #[must_use]
    pub fn access(&self, request_id: &[u8]) -> Access<'_> {
        Access {
            request_id: hex::encode(request_id).into(),
            method: self.method.as_str().into(),
            host: self.host.as_deref().map(Cow::Borrowed),
            path: self.path.as_str().into(),
            query: self.query.as_deref().map(Cow::Borrowed),
            protocol: self.protocol.as_deref().map(Cow::Borrowed),
            country: self.country.as_deref().map(Cow::Borrowed),
            device: Some(self.device.as_str()),
            address: self.address,
            user_agent: self.user_agent.as_deref().map(Cow::Borrowed),
            ..Access::at(self.time)
        }
    }
}

impl Seen {
    /// Begins without anything.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let waits = || Rc::new(Waits::new(clock));
        Self { variations: RefCell::default(), origin: waits(), cache: waits() }
    }

    /// Takes note of a variation that the response shows.
    pub fn on_exposure(&self, experiment: &Arc<str>, variation: &Arc<str>) {
        let mut variations = self.variations.borrow_mut();
        if variations.len() < MAX_VARIATIONS {
            variations.push((Arc::clone(experiment), Arc::clone(variation)));
        }
    }

    /// Returns the experiments and their variations.
    #[must_use]
    pub fn variations(&self) -> Ref<'_, Vec<(Arc<str>, Arc<str>)>> {
        self.variations.borrow()
    }
}

/// What of a query may be in the line.
fn kept(allowed: LogQuery, query: &str) -> Option<String> {
    match allowed {
        LogQuery::Omit => None,
        LogQuery::Names => Some(cut(&query_names(query), MAX_PATH_BYTES).to_owned()),
        LogQuery::Whole => Some(cut(query, MAX_PATH_BYTES).to_owned()),
    }
}

/// The host that was asked for. Before the `@` are credentials.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| headers.get(header::HOST).map(HeaderValue::as_bytes));
    host.and_then(|host| host.rsplit(|byte| *byte == b'@').next()).map(text)
}

/// The beginning of a header's value, with a sign in the place of what is no text.
fn text(value: &[u8]) -> String {
    let beginning = &value[..value.len().min(MAX_TEXT_BYTES)];
    cut(&String::from_utf8_lossy(beginning), MAX_TEXT_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOTHING: Log = Log { client_address: false, query: LogQuery::Omit, user_agent: false };
    const AGENT: Log = Log { user_agent: true, ..NOTHING };

    fn asked(uri: &str, headers: &[(&'static str, &str)], log: Log) -> Asked {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut facts = Facts::default();
        facts.client_ip = Some([192, 0, 2, 7].into());
        Asked::of(&request, &facts, log, Timestamp::from_millis(0))
    }

    #[test]
    fn a_line_begins_without_query_credentials_cookies_and_personal_data() {
        let headers = [
            ("host", "ada:s3cret@shop.example"),
            ("cookie", "session=s3cret"),
            ("authorization", "Bearer s3cret"),
            ("user-agent", "s3cret agent"),
        ];
        for uri in ["/a?token=s3cret", "https://ada:s3cret@shop.example/a?token=s3cret"] {
            let asked = asked(uri, &headers, NOTHING);
            let line = String::from_utf8(asked.access(&[0x0a, 0xff]).to_line()).unwrap();
            for secret in ["s3cret", "192.0.2.7", "token"] {
                assert!(!line.contains(secret), "{line}");
            }
            for part in [r#""host":"shop.example""#, r#""path":"/a""#, r#""request_id":"0aff""#] {
                assert!(line.contains(part), "{part} in {line}");
            }
        }
    }

    #[test]
    fn what_a_policy_allows_is_in_the_line_and_nothing_else() {
        let long = format!("/a?{}", "a".repeat(9000));
        let (names, whole) = (LogQuery::Names, LogQuery::Whole);
        let rows = [
            ("/a?b=1&c", NOTHING, None, None, None),
            ("/a?b=1&c", Log { query: names, ..NOTHING }, Some("b&c"), None, None),
            ("/a?b=1&c", Log { query: whole, ..NOTHING }, Some("b=1&c"), None, None),
            ("/a", Log { query: whole, ..NOTHING }, None, None, None),
            (&long, Log { query: whole, ..NOTHING }, Some(&long[3..3 + MAX_PATH_BYTES]), None, None),
            ("/a?b=1&c", Log { client_address: true, ..NOTHING }, None, Some([192, 0, 2, 7]), None),
            ("/a?b=1&c", AGENT, None, None, Some("agent")),
        ];
        for (uri, log, query, address, agent) in rows {
            let asked = asked(uri, &[("user-agent", "agent")], log);
            let Access { query: query_told, address: address_told, user_agent, .. } = asked.access(&[]);
            assert_eq!(query_told.as_deref(), query, "{log:?}");
            assert_eq!((address_told, user_agent.as_deref()), (address.map(Into::into), agent), "{log:?}");
        }
    }

    #[test]
    fn what_a_client_wrote_is_cut_at_its_bounds_and_obeyed_by_no_terminal() {
        let (path, agent) = (format!("/{}", "x".repeat(5000)), "é".repeat(300));
        let asked_long = asked(&path, &[("user-agent", &agent), ("host", &agent)], AGENT);
        let access = asked_long.access(&[]);
        assert_eq!(access.path.len(), MAX_PATH_BYTES);
        assert_eq!(access.user_agent.as_deref(), Some("é".repeat(128).as_str()));
        assert_eq!(access.host.map(|host| host.len()), Some(MAX_TEXT_BYTES));
        let hostile = "\u{9b}31m\u{202e}";
        let asked = asked("/\u{9b}2J", &[("user-agent", hostile), ("host", hostile)], AGENT);
        let line = String::from_utf8(asked.access(&[]).to_line()).unwrap();
        let escaped = r#""\u009b31m\u202e""#;
        assert!(line.trim_end().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
        assert_eq!(line.matches(escaped).count(), 2, "{line:?}");
    }

    #[test]
    fn waits_are_told_apart_and_variations_have_a_bound() {
        let seen = Seen::new(|| Duration::ZERO);
        drop(seen.origin.begin());
        assert_eq!((seen.origin.total(), seen.cache.total()), (Some(Duration::ZERO), None));
        for _ in 0..=MAX_VARIATIONS {
            seen.on_exposure(&"hero".into(), &"bold".into());
        }
        assert_eq!(seen.variations().len(), MAX_VARIATIONS);
    }
}
