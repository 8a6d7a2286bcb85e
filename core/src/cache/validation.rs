//! Whether a stored response still holds, and what the origin's answer changes.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::stored::StoredResponse;
use crate::time::Timestamp;

/// Conditions that a request can be made under, all of them about the representation that a client has.
static CONDITIONS: [HeaderName; 5] = [
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_MATCH,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
];

/// Fields of a stored response that a 304 or a response to `HEAD` does not change, beside those that are never stored.
///
/// [RFC 9111 section 3.2](https://www.rfc-editor.org/rfc/rfc9111#section-3.2): what describes the stored bytes themselves stays.
static ABOUT_THE_CONTENT: [HeaderName; 6] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ETAG,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
];

/// Whether the origin's answer is about the stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It is: the stored response holds.
    Same,
    /// It is about another one.
    Other,
}

/// Returns whether a response has what it can be validated by: an entity tag, or a date of its last change.
#[must_use]
pub fn has_validator(response: &HeaderMap) -> bool {
    response.contains_key(header::ETAG) || response.get(header::LAST_MODIFIED).and_then(http_date).is_some()
}

/// Asks whether a stored response still holds, in place of whatever the client asked,
/// [RFC 9111 section 4.3.1](https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1).
pub fn ask(stored: &StoredResponse, request: &mut HeaderMap) {
    remove_conditions(request);
    let stored = stored.headers();
    if let Some(etag) = stored.get(header::ETAG) {
        request.insert(header::IF_NONE_MATCH, etag.clone());
    }
    if let Some(modified) = stored.get(header::LAST_MODIFIED).filter(|value| http_date(value).is_some()) {
        request.insert(header::IF_MODIFIED_SINCE, modified.clone());
    }
}

/// Removes the client's conditions, so that the whole response comes.
pub fn remove_conditions(request: &mut HeaderMap) {
    for name in &CONDITIONS {
        request.remove(name);
    }
}

/// Returns whether a 304 is about the stored response that was asked about,
/// [RFC 9111 section 4.3.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4).
///
/// One that names a strong entity tag is about the response that has it; one without validators is about what was asked for.
#[must_use]
pub fn not_modified(stored: &StoredResponse, response: &HeaderMap) -> Confirmation {
    let stored = stored.headers();
    let modified = || Some(response.get(header::LAST_MODIFIED)? == stored.get(header::LAST_MODIFIED)?);
    let (new, old) = (response.get(header::ETAG), stored.get(header::ETAG));
    let is_same = match (new.and_then(entity_tag), old.and_then(entity_tag)) {
        (Some(new), Some(old)) => new.opaque == old.opaque,
        (Some(new), None) if !new.is_weak => modified() == Some(true),
        (None, Some(_)) => true,
        (Some(_) | None, None) => modified() != Some(false),
    };
    if is_same { Confirmation::Same } else { Confirmation::Other }
}

/// Returns whether a successful response to `HEAD` describes the stored response,
/// [RFC 9111 section 4.3.5](https://www.rfc-editor.org/rfc/rfc9111#section-4.3.5): what both say of validators and length
/// is the same.
#[must_use]
pub fn head(stored: &StoredResponse, response: &HeaderMap) -> Confirmation {
    let names = [header::ETAG, header::LAST_MODIFIED, header::CONTENT_LENGTH];
    let agrees = |name: &HeaderName| match (response.get(name), stored.field(name)) {
        (Some(new), Some(old)) => new.as_bytes() == old,
        (Some(_) | None, _) => true,
    };
    if names.iter().all(agrees) { Confirmation::Same } else { Confirmation::Other }
}

/// Returns the stored fields as a response that confirms them changes them,
/// [RFC 9111 section 3.2](https://www.rfc-editor.org/rfc/rfc9111#section-3.2).
///
/// Fields of the response replace those of the same name, but for the ones that describe the stored bytes.
#[must_use]
pub fn updated(stored: &HeaderMap, response: &HeaderMap) -> HeaderMap {
    let mut headers = stored.clone();
    for name in response.keys().filter(|name| !ABOUT_THE_CONTENT.contains(name)) {
        headers.remove(name);
        for value in response.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// A well-formed entity tag, [RFC 9110 section 8.8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3).
pub(super) struct EntityTag<'a> {
    is_weak: bool,
    /// Quotes included.
    opaque: &'a [u8],
}

/// Reads an entity tag; `None` when it is none.
pub(super) fn entity_tag(value: &HeaderValue) -> Option<EntityTag<'_>> {
    let text = value.as_bytes();
    let opaque = opaque(text);
    let inside = opaque.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!inside.contains(&b'"')).then_some(EntityTag { is_weak: opaque.len() < text.len(), opaque })
}

