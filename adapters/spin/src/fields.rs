//! Header fields on their way between `http` and `wasi:http`, which has them as bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use spin_sdk::wasip3::http::types::Fields;

/// Fields that `wasi:http` keeps to itself: with one of them a whole list is refused.
const KEPT_BY_HOST: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    HeaderName::from_static("http2-settings"),
];

/// Fields as `wasi:http` lists them: each name with one value, as often as it is there.
pub(crate) type List = Vec<(String, Vec<u8>)>;

/// Reads fields; repeated ones stay repeated and in order, and values may be any bytes that HTTP allows.
///
/// All values share one piece of memory, so that a copy of the fields is soon made.
pub(crate) fn from_list(list: &[(String, Vec<u8>)]) -> HeaderMap {
    let values: Vec<_> = list.iter().map(|(_, value)| value.as_slice()).collect();
    let mut rest = Bytes::from(values.concat());
    let mut headers = HeaderMap::with_capacity(list.len());
    for (name, value) in list {
        let value = rest.split_to(value.len());
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_maybe_shared(value))
        else {
            // The host has read them as HTTP before.
            continue;
        };
        headers.append(name, value);
    }
    headers
}

/// Lists fields, but for those that the host sees to itself.
pub(crate) fn to_list(headers: &HeaderMap) -> List {
    let mut list = List::with_capacity(headers.len());
    let fields = headers.iter().filter(|(name, _)| !KEPT_BY_HOST.contains(name));
    list.extend(fields.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())));
    list
}

/// Hands fields to the host. One that it refuses is left out, rather than all of them.
pub(crate) fn to_host(headers: &HeaderMap) -> Fields {
    let list = to_list(headers);
    Fields::from_list(&list).unwrap_or_else(|_| {
        let fields = Fields::new();
        for (name, value) in &list {
            if fields.append(name, value).is_err() {
                selvedge_log::write_log("WARN", &format!("Spin does not take the header field `{name}`"));
            }
        }
        fields
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_fields_and_any_bytes_survive_both_ways() {
        let list: List = [
            ("set-cookie", b"a=1".as_slice()),
            ("x-bytes", b"\xff\xfe caf\xe9"),
            ("set-cookie", b"b=2"),
            ("x-empty", b""),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .to_vec();
        let headers = from_list(&list);
        let back = to_list(&headers);
        let cookies: Vec<_> = back.iter().filter(|(name, _)| name == "set-cookie").collect();
        assert_eq!(
            (cookies[0].1.as_slice(), cookies[1].1.as_slice()),
            (b"a=1".as_slice(), b"b=2".as_slice())
        );
        assert!(back.contains(&("x-bytes".to_owned(), b"\xff\xfe caf\xe9".to_vec())));
        assert!(back.contains(&("x-empty".to_owned(), Vec::new())));
    }

    #[test]
    fn what_is_no_field_is_left_out_and_so_is_what_the_host_keeps() {
        let list = [("bad name", "a"), ("x-break", "a\r\nb"), ("Keep-Alive", "5"), ("x-good", "a")];
        let list = list.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        assert_eq!(to_list(&from_list(&list)), [("x-good".to_owned(), b"a".to_vec())]);
    }
}
