//! Representations with validators: conditional requests
//! ([RFC 9110 section 13](https://www.rfc-editor.org/rfc/rfc9110#section-13)) and single ranges
//! ([section 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::RangeInclusive;
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

/// The header of the keys by which edges purge what they keep.
pub(crate) const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// What a representation says of itself, beside its content.
pub(crate) struct Resource<'a> {
    pub(crate) content_type: &'a str,
    pub(crate) cache_control: &'a str,
    /// Surrogate keys, by which edges purge it.
    pub(crate) tags: &'static str,
    pub(crate) modified: Option<SystemTime>,
}

/// Answers with the content, a part of it, or that it is unchanged.
pub(crate) fn respond(resource: &Resource<'_>, content: Bytes, request: &HeaderMap) -> Response {
    let etag = etag(&content);
    let mut response = Response::new(Body::empty());
    describe(resource, &etag, response.headers_mut());
    if is_unchanged(&etag, resource.modified, request) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(response.headers_mut(), header::CONTENT_TYPE, resource.content_type);
    match requested_range(resource, &etag, request, content.len()) {
        Requested::Whole => *response.body_mut() = Body::from(content),
        Requested::Part(range) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let described = format!("bytes {}-{}/{}", range.start(), range.end(), content.len());
            insert(response.headers_mut(), header::CONTENT_RANGE, &described);
            *response.body_mut() = Body::from(content.slice(range));
        }
        Requested::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{}", content.len()));
        }
    }
    response
}

fn describe(resource: &Resource<'_>, etag: &str, headers: &mut HeaderMap) {
    insert(headers, header::ETAG, etag);
    insert(headers, header::CACHE_CONTROL, resource.cache_control);
    headers.insert(SURROGATE_KEY, HeaderValue::from_static(resource.tags));
    if let Some(modified) = resource.modified {
        insert(headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).expect("the origin writes visible ASCII only"));
}

/// A strong entity tag: the same content has the same tag within one build.
fn etag(content: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// `If-None-Match` by weak comparison; `If-Modified-Since` only without it.
pub(crate) fn is_unchanged(etag: &str, modified: Option<SystemTime>, request: &HeaderMap) -> bool {
    if request.contains_key(header::IF_NONE_MATCH) {
        let mut tags = listed(request, header::IF_NONE_MATCH);
        return tags.any(|tag| tag == "*" || opaque(tag) == opaque(etag));
    }
    let since = request.get(header::IF_MODIFIED_SINCE).and_then(date);
    modified.zip(since).is_some_and(|(modified, since)| modified <= since)
}

/// A tag without its mark of weakness.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// What becomes of a precondition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    Holds,
    Fails,
}

/// `If-Match` of a request that has it, by strong comparison with the tag of what is there.
pub(crate) fn if_match(etag: &[u8], request: &HeaderMap) -> Precondition {
    match listed(request, header::IF_MATCH).any(|tag| tag == "*" || tag.as_bytes() == etag) {
        true => Precondition::Holds,
        false => Precondition::Fails,
    }
}

/// The members of a field that is a list of tags.
fn listed(request: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = request.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(members).map(str::trim)
}

/// Splits at the commas outside of quotes: a tag may have commas, and knows no escapes
/// ([RFC 9110 section 8.8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3)).
fn members(line: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    line.split(move |c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    })
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// The part of the content that is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Requested {
    Whole,
    Part(RangeInclusive<usize>),
    Unsatisfiable,
}

/// One range of bytes; several, or other units, are answered whole, as section 14.2 allows.
fn requested_range(resource: &Resource<'_>, etag: &str, request: &HeaderMap, length: usize) -> Requested {
    let text = request.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some(range) = text.and_then(|text| text.strip_prefix("bytes=")).filter(|range| !range.contains(','))
    else {
        return Requested::Whole;
    };
    if !range_still_holds(resource, etag, request) {
        return Requested::Whole;
    }
    parse_range(range.trim(), length)
}

/// `If-Range` by strong comparison, or by the exact date.
fn range_still_holds(resource: &Resource<'_>, etag: &str, request: &HeaderMap) -> bool {
    match request.get(header::IF_RANGE) {
        None => true,
        Some(value) if value.as_bytes() == etag.as_bytes() => true,
        Some(value) => date(value).is_some_and(|date| resource.modified == Some(date)),
    }
}

fn parse_range(range: &str, length: usize) -> Requested {
    let Some((first, last)) = range.split_once('-') else { return Requested::Whole };
    let (start, end) = match (first, number(first), last, number(last)) {
        ("", _, _, Some(0)) => return Requested::Unsatisfiable,
        ("", _, _, Some(suffix)) => (length.saturating_sub(suffix), usize::MAX),
        (_, Some(start), "", _) => (start, usize::MAX),
        (_, Some(start), _, Some(end)) if start <= end => (start, end),
        _ => return Requested::Whole,
    };
    if start >= length { Requested::Unsatisfiable } else { Requested::Part(start..=end.min(length - 1)) }
}

/// A number too large for the type is larger than any content.
fn number(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_tag_ends_no_member() {
        let rows: [(&str, &[&str]); 4] = [
            (r#""a", W/"b""#, &[r#""a""#, r#"W/"b""#]),
            (r#""a,b","c""#, &[r#""a,b""#, r#""c""#]),
            (r#""a\","b""#, &[r#""a\""#, r#""b""#]),
            ("*", &["*"]),
        ];
        for (line, expected) in rows {
            assert_eq!(members(line).map(str::trim).collect::<Vec<_>>(), expected, "{line}");
        }
        let mut request = HeaderMap::new();
        request.insert(header::IF_MATCH, HeaderValue::from_static(r#""a,"b",c""#));
        assert_eq!(if_match(br#""b""#, &request), Precondition::Fails, "only whole tags count");
        request.insert(header::IF_NONE_MATCH, HeaderValue::from_static(r#""x,"1","y""#));
        assert!(!is_unchanged("\"1\"", None, &request));
    }

    #[test]
    fn ranges_are_those_of_rfc_9110_section_14() {
        let rows = [
            ("0-0", Requested::Part(0..=0)),
            ("2-5", Requested::Part(2..=5)),
            ("5-", Requested::Part(5..=9)),
            ("-3", Requested::Part(7..=9)),
            ("-99", Requested::Part(0..=9)),
            ("5-99", Requested::Part(5..=9)),
            ("10-", Requested::Unsatisfiable),
            ("-0", Requested::Unsatisfiable),
            ("5-2", Requested::Whole),
            ("a-b", Requested::Whole),
            ("-", Requested::Whole),
            ("", Requested::Whole),
        ];
        for (range, expected) in rows {
            assert_eq!(parse_range(range, 10), expected, "{range}");
        }
    }
}
