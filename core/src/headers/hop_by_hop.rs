//! Hop-by-hop header fields: they speak about one connection and never pass the edge.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::list_members;

/// Fields that speak about one connection, whether `Connection` names them or not:
/// [RFC 9110 section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1).
///
/// `TE` is among them, and so is its value `trailers`: a host that forwards trailers says so itself.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Fields that `Connection` cannot remove.
///
/// They are meant for every recipient, so that
/// [RFC 9110 section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1) forbids to name them there.
const PROTECTED: &[&str] = &[
    "accept",
    "age",
    "allow",
    "authorization",
    "baggage",
    "cache-control",
    "cdn-cache-control",
    "cdn-loop",
    "cookie",
    "date",
    "dpop",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "host",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "referrer-policy",
    "retry-after",
    "server",
    "set-cookie",
    "signature",
    "signature-input",
    "strict-transport-security",
    "surrogate-control",
    "surrogate-key",
    "tracestate",
    "traceparent",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

/// Beginnings of names that `Connection` cannot remove.
const PROTECTED_PREFIXES: &[&str] =
    &["accept-", "access-control-", "content-", "cross-origin-", "if-", "sec-", "selvedge-"];

/// A protocol that a client asks to change to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upgrade {
    /// `websocket`, of [RFC 6455 section 4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1).
    WebSocket,
    /// Any other protocol, such as `h2c`.
    Other,
}

/// Removes the hop-by-hop fields of a request, and those that `Connection` names.
///
/// DIFFERENCE: [RFC 9110 section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1) removes whatever `Connection`
/// names. A field meant for every recipient stays here, even when it is named, and so does every `X-` field: otherwise
/// a client could strip what the edge, or a proxy before it, tells the backend (`Connection: authorization`,
/// `Connection: x-forwarded-for`) and change the response that is then stored for everybody.
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderValue, header};
/// use selvedge_core::headers::hop_by_hop;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::CONNECTION, HeaderValue::from_static("close, hop, cookie"));
/// headers.insert("hop", HeaderValue::from_static("1"));
/// headers.insert(header::COOKIE, HeaderValue::from_static("a=b"));
/// hop_by_hop::strip_request(&mut headers);
/// assert_eq!(headers.keys().collect::<Vec<_>>(), [header::COOKIE]);
/// ```
pub fn strip_request(headers: &mut HeaderMap) {
    strip(headers, |name| is_protected(name) || name.starts_with("x-"));
}

/// Removes the hop-by-hop fields of a response, and those that `Connection` names.
///
/// DIFFERENCE: fields meant for every recipient stay even when `Connection` names them, which
/// [RFC 9110 section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1) forbids it to do: a response must not lose its
/// `Cache-Control` on the way into the store.
pub fn strip_response(headers: &mut HeaderMap) {
    strip(headers, is_protected);
}

fn strip(headers: &mut HeaderMap, stays: impl Fn(&str) -> bool) {
    let mut names = named_by_connection(headers, stays);
    names.extend(headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned());
    for name in names {
        headers.remove(name);
    }
}

/// Returns the protocol that a request asks to change to, or `None` when it asks for none.
///
/// `Connection` must name `upgrade`, or the field is not meant for the edge
/// ([RFC 9110 section 7.8](https://www.rfc-editor.org/rfc/rfc9110#section-7.8)). Ask before [`strip_request`] removes the answer.
#[must_use]
pub fn upgrade_requested(headers: &HeaderMap) -> Option<Upgrade> {
    let mut options = list_members(headers, &header::CONNECTION);
    if !options.any(|option| option.eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    let mut protocols = list_members(headers, &header::UPGRADE).peekable();
    protocols.peek()?;
    let is_web_socket = protocols.any(|protocol| protocol.eq_ignore_ascii_case("websocket"));
    Some(if is_web_socket { Upgrade::WebSocket } else { Upgrade::Other })
}

/// Asks the next server to change to the WebSocket protocol
/// ([RFC 6455 section 4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1)). The other fields of the handshake pass by themselves.
pub fn request_web_socket(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Returns the names that `Connection` may remove; only those that are there, so that nothing grows with the field.
fn named_by_connection(headers: &HeaderMap, stays: impl Fn(&str) -> bool) -> Vec<HeaderName> {
    let options = list_members(headers, &header::CONNECTION).filter_map(|option| {
        let name = HeaderName::try_from(option).ok()?;
        (headers.contains_key(&name) && !stays(name.as_str())).then_some(name)
    });
    options.collect()
}

fn is_protected(name: &str) -> bool {
    PROTECTED.contains(&name) || PROTECTED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        pairs.collect()
    }

    fn kept(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = headers(pairs);
        strip_request(&mut headers);
        headers.keys().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn every_field_of_section_7_6_1_is_removed_without_being_named() {
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "proxy-authorization",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ] {
            assert_eq!(kept(&[(name, "x"), ("accept", "*/*")]), ["accept"], "{name} is hop-by-hop");
        }
    }

    #[test]
    fn connection_removes_what_it_names_unless_every_recipient_needs_it() {
        let rows: [(&'static str, &'static str, bool); 12] = [
            ("hop", "Hop", false),
            ("hop", "close ,\thop", false),
            ("hop", "hop;x", true),
            ("hop", "ho p", true),
            ("host", "host", true),
            ("authorization", "AUTHORIZATION", true),
            ("cookie", "cookie", true),
            ("content-length", "content-length", true),
            ("x-forwarded-for", "x-forwarded-for", true),
            ("selvedge-state", "selvedge-state", true),
            ("cache-control", "cache-control", true),
            ("if-none-match", "if-none-match", true),
        ];
        for (name, connection, stays) in rows {
            let rest = kept(&[("connection", connection), (name, "1")]);
            assert_eq!(rest.contains(&name.to_owned()), stays, "{name} with connection: {connection}");
        }
    }

    #[test]
    fn a_response_loses_every_named_field_but_those_for_every_recipient() {
        let mut headers =
            headers(&[("connection", "x-hop, cache-control"), ("x-hop", "1"), ("cache-control", "private")]);
        strip_response(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [header::CACHE_CONTROL]);
    }

    #[test]
    fn every_connection_line_and_every_value_of_a_named_field_counts() {
        let mut headers = headers(&[("one", "1"), ("two", "2")]);
        for (name, value) in [("connection", "one"), ("connection", "two"), ("one", "again")] {
            headers.append(name, value.parse().unwrap());
        }
        strip_request(&mut headers);
        assert!(headers.is_empty(), "nothing is left of {headers:?}");
    }

    #[test]
    fn an_upgrade_counts_only_when_connection_names_it() {
        type Row = (&'static [(&'static str, &'static str)], Option<Upgrade>);
        let rows: [Row; 6] = [
            (&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")], Some(Upgrade::WebSocket)),
            (&[("connection", "upgrade"), ("upgrade", "h2c, websocket")], Some(Upgrade::WebSocket)),
            (&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")], Some(Upgrade::Other)),
            (&[("upgrade", "websocket")], None),
            (&[("connection", "upgrade")], None),
            (&[("connection", "keep-alive"), ("upgrade", "websocket")], None),
        ];
        for (pairs, expected) in rows {
            assert_eq!(upgrade_requested(&headers(pairs)), expected, "{pairs:?}");
        }
    }
}
