//! What keeps strangers out of the pages that change something.

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use crate::config::PurgeToken;
use crate::shared::Shared;
use crate::status::{not_found, text};

/// Answers whoever may not go on: without a token in the configuration there is no such page, and with one it takes a `POST` that has it.
pub(crate) fn refuse<B>(shared: &Shared, request: &Request<B>) -> Option<Response<Bytes>> {
    let Some(token) = &shared.config.purge_token else { return Some(not_found()) };
    if !is_authorized(request.headers(), token) {
        return Some(unauthorized("a token is needed\n"));
    }
    refuse_method(request.method())
}

/// Says what is needed to go on.
pub(crate) fn unauthorized(needed: &'static str) -> Response<Bytes> {
    with(text(StatusCode::UNAUTHORIZED, needed), WWW_AUTHENTICATE, "Bearer")
}

/// Answers what is no `POST`.
pub(crate) fn refuse_method(method: &Method) -> Option<Response<Bytes>> {
    (method != Method::POST).then(|| with(text(StatusCode::METHOD_NOT_ALLOWED, "use POST\n"), ALLOW, "POST"))
}

/// Whether a request has the token itself.
pub(crate) fn is_authorized(headers: &HeaderMap, token: &PurgeToken) -> bool {
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some((scheme, given)) = given.split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(given.trim_ascii())
}

fn with(mut response: Response<Bytes>, name: HeaderName, value: &'static str) -> Response<Bytes> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_counts() {
        let rows = [
            ("Bearer s3cret", true),
            ("bearer  s3cret ", true),
            ("Bearer s3cre", false),
            ("Bearer s3cret2", false),
            ("Bearer", false),
            ("Basic s3cret", false),
            ("", false),
        ];
        assert!(PurgeToken::new(String::new()).is_none(), "nothing is no secret");
        let token = PurgeToken::new("s3cret".to_owned()).expect("a token");
        assert!(!format!("{token:?}").contains("s3cret"));
        for (value, expected) in rows {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a value"))]);
            assert_eq!(is_authorized(&headers, &token), expected, "{value}");
        }
        assert!(!is_authorized(&HeaderMap::new(), &token));
    }
}
