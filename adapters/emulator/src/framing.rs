//! Requests whose end, or whose host, could be found in two ways.
//!
//! hyper refuses most of them, and closes the connection after the rest. What it lets in although the edge cannot pass
//! it on is refused here: the transfer codings below `chunked`. The edge would name none of them to a backend, since
//! `Transfer-Encoding` ends with a connection, and send their bytes as if they were the content. Over HTTP/2 a `Host` that is not that of
//! `:authority` is refused too, as [RFC 9113 section 8.3.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1) asks for.

use bytes::Bytes;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};

use crate::status::text;

/// Returns the answer to a request that is refused; an HTTP/1.1 connection ends with it.
pub(crate) fn refusal<B>(request: &Request<B>) -> Option<Response<Bytes>> {
    if request.version() == Version::HTTP_2 && !is_one_host(request.uri(), request.headers()) {
        return Some(text(StatusCode::BAD_REQUEST, "the Host is not that of the authority\n"));
    }
    let (status, words) = match codings(request.headers()) {
        Codings::None | Codings::Chunked => return None,
        Codings::ChunkedAgain => (StatusCode::BAD_REQUEST, "the body is in chunks of chunks\n"),
        Codings::Other => (StatusCode::NOT_IMPLEMENTED, "the only transfer coding is chunked\n"),
    };
    let mut response = text(status, words);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

/// Whether `Host` names what the target does, or says nothing.
fn is_one_host(uri: &Uri, headers: &HeaderMap) -> bool {
    let Some(authority) = uri.authority() else { return true };
    let is_same = |host: &HeaderValue| {
        without_port(host.as_bytes(), uri)
            .eq_ignore_ascii_case(without_port(authority.as_str().as_bytes(), uri))
    };
    headers.get_all(HOST).iter().all(is_same)
}

/// Takes the port off that the scheme implies.
fn without_port<'a>(authority: &'a [u8], uri: &Uri) -> &'a [u8] {
    let port: &[u8] = if uri.scheme() == Some(&Scheme::HTTPS) { b":443" } else { b":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// How a body is coded for its transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codings {
    /// Not at all.
    None,
    /// As every recipient knows it.
    Chunked,
    /// Nobody may do that: [RFC 9112 section 7.1](https://www.rfc-editor.org/rfc/rfc9112#section-7.1).
    ChunkedAgain,
    /// 501 by [RFC 9112 section 6.1](https://www.rfc-editor.org/rfc/rfc9112#section-6.1).
    Other,
}

fn codings(headers: &HeaderMap) -> Codings {
    let values = headers.get_all(TRANSFER_ENCODING).iter();
    let members = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut found = Codings::None;
    for coding in members.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty()) {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Codings::Other;
        }
        found = if found == Codings::None { Codings::Chunked } else { Codings::ChunkedAgain };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_that_of_the_authority_whatever_its_case_and_its_implied_port() {
        let rows: [(&str, &[&str], bool); 8] = [
            ("http://a.example/", &[], true),
            ("http://a.example/", &["A.example"], true),
            ("http://a.example/", &["a.example:80"], true),
            ("https://a.example:443/", &["a.example"], true),
            ("http://a.example/", &["a.example:443"], false),
            ("http://a.example/", &["b.example"], false),
            ("http://a.example/", &["a.example", "b.example"], false),
            ("/", &["b.example"], true),
        ];
        for (uri, hosts, expected) in rows {
            let hosts = hosts.iter().map(|host| (HOST, host.parse().expect("a value"))).collect();
            assert_eq!(is_one_host(&uri.parse().expect("a target"), &hosts), expected, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn only_chunked_and_only_once_is_let_in() {
        let rows: [(&[&str], Codings); 9] = [
            (&[], Codings::None),
            (&["chunked"], Codings::Chunked),
            (&[" Chunked ,"], Codings::Chunked),
            (&["chunked, chunked"], Codings::ChunkedAgain),
            (&["chunked", "chunked"], Codings::ChunkedAgain),
            (&["gzip, chunked"], Codings::Other),
            (&["gzip", "chunked"], Codings::Other),
            (&["identity, chunked"], Codings::Other),
            (&["chunked;a=b"], Codings::Other),
        ];
        for (values, expected) in rows {
            let fields = values.iter().map(|value| (TRANSFER_ENCODING, value.parse().expect("a value")));
            assert_eq!(codings(&fields.collect()), expected, "{values:?}");
        }
    }
}
