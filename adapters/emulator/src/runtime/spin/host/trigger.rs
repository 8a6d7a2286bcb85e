//! What [Spin's HTTP trigger](https://spinframework.dev/v4/http-trigger#request-and-response-body) does to a request.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::runtime::spin::facts::{ADDRESS_HEADER, SCHEME_HEADER};

/// The port of an address that was told without one.
const NO_PORT: u16 = 0;

/// A route: a path, or all paths below one.
#[derive(Debug)]
pub(super) struct Route {
    raw: String,
    path: String,
    is_prefix: bool,
}

impl Route {
    /// Reads the route of a trigger.
    ///
    /// # Errors
    /// When it is no path, or has segments with names.
    pub(super) fn parse(raw: &str) -> anyhow::Result<Self> {
        ensure!(raw.starts_with('/'), "the route `{raw}` does not begin with `/`");
        ensure!(!raw.contains(":"), "the route `{raw}` has a segment with a name, which is not supported");
        let (path, is_prefix) = match raw.strip_suffix("/...") {
            Some(path) => (path, true),
            None => (raw, false),
        };
        ensure!(!path.contains("..."), "the route `{raw}` has `...` before its end");
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self { raw: raw.to_owned(), path, is_prefix })
    }

    /// What follows the route in a path that it matches.
    pub(super) fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.path)?;
        let is_match =
            if self.is_prefix { rest.is_empty() || rest.starts_with('/') } else { matches!(rest, "" | "/") };
        is_match.then_some(if self.is_prefix { rest } else { "" })
    }
}

