//! Requests whose end could be found in two ways.
//!
//! hyper refuses most of them, and closes the connection after the rest. What it lets in although the edge cannot pass
//! it on is refused here: the transfer codings below `chunked`. The edge would name none of them to a backend, since
//! `Transfer-Encoding` ends with a connection, and send their bytes as if they were the content.

use bytes::Bytes;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::status::text;

/// Returns the answer to a request that is refused; the connection ends with it.
pub(crate) fn refusal(headers: &HeaderMap) -> Option<Response<Bytes>> {
    let (status, words) = match codings(headers) {
        Codings::None | Codings::Chunked => return None,
        Codings::ChunkedAgain => (StatusCode::BAD_REQUEST, "the body is in chunks of chunks\n"),
        Codings::Other => (StatusCode::NOT_IMPLEMENTED, "the only transfer coding is chunked\n"),
    };
    let mut response = text(status, words);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
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
