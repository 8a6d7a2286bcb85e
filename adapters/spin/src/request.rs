//! From a request of Spin to the core's.

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri, header};
use selvedge_core::body::Body;
use spin_sdk::wasip3::http::types::{self, ErrorCode};

use crate::body::{Bodies, HostBody, Reader};
use crate::fields::List;
use crate::{facts, fields};

/// Everything of a request but its body, as the host says it.
pub(crate) struct Incoming {
    pub(crate) method: types::Method,
    pub(crate) path: Option<String>,
    /// Without those of Spin's own that nobody here reads; names are in lower case.
    pub(crate) fields: List,
}

impl Incoming {
    pub(crate) fn of(incoming: &types::Request) -> Self {
        let mut fields = incoming.get_headers().copy_all();
        fields.retain(|(name, _)| !facts::is_idle(name));
        Self { method: incoming.get_method(), path: incoming.get_path_with_query(), fields }
    }

    /// Makes the head of a request of it; `request` is the one that it was read from.
    ///
    /// # Errors
    /// When its method is none of HTTP.
    pub(crate) fn head(self, request: &types::Request) -> Result<http::Request<()>, ErrorCode> {
        let mut head = http::Request::new(());
        *head.method_mut() =
            Method::try_from(self.method).map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
        *head.headers_mut() = fields::from_list(&self.fields);
        let path = self.path.unwrap_or_else(|| "/".to_owned());
        let full = facts::full_url(head.headers());
        *head.uri_mut() = uri(full.or_else(|| own_url(request)), path);
        Ok(head)
    }
}

/// Gives a request its body, once it is known that it may be needed.
///
/// A request without a length may have a body or none, and only reading it tells: what has none may be answered from the
/// cache.
pub(crate) async fn whole(
    head: http::Request<()>,
    incoming: types::Request,
    bodies: &Bodies,
) -> http::Request<Body> {
    let body = match length(head.headers()) {
        Some(0) => Body::Empty,
        Some(_) => bodies.keep(HostBody::Request(incoming)),
        // DIFFERENCE: Spin does not tell that content comes in chunks, and to look for some costs every request.
        // These methods give it no meaning (RFC 9110 9.3.1), so theirs is passed on where its length is announced.
        None if matches!(*head.method(), Method::GET | Method::HEAD) => Body::Empty,
        None => {
            let mut reader = Reader::of_request(incoming);
            match reader.peek().await {
                true => bodies.keep(HostBody::Begun(reader)),
                false => Body::Empty,
            }
        }
    };
    head.map(|()| body)
}

/// The length that a message announces; one that is no number counts as none.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn own_url(incoming: &types::Request) -> Option<Uri> {
    let scheme = match incoming.get_scheme()? {
        types::Scheme::Http => "http",
        types::Scheme::Https => "https",
        types::Scheme::Other(_) => return None,
    };
    Uri::builder().scheme(scheme).authority(incoming.get_authority()?).path_and_query("/").build().ok()
}

/// Joins the place that a request was sent to with the path and query as the client wrote them.
///
/// Spin's full URL has the path too, but not always the client's spelling of it. What makes no URL is left to the core to
/// refuse.
fn uri(place: Option<Uri>, path: String) -> Uri {
    let Ok(path) = PathAndQuery::try_from(path) else { return Uri::from_static("*") };
    let mut parts = place.map(Uri::into_parts).unwrap_or_default();
    parts.path_and_query = Some(path.clone());
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_spins_and_the_path_the_clients() {
        let place = || "https://shop.example:8443/other?x".parse().ok();
        let rows = [
            (place(), "/a%2Fb?q=1", "https://shop.example:8443/a%2Fb?q=1"),
            (None, "/a?q", "/a?q"),
            ("/no-host".parse().ok(), "/a", "/a"),
            (place(), "/a b", "*"),
        ];
        for (place, path, expected) in rows {
            assert_eq!(uri(place.clone(), path.to_owned()).to_string(), expected, "{place:?} {path}");
        }
    }

    #[test]
    fn a_length_is_a_number() {
        for (value, expected) in
            [("0", Some(0)), (" 12 ", Some(12)), ("-1", None), ("1, 1", None), ("", None)]
        {
            let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, value.parse().expect("a value"))]);
            assert_eq!(length(&headers), expected, "{value}");
        }
        assert_eq!(length(&HeaderMap::new()), None);
    }
}
