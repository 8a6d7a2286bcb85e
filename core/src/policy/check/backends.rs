//! Backends.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;

use super::Checker;
use crate::backend::{Backend, BackendId, HeaderSource, HostSource};
use crate::facts::Coordinates;
use crate::headers::name::FieldName;
use crate::limits::DEFAULT_TIMEOUT;
use crate::policy::raw::{self, HeaderValue, HostHeader};
use crate::policy::report::join;

const MAX_TIMEOUT: Duration = Duration::from_secs(5 * 60);

const MAX_TOTAL_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

impl Checker<'_> {
    pub(super) fn backends(&mut self, backends: &BTreeMap<String, raw::Backend>) -> Vec<Backend> {
        self.bound("backends", backends.len());
        backends.iter().map(|(name, raw)| self.one_backend(name, raw)).collect()
    }

    fn one_backend(&mut self, name: &str, raw: &raw::Backend) -> Backend {
        let path = join("backends", name);
        let timeout = raw.timeout.as_ref().and_then(|text| {
            self.duration(&join(&path, "timeout"), text, Duration::from_millis(1), MAX_TIMEOUT)
        });
        let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
        let connect_timeout = raw.connect_timeout.as_ref().and_then(|text| {
            self.duration(&join(&path, "connect-timeout"), text, Duration::from_millis(1), timeout)
        });
        let total_timeout = raw.total_timeout.as_ref().and_then(|text| {
            self.duration(&join(&path, "total-timeout"), text, Duration::from_millis(1), MAX_TOTAL_TIMEOUT)
        });
        let host = match raw.host {
            Some(HostHeader::Client) => HostSource::Client,
            Some(HostHeader::Backend) | None => HostSource::Backend,
        };
        Backend {
            name: name.to_owned(),
            urls: self.urls(&path, raw),
            timeout,
            connect_timeout: connect_timeout.unwrap_or(timeout),
            total_timeout,
            region: raw.region.clone(),
            coordinates: self.coordinates(&path, raw.coordinates),
            request_headers: self.backend_headers(&path, &raw.request_headers),
            failover: self.failover(&path, name, &raw.failover),
            host,
            health: self.health(&path, raw),
        }
    }

    fn urls(&mut self, path: &str, raw: &raw::Backend) -> Vec<String> {
        let Some(urls) = raw.url.as_ref().map(raw::OneOrMany::as_slice).filter(|urls| !urls.is_empty())
        else {
            let help = "add `url = \"http://127.0.0.1:8788\"`";
            self.report.error_with_help(path, "a backend needs a `url`", help);
            return Vec::new();
        };
        let path = join(path, "url");
        let is_list = matches!(raw.url, Some(raw::OneOrMany::Many(_)));
        for (at, url) in urls.iter().enumerate() {
            if let Err(why) = check_url(url) {
                let path = if is_list { format!("{path}[{at}]") } else { path.clone() };
                self.report.error_with_help(
                    path,
                    format!("`{url}` is not a backend's URL: {why}"),
                    "write it like `https://api.example.com` or `http://127.0.0.1:8788/base`",
                );
            }
        }
        urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect()
    }

    fn coordinates(&mut self, path: &str, coordinates: Option<[f64; 2]>) -> Option<Coordinates> {
        let [latitude, longitude] = coordinates?;
        let checked = Coordinates::new(latitude, longitude);
        if checked.is_none() {
            let help = "write latitude (-90 to 90) and longitude (-180 to 180), in this order";
            self.report.error_with_help(join(path, "coordinates"), "the coordinates are out of range", help);
        }
        checked
    }

    fn backend_headers(
        &mut self,
        path: &str,
        headers: &BTreeMap<String, HeaderValue>,
    ) -> Vec<(FieldName, HeaderSource)> {
        let path = join(path, "request-headers");
        let mut checked = Vec::new();
        for (name, value) in headers {
            let path = join(&path, name);
            let field = self.settable_header(&path, name);
            let source = match value {
                HeaderValue::Text(text) => {
                    self.header_value(&path, text);
                    HeaderSource::Text(text.clone())
                }
                HeaderValue::Env(value) => {
                    self.variable_name(&join(&path, "env"), &value.env);
                    HeaderSource::Env(value.env.clone())
                }
            };
            checked.extend(field.map(|field| (field, source)));
        }
        checked
    }

    fn variable_name(&mut self, path: &str, name: &str) {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let starts_well = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if !(starts_well && name.bytes().all(is_name)) {
            let help = "name the variable, not its value: letters, digits and `_`";
            self.report.error_with_help(path, "this is not the name of an environment variable", help);
        }
    }

    fn failover(&mut self, path: &str, name: &str, failover: &[String]) -> Vec<BackendId> {
        let path = join(path, "failover");
        let mut order = Vec::new();
        for (at, other) in failover.iter().enumerate() {
            let path = format!("{path}[{at}]");
            if other == name {
                self.report.error(path, "a backend cannot stand in for itself");
            } else if let Some(id) = self.backend(&path, other) {
                order.push(id);
            }
        }
        order
    }
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it cannot be parsed")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("it must start with `http://` or `https://`");
    }
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    match (authority, uri.query()) {
        (authority, _) if authority.contains('@') => Err("names and passwords do not belong in a policy"),
        (_, Some(_)) => Err("it has a query"),
        _ if url.contains('#') => Err("it has a fragment"),
        _ if uri.host().is_none_or(str::is_empty) => Err("it has no host"),
        _ => Ok(()),
    }
}
