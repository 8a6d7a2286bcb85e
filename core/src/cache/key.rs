//! What a cache key is made of.

use std::fmt::Write as _;

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::headers::cookies;
use crate::target::{QuerySelection, Target};

/// The parts of a request that tell its responses apart, beside host and path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRule {
    /// Query parameters.
    pub query: QuerySelection,
    /// Request headers, by lower-case name.
    pub headers: Vec<String>,
    /// Cookies.
    pub cookies: Vec<String>,
    /// Facts about the client.
    pub facts: Vec<KeyFact>,
    /// Whether `Cache-Status` shows the key.
    pub is_shown: bool,
}

/// A fact that can be part of a cache key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyFact {
    /// The country code.
    Country,
    /// The continent code.
    Continent,
    /// The subdivision code.
    Region,
    /// The city name.
    City,
    /// The device class.
    Device,
    /// The bot category.
    Bot,
}

/// Writes a cache key: one line for the URL and one for each further part.
///
/// The text is ASCII and injective: no two different selections give the same
/// key, because a line cannot hold a line break and names what it is about.
#[derive(Debug)]
pub(crate) struct KeyWriter {
    key: String,
}

impl KeyWriter {
    /// Starts a key with the URL; `GET` and `HEAD` share it.
    pub(crate) fn new(scheme: &str, target: &Target, query: &str) -> Self {
        let mut key = String::with_capacity(64 + target.path().len() + query.len());
        for part in [scheme, "://", target.host()] {
            key.push_str(part);
        }
        if let Some(port) = target.port() {
            let _ = write!(key, ":{port}");
        }
        key.push_str(target.path());
        if !query.is_empty() {
            key.push('?');
            push_ascii(query.as_bytes(), &mut key);
        }
        Self { key }
    }

    /// Adds a part; an absent value differs from an empty one.
    pub(crate) fn part(&mut self, kind: &str, name: &str, value: Option<&[u8]>) {
        let _ = write!(self.key, "\n{kind}:");
        push_ascii(name.as_bytes(), &mut self.key);
        if let Some(value) = value {
            self.key.push('=');
            push_ascii(value, &mut self.key);
        }
    }

    /// Adds the request headers and cookies that `rule` names.
    pub(crate) fn request_parts(&mut self, rule: &KeyRule, headers: &HeaderMap) {
        for name in &rule.headers {
            let values: Vec<_> = headers.get_all(name.as_str()).iter().map(|v| v.as_bytes()).collect();
            let joined = (!values.is_empty()).then(|| values.join(&b", "[..]));
            self.part("header", name, joined.as_deref());
        }
        for name in &rule.cookies {
            self.part("cookie", name, cookies::find(headers, name).map(str::as_bytes));
        }
    }

    /// Adds one fact.
    pub(crate) fn fact(&mut self, fact: KeyFact, facts: &Facts, device: &str, bot: &str) {
        let (name, value) = match fact {
            KeyFact::Country => ("country", facts.country.as_ref().map(crate::facts::CountryCode::as_str)),
            KeyFact::Continent => ("continent", facts.continent().map(crate::facts::Continent::as_str)),
            KeyFact::Region => ("region", facts.region.as_deref()),
            KeyFact::City => ("city", facts.city.as_deref()),
            KeyFact::Device => ("device", Some(device)),
            KeyFact::Bot => ("bot", Some(bot)),
        };
        self.part("fact", name, value.map(str::as_bytes));
    }

    /// Returns the key.
    pub(crate) fn finish(self) -> String {
        self.key
    }
}

/// Visible ASCII stays; other bytes, `%` and `=` among them, are percent-encoded.
fn push_ascii(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'=') || *byte == b' ' {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
