//! Cloudflare's runtime: what it is told about clients, and its process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http::{HeaderMap, HeaderName, HeaderValue};
use selvedge_core::facts::Facts;
use serde_json::{Map, Value};

use super::process::{self, Process};

/// The header in which workerd is told `request.cf`, as its socket's `cfBlobHeader` has to name it.
pub const CF_HEADER: &str = "selvedge-cf";

/// The header in which workerd is told the client's scheme, as its socket's `forwardedProtoHeader` has to name it.
pub const SCHEME_HEADER: &str = "selvedge-scheme";

/// The header in which Cloudflare tells a Worker the client's address.
pub const ADDRESS_HEADER: &str = "cf-connecting-ip";

/// Returns [`request.cf`](https://developers.cloudflare.com/workers/runtime-apis/request/#incomingrequestcfproperties) as
/// Cloudflare fills it in; what is not known is not there.
#[must_use]
pub fn request_cf(facts: &Facts) -> Map<String, Value> {
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let coordinates = facts.coordinates.map(|place| [place.latitude, place.longitude].map(|n| n.to_string()));
    let [latitude, longitude] = coordinates.map_or([None, None], |pair| pair.map(Some));
    let score = facts.bot_score.map(|score| ("score", Value::from(score)));
    let verified = facts.is_verified_bot.map(|verified| ("verifiedBot", Value::from(verified)));
    let bot: Map<_, _> =
        score.into_iter().chain(verified).map(|(name, value)| (name.to_owned(), value)).collect();
    let fields = [
        ("country", facts.country.map(|code| code.as_str().into())),
        ("continent", facts.continent.map(|code| code.as_str().into())),
        ("regionCode", text(&facts.region)),
        ("city", text(&facts.city)),
        ("latitude", latitude.map(Value::from)),
        ("longitude", longitude.map(Value::from)),
        ("timezone", text(&facts.time_zone)),
        ("asn", facts.asn.map(Value::from)),
        ("httpProtocol", text(&facts.protocol)),
        ("tlsVersion", text(&facts.tls_version)),
        ("botManagement", (!bot.is_empty()).then(|| bot.into())),
    ];
    fields.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))).collect()
}

/// Puts what is known about a client in the place of whatever the client said there.
pub(super) fn tell(headers: &mut HeaderMap, facts: &Facts) {
    let mut set = |name: &'static str, value: Option<String>| {
        let value = value.and_then(|value| HeaderValue::try_from(value).ok());
        match value {
            Some(value) => drop(headers.insert(HeaderName::from_static(name), value)),
            None => drop(headers.remove(name)),
        }
    };
    set(CF_HEADER, Some(Value::Object(request_cf(facts)).to_string()));
    set(SCHEME_HEADER, Some(if facts.is_https == Some(true) { "https" } else { "http" }.to_owned()));
    set(ADDRESS_HEADER, facts.client_ip.map(|address| address.to_string()));
}

/// A workerd that listens; it ends when dropped.
#[derive(Debug)]
pub struct Workerd {
    process: Process,
}

impl Workerd {
    /// Starts the program in a folder with a `config.capnp` that has one socket, `edge`, and waits until it listens.
    ///
    /// # Errors
    /// When it does not start; what it said is on the standard error.
    pub fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--control-fd=1", "config.capnp"]).current_dir(folder).stdin(Stdio::null());
        Ok(Self { process: Process::start(command, port)? })
    }

    /// Returns the process, which may be a wrapper around workerd itself.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }
}

/// Finds workerd among the programs that `npm ci` installed in a folder.
///
/// # Errors
/// When it is not there; the message says what brings it.
pub fn program(folder: &Path) -> anyhow::Result<PathBuf> {
    process::program(folder, "workerd")
}

/// The port in a message of workerd's control channel.
fn port(line: &str) -> Option<u16> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_listening = message["event"] == "listen" && message["socket"] == "edge";
    message["port"].as_u64().filter(|_| is_listening)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn request_cf_has_what_is_known_under_cloudflares_names() {
        let mut facts = Facts::default();
        assert_eq!(Value::Object(request_cf(&facts)), json!({}));
        facts.country = selvedge_core::facts::CountryCode::new("DE");
        facts.coordinates = selvedge_core::facts::Coordinates::new(52.5, 13.25);
        facts.bot_score = Some(30);
        let expected = json!({
            "country": "DE", "latitude": "52.5", "longitude": "13.25", "botManagement": { "score": 30 }
        });
        assert_eq!(Value::Object(request_cf(&facts)), expected);
    }

    #[test]
    fn a_client_cannot_say_who_it_is() {
        let mut headers = HeaderMap::new();
        for name in [CF_HEADER, SCHEME_HEADER, ADDRESS_HEADER] {
            headers.append(name, HeaderValue::from_static("forged"));
            headers.append(name, HeaderValue::from_static("twice"));
        }
        tell(&mut headers, &Facts::default());
        let values: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(values, [(CF_HEADER, &b"{}"[..]), (SCHEME_HEADER, b"http")]);
    }

    #[test]
    fn the_port_is_read_from_the_control_channel() {
        assert_eq!(port(r#"{"event":"listen","socket":"edge","port":4711}"#), Some(4711));
        assert_eq!(port(r#"{"event":"listen","socket":"other","port":4711}"#), None);
        assert_eq!(port("listening"), None);
    }
}