/// Returns the tag of a response when it is one that no two representations share.
pub(super) fn strong_tag(headers: &HeaderMap) -> Option<&[u8]> {
    let tag = entity_tag(headers.get(header::ETAG)?)?;
    (!tag.is_weak).then_some(tag.opaque)
}

/// The opaque part of what should be an entity tag, quotes included.
pub(super) fn opaque(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

pub(super) fn http_date(value: &HeaderValue) -> Option<Timestamp> {
    value.to_str().ok().and_then(Timestamp::from_http_date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::{headers, lifetimes, stored};

    const MODIFIED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    const LATER: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT");

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn kept(fields: &[(&str, &str)]) -> StoredResponse {
        stored(fields, &HeaderMap::new(), lifetimes(60, 0, 0))
    }

    #[test]
    fn the_question_is_about_what_is_stored_and_nothing_else() {
        let client =
            [("if-none-match", "\"client\""), ("if-match", "*"), ("if-range", "\"a\""), ("accept", "*/*")];
        let rows: [(Fields<'_>, Fields<'_>); 3] = [
            (&[("etag", "W/\"a\"")], &[("accept", "*/*"), ("if-none-match", "W/\"a\"")]),
            (&[MODIFIED], &[("accept", "*/*"), ("if-modified-since", MODIFIED.1)]),
            (
                &[MODIFIED, ("etag", "\"a\"")],
                &[("accept", "*/*"), ("if-none-match", "\"a\""), ("if-modified-since", MODIFIED.1)],
            ),
        ];
        for (fields, expected) in rows {
            let mut request = headers(&client);
            ask(&kept(fields), &mut request);
            assert_eq!(request, headers(expected), "RFC 9111 section 4.3.1: {fields:?}");
        }
    }

    #[test]
    fn an_answer_is_about_the_stored_response_when_its_validators_are() {
        use Confirmation::{Other, Same};
        let rows: [(Fields<'_>, Fields<'_>, Confirmation); 10] = [
            (&[MODIFIED], &[("etag", "\"a\"")], Other),
            (&[MODIFIED], &[("etag", "\"a\""), MODIFIED], Same),
            (&[("etag", "a")], &[("etag", "b")], Same),
            (&[("etag", "\"a\"")], &[("etag", "\"a\"")], Same),
            (&[("etag", "W/\"a\"")], &[("etag", "\"a\"")], Same),
            (&[("etag", "\"a\"")], &[("etag", "\"b\"")], Other),
            (&[("etag", "\"a\""), MODIFIED], &[LATER], Same),
            (&[MODIFIED], &[LATER], Other),
            (&[MODIFIED], &[MODIFIED], Same),
            (&[MODIFIED], &[], Same),
        ];
        for (fields, answer, expected) in rows {
            let found = not_modified(&kept(fields), &headers(answer));
            assert_eq!(found, expected, "RFC 9111 section 4.3.4: {fields:?} {answer:?}");
        }
    }

    #[test]
    fn a_head_describes_the_stored_response_unless_something_differs() {
        use Confirmation::{Other, Same};
        let fields = [("etag", "\"a\""), ("content-length", "3"), MODIFIED];
        let rows: [(&[(&str, &str)], Confirmation); 5] = [
            (&[], Same),
            (&fields, Same),
            (&[("etag", "\"b\"")], Other),
            (&[("content-length", "4")], Other),
            (&[LATER], Other),
        ];
        for (answer, expected) in rows {
            assert_eq!(
                head(&kept(&fields), &headers(answer)),
                expected,
                "RFC 9111 section 4.3.5: {answer:?}"
            );
        }
    }

    #[test]
    fn an_update_replaces_all_but_what_describes_the_bytes() {
        let old = headers(&[
            ("link", "</a>"),
            ("link", "</b>"),
            ("x-kept", "1"),
            ("etag", "\"a\""),
            ("content-length", "3"),
            ("content-encoding", "gzip"),
            ("cache-control", "max-age=1"),
        ]);
        let new = headers(&[
            ("link", "</c>"),
            ("etag", "W/\"a\""),
            ("content-length", "0"),
            ("content-encoding", "br"),
            ("cache-control", "max-age=2"),
            ("x-new", "1"),
        ]);
        let expected = headers(&[
            ("x-kept", "1"),
            ("etag", "\"a\""),
            ("content-length", "3"),
            ("content-encoding", "gzip"),
            ("link", "</c>"),
            ("cache-control", "max-age=2"),
            ("x-new", "1"),
        ]);
        assert_eq!(updated(&old, &new), expected, "RFC 9111 section 3.2");
    }

    #[test]
    fn a_date_that_is_none_validates_nothing() {
        for (fields, expected) in [
            (&[("etag", "a")][..], true),
            (&[MODIFIED], true),
            (&[("last-modified", "yesterday")], false),
            (&[], false),
        ] {
            assert_eq!(has_validator(&headers(fields)), expected, "{fields:?}");
        }
    }
}
