//! Authorities: the host and port of a request.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::TargetRefusal;

/// The longest host name in bytes, as text:
/// [RFC 1035 section 2.3.4](https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4).
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// Splits `host[:port]` and returns the host in lower case without its trailing dot.
///
/// DIFFERENCE: of the `reg-name` of [RFC 3986 section 3.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2)
/// only names that DNS can hold are taken (letters, digits, `-`, `_`), since escapes and
/// sub-delimiters in a host serve attacks and nothing else; `IPvFuture` and IPv6 zones are refused too.
pub(super) fn parse(authority: &str) -> Result<(Cow<'_, str>, Option<u16>), TargetRefusal> {
    if authority.contains('@') {
        return Err(TargetRefusal::Userinfo);
    }
    let (host, port) = split_port(authority)?;
    let host = if host.starts_with('[') { ipv6(host)? } else { name(host)? };
    Ok((host, parse_port(port)?))
}

fn split_port(authority: &str) -> Result<(&str, &str), TargetRefusal> {
    let host_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let (head, tail) = authority.split_at(host_end);
    let Some((rest_of_host, port)) = tail.split_once(':') else { return Ok((authority, "")) };
    match (head.is_empty(), rest_of_host.is_empty()) {
        (true, _) => Ok((rest_of_host, port)),
        (false, true) => Ok((head, port)),
        (false, false) => Err(TargetRefusal::InvalidHost),
    }
}

fn parse_port(port: &str) -> Result<Option<u16>, TargetRefusal> {
    match port {
        "" => Ok(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map(Some).map_err(|_| TargetRefusal::InvalidPort)
        }
        _ => Err(TargetRefusal::InvalidPort),
    }
}

fn ipv6(host: &str) -> Result<Cow<'_, str>, TargetRefusal> {
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let address: Ipv6Addr = literal.and_then(|l| l.parse().ok()).ok_or(TargetRefusal::InvalidHost)?;
    Ok(Cow::Owned(format!("[{address}]")))
}

fn name(host: &str) -> Result<Cow<'_, str>, TargetRefusal> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() > MAX_HOST_BYTES || !host.split('.').all(is_label) {
        return Err(TargetRefusal::InvalidHost);
    }
    let has_upper_case = host.bytes().any(|b| b.is_ascii_uppercase());
    Ok(if has_upper_case { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) })
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL_BYTES).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}
