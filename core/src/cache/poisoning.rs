//! Cache poisoning: a response that one client's header changed, stored for all.
//!
//! A header that reaches the backend and is neither of the key nor named by `Vary` must not have changed what is stored. Which headers
//! change nothing is known for those of the standards; of any other the policy has to say it. A response to a request with another
//! one still goes to the client, and is not stored. (Removing such a header instead would break the sites whose pages depend on it, and they
//! would learn of it in production.)

use http::header::HeaderName;

use super::rule::CacheRule;

/// Headers that are known to change no response in a way that `Vary` or `Cache-Control` would not tell: those of HTTP and
/// of browsers, and those that the edge writes itself. In order.
const HARMLESS: [&str; 61] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "cdn-loop",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "device-memory",
    "dnt",
    "downlink",
    "dpr",
    "early-data",
    "ect",
    "expect",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "proxy-connection",
    "range",
    "referer",
    "rtt",
    "save-data",
    "sec-ch-prefers-color-scheme",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-gpc",
    "sec-purpose",
    "te",
    "traceparent",
    "tracestate",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "viewport-width",
    "width",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// Returns whether a header of a client's request could have changed the response for that client alone.
///
/// `keyed` are the names of the cache key and `varied` those of the response's `Vary`.
#[must_use]
pub fn is_unkeyed(name: &HeaderName, rule: &CacheRule, keyed: &[String], varied: &[HeaderName]) -> bool {
    let is_among = |names: &[String]| names.iter().any(|other| other == name.as_str());
    HARMLESS.binary_search(&name.as_str()).is_err()
        && !is_among(keyed)
        && !is_among(&rule.harmless)
        && !varied.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_header_that_nothing_tells_apart_is_unkeyed() {
        let rows = [
            ("accept", false),
            ("user-agent", false),
            ("cookie", false),
            ("x-forwarded-scheme", true),
            ("x-http-method-override", true),
            ("x-keyed", false),
            ("x-varied", false),
            ("x-plain", false),
        ];
        let rule = CacheRule { harmless: vec!["x-plain".to_owned()], ..CacheRule::default() };
        let (keyed, varied) = (["x-keyed".to_owned()], [HeaderName::from_static("x-varied")]);
        for (name, expected) in rows {
            let found = is_unkeyed(&HeaderName::from_static(name), &rule, &keyed, &varied);
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn the_harmless_headers_are_in_order() {
        assert!(HARMLESS.is_sorted());
    }
}
