//! [`allowed_outbound_hosts`](https://spinframework.dev/v4/http-outbound#granting-http-permissions-to-components).

use std::net::IpAddr;
use std::ops::Range;

use anyhow::{Context as _, bail, ensure};

/// Where a component may send requests.
#[derive(Debug, Default)]
pub(super) struct AllowedHosts(Vec<Entry>);

/// `scheme://host:port`, each of which may be `*`.
#[derive(Debug)]
struct Entry {
    /// Any, if none.
    scheme: Option<String>,
    host: Host,
    /// Any, if none.
    ports: Option<Range<u32>>,
}

#[derive(Debug)]
enum Host {
    Any,
    /// Ends with this, which begins with a dot.
    Subdomain(String),
    Exact(String),
    Network(IpAddr, u32),
}

impl AllowedHosts {
    /// Reads entries in which variables have their values already.
    ///
    /// # Errors
    /// When one is not as Spin wants them, or means other components of the application.
    pub(super) fn parse(entries: &[String]) -> anyhow::Result<Self> {
        let entries = entries.iter().map(|entry| {
            Entry::parse(entry.trim()).with_context(|| format!("allowed_outbound_hosts: `{entry}`"))
        });
        Ok(Self(entries.collect::<anyhow::Result<_>>()?))
    }

    /// Says whether a request may be sent; without a port it is the scheme's own.
    pub(super) fn allows(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let host = host.to_ascii_lowercase();
        let Some(port) = port.or_else(|| known_port(scheme)) else { return false };
        self.0.iter().any(|entry| entry.allows(scheme, &host, port))
    }
}

impl Entry {
    fn parse(entry: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = entry.split_once("://").context("there is no scheme, as in `https://`")?;
        let (host, rest) = rest.rsplit_once(':').unwrap_or((rest, ""));
        let (port, path) = rest.split_once('/').unwrap_or((rest, ""));
        ensure!(path.is_empty(), "it has a path");
        let is_scheme = scheme == "*" || scheme.chars().all(char::is_alphabetic);
        ensure!(is_scheme, "the scheme is no word");
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: Host::parse(host)?,
            ports: ports(port, scheme)?,
        })
    }

    fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.scheme.as_ref().is_none_or(|allowed| allowed == scheme)
            && self.host.allows(host)
            && self.ports.as_ref().is_none_or(|ports| ports.contains(&port.into()))
    }
}

impl Host {
    fn parse(host: &str) -> anyhow::Result<Self> {
        if host == "*" {
            return Ok(Self::Any);
        }
        if let Some((address, length)) = network(host) {
            return Ok(Self::Network(address, length));
        }
        let host = host.trim_end_matches('/');
        ensure!(!host.contains('/'), "it has a path");
        ensure!(!host.starts_with('{'), "lists of hosts are not supported");
        let is_own = matches!(host, "self" | "self.alt") || host.ends_with("spin.internal");
        ensure!(!is_own, "requests to the application itself are not supported by this host");
        if let Some(domain) = host.strip_prefix('*') {
            ensure!(domain.starts_with('.') && !domain.contains('*'), "`*` stands for whole subdomains only");
            return Ok(Self::Subdomain(domain.to_owned()));
        }
        ensure!(!host.contains('*'), "`*` stands at the beginning only");
        ensure!(!host.is_empty(), "there is no host");
        Ok(Self::Exact(host.to_owned()))
    }

    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Subdomain(suffix) => host.ends_with(suffix.as_str()),
            Self::Exact(allowed) => allowed == host,
            Self::Network(network, length) => {
                host.parse().is_ok_and(|address| prefix(address, *length) == prefix(*network, *length))
            }
        }
    }
}

fn ports(port: &str, scheme: &str) -> anyhow::Result<Option<Range<u32>>> {
    if port == "*" {
        return Ok(None);
    }
    let number = |text: &str| text.parse::<u16>().map(u32::from).context("the port is no number");
    if port.is_empty() {
        let Some(port) = known_port(scheme) else {
            bail!("there is no port, and the scheme has none of its own")
        };
        return Ok(Some(port.into()..u32::from(port) + 1));
    }
    match port.split_once("..") {
        Some((first, end)) => Ok(Some(number(first)?..number(end)?)),
        None => number(port).map(|port| Some(port..port + 1)),
    }
}

fn known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// An address with the length of its network's prefix, as in `10.0.0.0/8`.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length =
        if length.is_empty() { bits } else { length.parse().ok().filter(|length| *length <= bits)? };
    Some((address, length))
}

/// The network's part of an address, and how long addresses of its kind are.
fn prefix(address: IpAddr, length: u32) -> (u32, u128) {
    let (bits, number) = match address {
        IpAddr::V4(address) => (32, u128::from(address.to_bits())),
        IpAddr::V6(address) => (128, address.to_bits()),
    };
    (bits, number.checked_shr(bits - length.min(bits)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(entry: &str) -> anyhow::Result<AllowedHosts> {
        AllowedHosts::parse(&[entry.to_owned()])
    }

    #[test]
    fn an_entry_allows_what_spins_documentation_says() {
        let rows = [
            ("https://api.test", "https", "api.test", None, true),
            ("https://api.test", "https", "API.test", Some(443), true),
            ("https://api.test", "http", "api.test", None, false),
            ("https://api.test", "https", "api.test", Some(8443), false),
            ("https://api.test", "https", "www.api.test", None, false),
            ("https://api.test/", "https", "api.test", None, true),
            ("http://api.test:8080", "http", "api.test", Some(8080), true),
            ("http://api.test:8080", "http", "api.test", None, false),
            ("http://api.test:8000..8080", "http", "api.test", Some(8079), true),
            ("http://api.test:8000..8080", "http", "api.test", Some(8080), false),
            ("http://api.test:*", "http", "api.test", Some(1), true),
            ("*://api.test:443", "https", "api.test", None, true),
            ("https://*.api.test", "https", "www.api.test", None, true),
            ("https://*.api.test", "https", "api.test", None, false),
            ("https://*.api.test", "https", "evilapi.test", None, false),
            ("https://*", "https", "any.test", None, true),
            ("*://*:*", "http", "127.0.0.1", Some(3000), true),
            ("http://127.0.0.1:3000", "http", "127.0.0.1", Some(3000), true),
            ("http://127.0.0.1:3000", "http", "127.0.0.2", Some(3000), false),
            ("http://10.0.0.0/8", "http", "10.9.8.7", None, true),
            ("http://10.0.0.0/8:8080", "http", "10.9.8.7", Some(8080), true),
            ("http://10.0.0.0/8", "http", "11.0.0.1", None, false),
            ("http://10.0.0.0/8", "http", "10.test", None, false),
            ("http://0.0.0.0/0", "http", "::1", None, false),
        ];
        for (entry, scheme, host, port, expected) in rows {
            let hosts = hosts(entry).expect(entry);
            assert_eq!(hosts.allows(scheme, host, port), expected, "{entry}: {scheme}://{host} {port:?}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let rows = [
            ("api.test", "scheme"),
            ("*", "scheme"),
            ("https://api.test/v1", "path"),
            ("https://api.test:443/v1", "path"),
            ("https://a.*.test", "beginning"),
            ("https://*api.test", "subdomains"),
            ("ftp://api.test", "port"),
            ("https://api.test:no", "number"),
            ("https://", "host"),
            ("http://self", "itself"),
            ("http://other.spin.internal", "itself"),
        ];
        for (entry, expected) in rows {
            let message = hosts(entry).map(|_| ()).map_err(|error| format!("{error:#}")).expect_err(entry);
            assert!(message.contains(expected), "{entry}: {message}");
        }
    }
}
