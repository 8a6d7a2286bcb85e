//! The proof that a notice is this origin's, which does not show the token.
//!
//! `Selvedge-Signature: t=SECONDS, v1=HEX`: the time since 1970, and the HMAC-SHA-256 of `SECONDS.CONTENT` whose key is the
//! token, in lower-case hexadecimal digits. The edge takes it for five minutes.

use std::fmt::{self, Write as _};

use axum::http::{HeaderName, HeaderValue};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secret::Secret;

/// The header of a notice's signature.
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("selvedge-signature");

/// Signs with one token.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    pub(super) fn new(token: &Secret) -> Self {
        Self(Hmac::new_from_slice(token.reveal().as_bytes()).expect("a key may have any length"))
    }

    /// Signs a content; `now` is in milliseconds since 1970.
    pub(super) fn sign(&self, content: &[u8], now_ms: i64) -> HeaderValue {
        let seconds = (now_ms / 1000).to_string();
        let mac = self.0.clone().chain_update(&seconds).chain_update(".").chain_update(content);
        let mut value = format!("t={seconds}, v1=");
        for byte in mac.finalize().into_bytes() {
            write!(value, "{byte:02x}").expect("a string takes all");
        }
        HeaderValue::try_from(value).expect("digits make a header's value")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_signed_as_the_edge_reads_it() {
        let signed =
            Signer::new(&Secret::new("s3cret")).sign(br#"{"tags":["product-1"]}"#, 1_764_338_400_999);
        // By `printf '%s' '1764338400.{"tags":["product-1"]}' | openssl dgst -sha256 -hmac s3cret`.
        let expected = "t=1764338400, v1=f66c594c672324a0fdc36fc6d8549c6e51ae7cdc4b50e94c7d73a1e8b756c331";
        assert_eq!(signed, expected);
    }
}
