//! The header fields of a stored response in one piece of memory.
//!
//! A store may hold a million of them, and a [`HeaderMap`] takes a kilobyte before the first letter. Fields lie one behind the other: a
//! byte for a name that is often used, or [`OTHER`] and the name; then the value. A length takes one byte, or [`LONG`] and four.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Packed fields, in the order of the map that they are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields(Box<[u8]>);

/// Stands before a name that is not of [`KNOWN`].
const OTHER: u8 = 255;
/// Stands before a length that one byte cannot hold.
const LONG: u8 = 255;
/// Fields for which there is room in a map beside those that are unpacked: what the edge itself adds.
const ROOM: usize = 4;

/// Names that take one byte.
static KNOWN: [HeaderName; 44] = [
    header::ACCEPT_RANGES,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::ALLOW,
    header::ALT_SVC,
    header::CACHE_CONTROL,
    header::CACHE_STATUS,
    header::CDN_CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    header::PRAGMA,
    header::REFERRER_POLICY,
    header::RETRY_AFTER,
    header::SERVER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::VARY,
    header::VIA,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::X_XSS_PROTECTION,
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("permissions-policy"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-request-id"),
];

/// A name as it is packed.
#[derive(Clone, Copy)]
enum Name<'a> {
    Known(&'static HeaderName),
    Other(&'a [u8]),
}

impl Fields {
    pub(super) fn pack(headers: &HeaderMap) -> Self {
        let text: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 2).sum();
        let mut packed = Vec::with_capacity(text);
        for (name, value) in headers {
            match KNOWN.iter().position(|known| known == name).and_then(|at| u8::try_from(at).ok()) {
                Some(at) => packed.push(at),
                None => {
                    packed.push(OTHER);
                    push(&mut packed, name.as_str().as_bytes());
                }
            }
            push(&mut packed, value.as_bytes());
        }
        Self(packed.into())
    }

    /// Makes the map that was packed. All its values share one copy of the fields, so that no two answers share any.
    pub(super) fn unpack(&self) -> HeaderMap {
        let copy = Bytes::copy_from_slice(&self.0);
        let mut headers = HeaderMap::with_capacity(walk(&self.0).count() + ROOM);
        for (name, value) in walk(&copy) {
            let value = HeaderValue::from_maybe_shared(copy.slice_ref(value));
            headers.append(name.to_name(), value.expect("it was a header value when it was packed"));
        }
        headers
    }

    /// The first value of a name.
    pub(super) fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        walk(&self.0).find(|(packed, _)| packed.is(name)).map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Name<'_> {
    fn is(self, name: &HeaderName) -> bool {
        match self {
            Self::Known(known) => known == name,
            Self::Other(text) => text == name.as_str().as_bytes(),
        }
    }

    fn to_name(self) -> HeaderName {
        match self {
            Self::Known(known) => known.clone(),
            Self::Other(text) => {
                HeaderName::from_bytes(text).expect("it was a header name when it was packed")
            }
        }
    }
}

/// Goes through packed fields, names with values.
fn walk(packed: &[u8]) -> impl Iterator<Item = (Name<'_>, &[u8])> {
    let mut rest = packed;
    std::iter::from_fn(move || {
        let (&at, after) = rest.split_first()?;
        rest = after;
        let name = match KNOWN.get(usize::from(at)) {
            Some(known) => Name::Known(known),
            None => Name::Other(take(&mut rest)),
        };
        Some((name, take(&mut rest)))
    })
}

/// Appends a text after its length.
fn push(packed: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()) {
        Ok(length) if length != LONG => packed.push(length),
        Ok(_) | Err(_) => {
            let length = u32::try_from(text.len()).expect("http allows no field of four gigabytes");
            packed.push(LONG);
            packed.extend_from_slice(&length.to_le_bytes());
        }
    }
    packed.extend_from_slice(text);
}

/// Takes a text and its length from the front of what [`push`] made.
fn take<'a>(packed: &mut &'a [u8]) -> &'a [u8] {
    let (length, rest) = match **packed {
        [LONG, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
        [length, ref rest @ ..] => (usize::from(length), rest),
        [] => (0, &[][..]),
    };
    let (text, rest) = rest.split_at(length);
    *packed = rest;
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::headers;

    #[test]
    fn what_is_unpacked_is_what_was_packed() {
        let lengths = [0, 1, 254, 255, 256, 70_000].map(|length| "v".repeat(length));
        let mut fields: Vec<(&str, &str)> = lengths.iter().map(|value| ("x-own", value.as_str())).collect();
        fields.extend([("etag", "\"a\""), ("link", "</a>"), ("link", "</b>"), ("vary", "")]);
        let long_name = "n".repeat(300);
        fields.push((&long_name, "1"));
        let mut map = headers(&fields);
        map.append("x-bytes", HeaderValue::from_bytes(b"\xff\t\x80").unwrap());
        for map in [HeaderMap::new(), map] {
            let unpacked = Fields::pack(&map).unpack();
            assert_eq!(unpacked, map);
            assert!(unpacked.iter().eq(map.iter()), "in the same order");
        }
    }

    #[test]
    fn a_field_is_found_without_unpacking() {
        let fields = Fields::pack(&headers(&[("link", "</a>"), ("x-own", "1"), ("link", "</b>")]));
        let rows: [(HeaderName, Option<&[u8]>); 4] = [
            (header::LINK, Some(b"</a>")),
            (HeaderName::from_static("x-own"), Some(b"1")),
            (HeaderName::from_static("x-other"), None),
            (header::ETAG, None),
        ];
        for (name, expected) in rows {
            assert_eq!(fields.first(&name), expected, "{name}");
        }
    }

    #[test]
    fn every_known_name_is_packed_into_a_byte() {
        for name in &KNOWN {
            assert_eq!(Fields::pack(&headers(&[(name.as_str(), "")])).len(), 2, "{name}");
        }
    }
}
