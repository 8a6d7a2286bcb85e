//! Request headers that imitate what only the platform can know.
//!
//! Facts come from the platform's own channel. A client that sends `CF-IPCountry: DE` or `X-Forwarded-For: 10.0.0.1` must not
//! be believed, neither by a rule nor by a backend behind the edge, so those headers are dropped at the door.
//! An underscore counts as a hyphen, since CGI-like backends cannot tell `X_Forwarded_For` from `X-Forwarded-For`.
//!
//! What stays, and why:
//! - `CDN-Loop`: [RFC 8586 section 2](https://www.rfc-editor.org/rfc/rfc8586#section-2) forbids to remove or change it; loops are found by it.
//! - `Via`: [RFC 9110 section 7.6.3](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.3) has every hop add to it.
//! - `traceparent` and other trace contexts: they say nothing about the client.
//!
//! What goes although it is not about the client:
//! - `X-HTTP-Method-Override` and its kin: the backend would run another method than the one that the edge decided on and
//!   cached by.
//! - `X-Original-URL`, `X-Rewrite-URL` and their kin: the same for the path.
//! - `Proxy`: CGI-like backends take it for their `HTTP_PROXY` variable
//!   ([CVE-2016-5385](https://nvd.nist.gov/vuln/detail/CVE-2016-5385)).
//! - `Surrogate-Capability`: it is for a surrogate, which a client is not
//!   ([Edge Architecture Specification](https://www.w3.org/TR/edge-arch/)).

use http::{HeaderMap, HeaderName};

/// The imitations that start with one letter.
struct Table {
    first: u8,
    exact: &'static [&'static str],
    prefixes: &'static [&'static str],
}

const TABLES: [Table; 10] = [
    Table { first: b'a', exact: &[], prefixes: &["akamai-"] },
    Table { first: b'c', exact: &["client-ip"], prefixes: &["cf-", "cloudfront-"] },
    Table {
        first: b'f',
        exact: &["forwarded", "forwarded-for", "front-end-https"],
        prefixes: &["fastly-", "fly-"],
    },
    Table { first: b'g', exact: &[], prefixes: &["geoip-"] },
    Table { first: b'i', exact: &["incap-client-ip"], prefixes: &[] },
    Table { first: b'n', exact: &[], prefixes: &["netlify-"] },
    Table { first: b'p', exact: &["proxy", "proxy-client-ip"], prefixes: &[] },
    Table { first: b's', exact: &[], prefixes: &["selvedge-", "spin-", "ssl-client-", "surrogate-"] },
    Table { first: b't', exact: &["true-client-ip"], prefixes: &[] },
    Table { first: b'w', exact: &["wl-proxy-client-ip"], prefixes: &[] },
];

/// The imitations that start with `x-`, without that beginning.
const X_EXACT: &[&str] = &[
    "client-ip",
    "cluster-client-ip",
    "forward-for",
    "forwarded",
    "host",
    "http-method",
    "http-method-override",
    "method-override",
    "original-host",
    "original-uri",
    "original-url",
    "originating-ip",
    "real-ip",
    "remote-addr",
    "remote-ip",
    "rewrite-url",
    "sucuri-clientip",
    "true-client-ip",
    "url-scheme",
];

const X_PREFIXES: &[&str] = &[
    "akamai-",
    "amz-cf-",
    "amzn-",
    "appengine-",
    "azure-",
    "client-cert",
    "country",
    "envoy-",
    "fastly-",
    "fd-",
    "forwarded-",
    "geo",
    "netlify-",
    "nf-",
    "ssl-client-",
    "vercel-",
];

/// Removes every imitation and returns the names that were there, for `explain`.
///
/// Nothing is allocated when there is none.
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use selvedge_core::headers::imitation;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("cf-ipcountry", HeaderValue::from_static("DE"));
/// headers.insert("cdn-loop", HeaderValue::from_static("edge"));
/// assert_eq!(imitation::strip(&mut headers), ["cf-ipcountry"]);
/// assert!(headers.contains_key("cdn-loop"));
/// ```
pub fn strip(headers: &mut HeaderMap) -> Vec<HeaderName> {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_imitation(name.as_str())).cloned().collect();
    for name in &names {
        headers.remove(name);
    }
    names
}