/// Prepares a request that the route matches for the component.
///
/// # Errors
/// When the host is missing or invalid, or a value is not UTF-8: Spin answers both with 500.
pub(super) fn prepare(
    parts: &mut Parts,
    route: &Route,
    rest: &str,
    client: SocketAddr,
    trusts_edge: bool,
) -> anyhow::Result<()> {
    let (mut client, mut scheme) = (client, "http");
    if trusts_edge {
        client = told_address(&mut parts.headers)?.unwrap_or(client);
        let told = parts.headers.remove(SCHEME_HEADER);
        scheme = if told.is_some_and(|told| told == "https") { "https" } else { scheme };
    }
    // It is about the connection, which ends here.
    parts.headers.remove(header::CONNECTION);
    let authority = authority(parts)?;
    for (name, value) in &parts.headers {
        ensure!(std::str::from_utf8(value.as_bytes()).is_ok(), "the header `{name}` is not UTF-8");
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let facts = [
        ("spin-path-info", rest.to_owned()),
        ("spin-full-url", format!("{scheme}://{authority}{target}")),
        ("spin-matched-route", route.raw.clone()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", route.raw.clone()),
        ("spin-component-route", route.raw.strip_suffix("/...").unwrap_or(&route.raw).to_owned()),
        ("spin-client-addr", client.to_string()),
    ];
    // As Spin does, they follow what a client sent by the same names: the last value is the true one.
    for (name, value) in facts {
        parts.headers.append(HeaderName::from_static(name), HeaderValue::try_from(value)?);
    }
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority);
    parts.uri = Uri::from_parts(uri)?;
    Ok(())
}

/// The authority of the target or of the header `host`, which have to be the same if both are there.
fn authority(parts: &Parts) -> anyhow::Result<Authority> {
    let host = parts.headers.get(header::HOST).map(|host| Authority::try_from(host.as_bytes())).transpose();
    match (host.context("the header `host` is none")?, parts.uri.authority()) {
        (Some(host), Some(target)) if host != *target => bail!("the header `host` is not the target's"),
        (Some(host), _) => Ok(host),
        (None, Some(target)) => Ok(target.clone()),
        (None, None) => bail!("there is no host"),
    }
}

fn told_address(headers: &mut HeaderMap) -> anyhow::Result<Option<SocketAddr>> {
    let Some(value) = headers.remove(ADDRESS_HEADER) else { return Ok(None) };
    let address = value.to_str()?.parse().context("the client's address is none")?;
    Ok(Some(SocketAddr::new(address, NO_PORT)))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn prepared(request: Request<()>, trusts_edge: bool) -> anyhow::Result<Parts> {
        let (mut parts, ()) = request.into_parts();
        let route = Route::parse("/...")?;
        let path = parts.uri.path().to_owned();
        let rest = route.rest(&path).expect("the route matches all");
        prepare(&mut parts, &route, rest, ([192, 0, 2, 1], 4711).into(), trusts_edge)?;
        Ok(parts)
    }

    fn values<'a>(parts: &'a Parts, name: &str) -> Vec<&'a str> {
        parts.headers.get_all(name).iter().map(|value| value.to_str().expect("it is text")).collect()
    }

    #[test]
    fn a_component_is_told_what_spin_tells_it() {
        let request = Request::get("/a/b?c=d").header("host", "shop.test:8080").body(()).unwrap();
        let parts = prepared(request, false).unwrap();
        let rows = [
            ("spin-path-info", "/a/b"),
            ("spin-full-url", "http://shop.test:8080/a/b?c=d"),
            ("spin-matched-route", "/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/..."),
            ("spin-component-route", ""),
            ("spin-client-addr", "192.0.2.1:4711"),
        ];
        for (name, expected) in rows {
            assert_eq!(values(&parts, name), [expected], "{name}");
        }
        assert_eq!(parts.uri, "http://shop.test:8080/a/b?c=d");
    }

    #[test]
    fn what_a_client_says_by_the_same_names_comes_first() {
        let request = Request::get("/").header("host", "shop.test").header("spin-client-addr", "forged");
        let parts = prepared(request.body(()).unwrap(), false).unwrap();
        assert_eq!(values(&parts, "spin-client-addr"), ["forged", "192.0.2.1:4711"]);
    }

    #[test]
    fn who_the_client_is_is_told_only_by_an_edge_that_is_trusted() {
        let request = || {
            let request = Request::get("/").header("host", "shop.test").header(ADDRESS_HEADER, "2001:db8::1");
            request.header(SCHEME_HEADER, "https")
        };
        let parts = prepared(request().body(()).unwrap(), true).unwrap();
        assert_eq!(values(&parts, "spin-client-addr"), ["[2001:db8::1]:0"]);
        assert_eq!(values(&parts, "spin-full-url"), ["https://shop.test/"]);
        assert!(values(&parts, ADDRESS_HEADER).is_empty() && values(&parts, SCHEME_HEADER).is_empty());
        let parts = prepared(request().body(()).unwrap(), false).unwrap();
        assert_eq!(values(&parts, "spin-client-addr"), ["192.0.2.1:4711"]);
        assert_eq!(values(&parts, "spin-full-url"), ["http://shop.test/"]);
    }

    #[test]
    fn a_request_that_spin_cannot_hand_on_is_refused() {
        let latin = HeaderValue::from_bytes(b"caf\xe9").unwrap();
        let requests = [
            Request::get("/"),
            Request::get("/").header("host", "a b"),
            Request::get("http://a.test/").header("host", "b.test"),
            Request::get("/").header("host", "a.test").header("x-name", latin),
        ];
        for request in requests {
            let request = request.body(()).unwrap();
            let shown = format!("{request:?}");
            assert!(prepared(request, false).is_err(), "{shown}");
        }
    }

    #[test]
    fn routes_match_a_path_or_all_below_it() {
        let rows = [
            ("/...", "/", Some("/")),
            ("/...", "/a", Some("/a")),
            ("/shop/...", "/shop", Some("")),
            ("/shop/...", "/shop/a", Some("/a")),
            ("/shop/...", "/shopping", None),
            ("/shop", "/shop", Some("")),
            ("/shop", "/shop/", Some("")),
            ("/shop", "/shop/a", None),
            ("/", "/", Some("")),
            ("/", "/a", None),
        ];
        for (route, path, expected) in rows {
            assert_eq!(Route::parse(route).unwrap().rest(path), expected, "{route} {path}");
        }
        for route in ["shop", "/users/:id", "/.../a"] {
            assert!(Route::parse(route).is_err(), "{route}");
        }
    }
}
