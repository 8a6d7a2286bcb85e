//! What a host sees of a request, for its line in the access log.

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Uri, header};
use selvedge_core::device::DeviceClass;
use selvedge_core::facts::Facts;
use selvedge_core::hex;
use selvedge_core::time::Timestamp;

use crate::access::{Access, MAX_PATH_BYTES, MAX_TEXT_BYTES, cut};

/// Most variations of one response that the log tells.
const MAX_VARIATIONS: usize = 32;

/// A request as it came.
#[derive(Debug)]
pub struct Asked {
    time: Timestamp,
    method: String,
    uri: Uri,
    host: Option<String>,
    user_agent: Option<String>,
    device: DeviceClass,
    country: Option<String>,
    protocol: Option<String>,
}

/// What the effects of a request show about it.
#[derive(Debug, Default)]
pub struct Seen {
    variations: RefCell<Vec<(Arc<str>, Arc<str>)>>,
    origin: Cell<Option<Duration>>,
}

impl Asked {
    /// Keeps of a request's head what its line tells; `now` is the machine's time.
    pub fn of<B>(request: &Request<B>, facts: &Facts, now: Timestamp) -> Self {
        let headers = request.headers();
        Self {
            time: now,
            method: cut(request.method().as_str(), MAX_TEXT_BYTES).to_owned(),
            uri: request.uri().clone(),
            host: host(request.uri(), headers),
            user_agent: headers.get(header::USER_AGENT).map(|agent| text(agent.as_bytes())),
            device: DeviceClass::classify(headers),
            country: facts.country.map(|country| country.to_string()),
            protocol: facts.protocol.clone(),
        }
    }

    /// Begins its line, with the id under which backends and handlers know it. The query is not in it.
    #[must_use]
    pub fn access(&self, request_id: &[u8]) -> Access<'_> {
        Access {
            request_id: hex::encode(request_id).into(),
            method: self.method.as_str().into(),
            host: self.host.as_deref().map(Cow::Borrowed),
            path: cut(self.uri.path(), MAX_PATH_BYTES).into(),
            protocol: self.protocol.as_deref().map(Cow::Borrowed),
            country: self.country.as_deref().map(Cow::Borrowed),
            device: Some(self.device.as_str()),
            user_agent: self.user_agent.as_deref().map(Cow::Borrowed),
            ..Access::at(self.time)
        }
    }

    /// Returns the query, which may hold secrets.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }
}

impl Seen {
    /// Takes note of a variation that the response shows.
    pub fn on_exposure(&self, experiment: &Arc<str>, variation: &Arc<str>) {
        let mut variations = self.variations.borrow_mut();
        if variations.len() < MAX_VARIATIONS {
            variations.push((Arc::clone(experiment), Arc::clone(variation)));
        }
    }

    /// Takes note of the wait for a backend.
    pub fn on_fetched(&self, waited: Duration) {
        self.origin.set(Some(self.origin().unwrap_or_default() + waited));
    }

    /// Returns the experiments and their variations.
    #[must_use]
    pub fn variations(&self) -> Ref<'_, Vec<(Arc<str>, Arc<str>)>> {
        self.variations.borrow()
    }

    /// Returns the wait for backends; `None` when none was asked.
    #[must_use]
    pub fn origin(&self) -> Option<Duration> {
        self.origin.get()
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
    use super::*;

    fn asked(uri: &str, headers: &[(&'static str, &str)]) -> Asked {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Asked::of(&request, &Facts::default(), Timestamp::from_millis(0))
    }

    #[test]
    fn a_line_begins_without_query_credentials_and_cookies() {
        let headers = [
            ("host", "ada:s3cret@shop.example"),
            ("cookie", "session=s3cret"),
            ("authorization", "Bearer s3cret"),
            ("user-agent", "agent"),
        ];
        for uri in ["/a?token=s3cret", "https://ada:s3cret@shop.example/a?token=s3cret"] {
            let asked = asked(uri, &headers);
            let line = String::from_utf8(asked.access(&[0x0a, 0xff]).to_line()).unwrap();
            assert!(!line.contains("s3cret"), "{line}");
            for part in [
                r#""host":"shop.example""#,
                r#""path":"/a""#,
                r#""request_id":"0aff""#,
                r#""user_agent":"agent""#,
            ] {
                assert!(line.contains(part), "{part} in {line}");
            }
            assert_eq!(asked.query(), Some("token=s3cret"));
        }
    }

    #[test]
    fn what_a_client_wrote_is_cut_at_its_bounds() {
        let (path, agent) = (format!("/{}", "x".repeat(5000)), "é".repeat(300));
        let asked = asked(&path, &[("user-agent", &agent), ("host", &agent)]);
        let access = asked.access(&[]);
        assert_eq!(access.path.len(), MAX_PATH_BYTES);
        assert_eq!(access.user_agent.as_deref(), Some("é".repeat(128).as_str()));
        assert_eq!(access.host.map(|host| host.len()), Some(MAX_TEXT_BYTES));
    }

    #[test]
    fn waits_for_backends_add_up_and_variations_have_a_bound() {
        let seen = Seen::default();
        assert_eq!(seen.origin(), None, "nobody was asked");
        seen.on_fetched(Duration::from_millis(2));
        seen.on_fetched(Duration::from_millis(3));
        assert_eq!(seen.origin(), Some(Duration::from_millis(5)));
        for _ in 0..=MAX_VARIATIONS {
            seen.on_exposure(&"hero".into(), &"bold".into());
        }
        assert_eq!(seen.variations().len(), MAX_VARIATIONS);
    }
}