/// Returns whether a lower-case header name imitates what only the platform can know.
#[must_use]
pub fn is_imitation(name: &str) -> bool {
    match name.as_bytes() {
        [b'x', b'-' | b'_', rest @ ..] => is_listed(rest, X_EXACT, X_PREFIXES),
        [first, ..] => TABLES
            .iter()
            .find(|table| table.first == *first)
            .is_some_and(|table| is_listed(name.as_bytes(), table.exact, table.prefixes)),
        [] => false,
    }
}

fn is_listed(name: &[u8], exact: &[&str], prefixes: &[&str]) -> bool {
    exact.iter().any(|entry| entry.len() == name.len() && starts_with(name, entry))
        || prefixes.iter().any(|prefix| starts_with(name, prefix))
}

fn starts_with(name: &[u8], prefix: &str) -> bool {
    let same = |(own, entry): (&u8, u8)| *own == entry || (*own == b'_' && entry == b'-');
    name.len() >= prefix.len() && name.iter().zip(prefix.bytes()).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_imitate_a_platform_are_known_and_others_are_not() {
        let imitations = [
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded",
            "forwarded",
            "x-real-ip",
            "x-client-ip",
            "client-ip",
            "true-client-ip",
            "x-cluster-client-ip",
            "fastly-client-ip",
            "cf-connecting-ip",
            "cf-ipcountry",
            "cloudfront-viewer-country",
            "x-amz-cf-id",
            "x-amzn-trace-id",
            "x-nf-client-connection-ip",
            "x-netlify-id",
            "spin-client-addr",
            "x-akamai-edgescape",
            "akamai-origin-hop",
            "x-vercel-ip-country",
            "x-appengine-country",
            "x-azure-clientip",
            "x-geo-country",
            "x-geoip-city",
            "x-country-code",
            "x-country",
            "geoip-country",
            "geoip_country_code",
            "selvedge-state",
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "proxy",
            "surrogate-capability",
            "x_forwarded_for",
            "x-forwarded_for",
            "cf_ipcountry",
            "true_client_ip",
        ];
        let others = [
            "host",
            "user-agent",
            "accept",
            "cdn-loop",
            "via",
            "x-requested-with",
            "x-request-id",
            "x-amz-date",
            "x-real-ip-address",
            "x-",
            "x",
            "cookie",
            "cf",
            "client-ip-hint",
            "traceparent",
            "forwarded-port-hint",
            "x-forwarder",
            "proxy-authorization",
            "content-type",
            "priority",
            "true-client-ips",
            "sec-fetch-site",
            "xforwarded-for",
        ];
        for name in imitations {
            assert!(is_imitation(name), "{name} imitates a platform");
        }
        for name in others {
            assert!(!is_imitation(name), "{name} is an ordinary header");
        }
    }

    #[test]
    fn every_value_of_an_imitation_goes_and_the_rest_stays_in_order() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("accept", "a"), ("x-forwarded-for", "1"), ("x-forwarded-for", "2"), ("accept", "b")]
        {
            headers.append(name, value.parse().unwrap());
        }
        assert_eq!(strip(&mut headers), ["x-forwarded-for"]);
        assert_eq!(headers.get_all("accept").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(headers.len(), 2, "both lines of the imitation are gone");
    }

    #[test]
    fn each_table_is_sorted_and_holds_names_of_its_letter() {
        for table in &TABLES {
            for list in [table.exact, table.prefixes] {
                assert!(list.is_sorted(), "{list:?} is sorted");
                assert!(
                    list.iter().all(|entry| entry.as_bytes()[0] == table.first),
                    "{list:?} has one first letter"
                );
            }
        }
        assert!(TABLES.is_sorted_by_key(|table| table.first), "tables are sorted by letter");
        assert!(X_EXACT.is_sorted() && X_PREFIXES.is_sorted(), "x- tables are sorted");
    }
}
