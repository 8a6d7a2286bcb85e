//! Signed notices: proof of the purge token that does not show it, and that holds for one content and a few minutes.
//!
//! ```text
//! Selvedge-Signature: t=1764338400, v1=5b1e…
//! ```
//!
//! `t` is the time in seconds since 1970, and `v1` the HMAC-SHA-256 of `t`, a full stop and the request's content, in 64
//! lower-case hexadecimal digits; its key is the token.
//!
//! DIFFERENCE: not [HTTP Message Signatures](https://www.rfc-editor.org/rfc/rfc9421), whose choice of what is signed and
//! how is for parties that do not know each other. Here one thing is signed in one way, and neither path nor method need
//! a signature, as this page alone reads it. The same notice may come twice within its time: purges are idempotent.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName};
use selvedge_core::time::Timestamp;
use sha2::Sha256;

use crate::config::PurgeToken;

const SIGNATURE: HeaderName = HeaderName::from_static("selvedge-signature");

/// How far the time of a signature may lie in the past, and in the future: clocks are never quite the same.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// A signature that is well-formed and of this time; whose it is shows with the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    seconds: String,
    tag: [u8; 32],
}

impl Signature {
    /// Reads the signature of a request; `None` without one, and of one that is malformed, repeated or too far from `now`.
    pub(crate) fn of(headers: &HeaderMap, now: Timestamp) -> Option<Self> {
        let mut values = headers.get_all(SIGNATURE).iter();
        let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
        let (seconds, tag) = value.strip_prefix("t=")?.split_once(", v1=")?;
        let is_number = seconds.bytes().all(|digit| digit.is_ascii_digit());
        let millis = seconds.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(1000)?;
        let distance = Duration::from_millis(millis.abs_diff(now.as_millis()));
        let signature = Self { seconds: seconds.to_owned(), tag: digits(tag)? };
        (distance <= MAX_AGE).then_some(signature)
    }

    /// Whether who signed this content has the token; how long it takes says nothing of how much is right.
    pub(crate) fn is_of(&self, token: &PurgeToken, content: &[u8]) -> bool {
        let mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("a key may have any length");
        let mac = mac.chain_update(&self.seconds).chain_update(".").chain_update(content);
        mac.verify_slice(&self.tag).is_ok()
    }
}

/// Reads bytes in lower-case hexadecimal digits.
fn digits(text: &str) -> Option<[u8; 32]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = br#"{"tags":["product-1"]}"#;
    /// By `printf '%s' '1764338400.{"tags":["product-1"]}' | openssl dgst -sha256 -hmac s3cret`.
    const TAG: &str = "f66c594c672324a0fdc36fc6d8549c6e51ae7cdc4b50e94c7d73a1e8b756c331";
    const NOW: u64 = 1_764_338_400;

    fn token(text: &str) -> PurgeToken {
        PurgeToken::new(text.to_owned()).expect("a token")
    }

    fn signature(value: &str, now: u64) -> Option<Signature> {
        let headers = HeaderMap::from_iter([(SIGNATURE, value.parse().expect("a value"))]);
        Signature::of(&headers, Timestamp::from_millis(now * 1000))
    }

    #[test]
    fn a_signature_is_of_one_token_one_content_and_one_time() {
        let (token, other) = (token("s3cret"), token("s3cret2"));
        let signed = signature(&format!("t={NOW}, v1={TAG}"), NOW).expect("it is well-formed");
        assert!(signed.is_of(&token, CONTENT));
        assert!(!signed.is_of(&other, CONTENT), "of another token");
        assert!(!signed.is_of(&token, b"{\"everything\":true}"), "of another content");
        let later = signature(&format!("t={}, v1={TAG}", NOW + 1), NOW).expect("it is well-formed");
        assert!(!later.is_of(&token, CONTENT), "of another time");
        let flipped = format!("t={NOW}, v1={}{}", &TAG[..63], if TAG.ends_with('0') { '1' } else { '0' });
        assert!(!signature(&flipped, NOW).expect("it is well-formed").is_of(&token, CONTENT));
    }

    #[test]
    fn a_signature_holds_for_five_minutes_on_either_side() {
        let value = format!("t={NOW}, v1={TAG}");
        for (now, holds) in [
            (NOW, true),
            (NOW + 300, true),
            (NOW + 301, false),
            (NOW - 300, true),
            (NOW - 301, false),
            (0, false),
        ] {
            assert_eq!(signature(&value, now).is_some(), holds, "{now}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_no_signature() {
        let upper = TAG.to_uppercase();
        let rows = [
            String::new(),
            format!("t={NOW}"),
            format!("v1={TAG}"),
            format!("t=, v1={TAG}"),
            format!("t=+{NOW}, v1={TAG}"),
            format!("t=-{NOW}, v1={TAG}"),
            format!("t=18446744073709551615, v1={TAG}"),
            format!("t={NOW},v1={TAG}"),
            format!("t={NOW}, v1={}", &TAG[..62]),
            format!("t={NOW}, v1={TAG}00"),
            format!("t={NOW}, v1={upper}"),
            format!("t={NOW}, v1={TAG}, v1={TAG}"),
        ];
        for value in rows {
            assert_eq!(signature(&value, NOW), None, "{value}");
        }
        let twice = format!("t={NOW}, v1={TAG}");
        let mut headers = HeaderMap::new();
        headers.append(SIGNATURE, twice.parse().expect("a value"));
        headers.append(SIGNATURE, twice.parse().expect("a value"));
        assert_eq!(Signature::of(&headers, Timestamp::from_millis(NOW * 1000)), None, "it is said twice");
    }
}
