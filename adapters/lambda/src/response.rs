//! From the core's response to what each front takes.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Serialize, Serializer};

use crate::event::Front;

/// Most bytes of a whole result in JSON, as of a request: 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub(crate) const MAX_RESULT_BYTES: usize = 6 * 1024 * 1024;

/// Most bytes of a whole result for a load balancer: 1 MB
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>).
pub(crate) const MAX_LOAD_BALANCER_BYTES: usize = 1024 * 1024;

/// A response in memory.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Buffered<'a> {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Joined<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<Repeated<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Vec<Cow<'a, str>>>,
    body: Cow<'a, str>,
    is_base64_encoded: bool,
}

/// What goes before the body of a response that streams.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prelude<'a> {
    status_code: u16,
    headers: Joined<'a>,
    cookies: Vec<Cow<'a, str>>,
}

/// Headers of which each has one text: the values of a repeated one are joined, which
/// [RFC 9110 section 5.3](https://www.rfc-editor.org/rfc/rfc9110#section-5.3) allows for all but `Set-Cookie`.
struct Joined<'a> {
    headers: &'a HeaderMap,
    cookies: Cookies,
}

/// Headers of which each has a list of texts.
struct Repeated<'a>(&'a HeaderMap);

/// Where `Set-Cookie` goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cookies {
    /// Into a list of their own.
    Apart,
    /// Among the headers, each in another spelling of the name: a map of JSON has a name once, and no client minds the case.
    Spelled,
}

/// Most bytes of a result that a front takes.
pub(crate) const fn max_bytes(front: Front) -> usize {
    match front {
        Front::Version1 | Front::Version2 => MAX_RESULT_BYTES,
        Front::LoadBalancer { .. } => MAX_LOAD_BALANCER_BYTES,
    }
}

/// Writes a response as a front takes it. A body that is text goes as it is, another one in base64.
pub(crate) fn encode(front: Front, head: &Parts, body: &[u8]) -> Vec<u8> {
    let (text, is_base64_encoded) = match std::str::from_utf8(body) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (Cow::Owned(BASE64_STANDARD.encode(body)), true),
    };
    let headers = &head.headers;
    let joined = |cookies| Some(Joined { headers, cookies });
    let mut response = Buffered {
        status_code: head.status.as_u16(),
        status_description: None,
        headers: None,
        multi_value_headers: None,
        cookies: None,
        body: text,
        is_base64_encoded,
    };
    match front {
        Front::Version2 => {
            response.headers = joined(Cookies::Apart);
            response.cookies = Some(cookies(headers));
        }
        Front::Version1 => response.multi_value_headers = Some(Repeated(headers)),
        Front::LoadBalancer { multi_value } => {
            let reason = head.status.canonical_reason().unwrap_or("Unknown");
            response.status_description = Some(format!("{} {reason}", head.status.as_u16()));
            if multi_value {
                response.multi_value_headers = Some(Repeated(headers));
            } else {
                response.headers = joined(Cookies::Spelled);
            }
        }
    }
    serde_json::to_vec(&response).expect("texts and numbers are JSON")
}

/// Writes what goes before the body of a
/// [response that streams](https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html).
pub(crate) fn prelude(head: &Parts) -> Vec<u8> {
    let headers = &head.headers;
    let prelude = Prelude {
        status_code: head.status.as_u16(),
        headers: Joined { headers, cookies: Cookies::Apart },
        cookies: cookies(headers),
    };
    let mut bytes = serde_json::to_vec(&prelude).expect("texts and numbers are JSON");
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

fn cookies(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    headers.get_all(header::SET_COOKIE).iter().map(text).collect()
}

/// Bytes that are not UTF-8 are taken for Latin-1, as
/// [RFC 9110 section 5.5](https://www.rfc-editor.org/rfc/rfc9110#section-5.5) says they once were.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.as_bytes().iter().map(|&byte| char::from(byte)).collect()),
    }
}

impl Joined<'_> {
    fn value(&self, name: &HeaderName) -> Cow<'_, str> {
        let mut values = self.headers.get_all(name).iter().map(text);
        let first = values.next().unwrap_or_default();
        values.fold(first, |all, next| Cow::Owned(format!("{all}, {next}")))
    }
}

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let single = self.headers.keys().filter(|name| *name != header::SET_COOKIE);
        let single = single.map(|name| (Cow::Borrowed(name.as_str()), self.value(name)));
        let spelled = (self.cookies == Cookies::Spelled).then(|| cookies(self.headers));
        let spelled = spelled.into_iter().flatten().enumerate();
        let spelled = spelled.map(|(at, cookie)| (Cow::Owned(spelling(at)), cookie));
        serializer.collect_map(single.chain(spelled))
    }
}

impl Serialize for Repeated<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = |name| self.0.get_all(name).iter().map(text).collect::<Vec<_>>();
        serializer.collect_map(self.0.keys().map(|name| (name.as_str(), values(name))))
    }
}

/// `set-cookie` with the letters that the bits of a number name in upper case.
fn spelling(number: usize) -> String {
    let mut bits = number;
    let spell = |letter: char| {
        if !letter.is_ascii_alphabetic() {
            return letter;
        }
        let is_upper = bits & 1 == 1;
        bits >>= 1;
        if is_upper { letter.to_ascii_uppercase() } else { letter }
    };
    "set-cookie".chars().map(spell).collect()
}

#[cfg(test)]
mod tests;
