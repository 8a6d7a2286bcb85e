//! The end of a backend's response: found in one way, or the response is none.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use selvedge_core::effect::FetchError;

/// Checks what a response says about its end, and says it once where it is said twice.
///
/// # Errors
/// When it has a length and a transfer coding, which is to be handled as an error, or several lengths, or `chunked` and another coding, which
/// nobody asked for ([section 7.4](https://www.rfc-editor.org/rfc/rfc9112#section-7.4)) and no client would know of. Without `chunked` the
/// end of the connection is that of the response ([RFC 9112 section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)).
pub(crate) fn settle(headers: &mut HeaderMap) -> Result<(), FetchError> {
    if headers.contains_key(TRANSFER_ENCODING) {
        let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let (chunked, others): (Vec<_>, Vec<_>) =
            members(headers, &TRANSFER_ENCODING).partition(|coding| is_chunked(coding));
        let has_one_end = chunked.is_empty() || (chunked.len() == 1 && others.is_empty());
        let is_sole = has_one_end && !headers.contains_key(CONTENT_LENGTH);
        return if is_sole { Ok(()) } else { Err(FetchError::Protocol) };
    }
    if !headers.contains_key(CONTENT_LENGTH) {
        return Ok(());
    }
    let mut lengths = members(headers, &CONTENT_LENGTH).map(length);
    let first = lengths.next().flatten().ok_or(FetchError::Protocol)?;
    let mut is_repeated = false;
    for another in lengths {
        if another != Some(first) {
            return Err(FetchError::Protocol);
        }
        is_repeated = true;
    }
    if is_repeated {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(first));
    }
    Ok(())
}

fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn length(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn settled(pairs: Fields<'_>) -> Result<Vec<String>, FetchError> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).expect("a name"), value.parse().expect("a value"));
        }
        settle(&mut headers)?;
        Ok(headers.get_all(CONTENT_LENGTH).iter().map(|value| format!("{value:?}")).collect())
    }

    #[test]
    fn one_length_or_chunks_are_one_end() {
        let rows: [(Fields<'_>, &[&str]); 6] = [
            (&[], &[]),
            (&[("transfer-encoding", "odd")], &[]),
            (&[("transfer-encoding", "Chunked")], &[]),
            (&[("content-length", "4")], &["\"4\""]),
            (&[("content-length", "4"), ("content-length", "4")], &["\"4\""]),
            (&[("content-length", "4, 04")], &["\"4\""]),
        ];
        for (pairs, expected) in rows {
            assert_eq!(
                settled(pairs),
                Ok(expected.iter().map(|text| (*text).to_owned()).collect()),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn what_has_two_ends_is_no_response() {
        let rows: [Fields<'_>; 10] = [
            &[("content-length", "4"), ("content-length", "5")],
            &[("content-length", "4"), ("transfer-encoding", "odd")],
            &[("transfer-encoding", "chunked, identity")],
            &[("content-length", "4, 5")],
            &[("content-length", "+4")],
            &[("content-length", "")],
            &[("content-length", "18446744073709551616")],
            &[("content-length", "4"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ];
        for pairs in rows {
            assert_eq!(settled(pairs), Err(FetchError::Protocol), "{pairs:?}");
        }
    }
}
