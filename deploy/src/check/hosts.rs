//! Which hosts a platform in the internet can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Ends of names that no public resolver knows: RFC 6761, RFC 6762, RFC 8375, and `internal`, which ICANN reserved.
const PRIVATE_NAMES: [&str; 6] = ["localhost", "local", "internal", "home.arpa", "test", "invalid"];

/// A URL's host.
pub(super) struct Host {
    /// Without brackets and without a last dot, in lower case.
    pub(super) name: String,
    /// The address, when the host is one.
    pub(super) address: Option<IpAddr>,
}

impl Host {
    pub(super) fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let name = uri.host()?.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        Some(Self { address: name.parse().ok(), name })
    }

    /// Whether only the machine or network around it knows it.
    pub(super) fn is_local(&self) -> bool {
        self.address.map_or_else(|| is_private_name(&self.name), is_local)
    }
}

fn is_private_name(host: &str) -> bool {
    let is_below =
        |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !host.contains('.') || PRIVATE_NAMES.iter().any(|name| is_below(name))
}

fn is_local(address: IpAddr) -> bool {
    let is_local_v4 =
        |ip: Ipv4Addr| ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified();
    let is_local_v6 = |ip: Ipv6Addr| {
        ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
    };
    match address.to_canonical() {
        IpAddr::V4(ip) => is_local_v4(ip),
        IpAddr::V6(ip) => is_local_v6(ip),
    }
}
