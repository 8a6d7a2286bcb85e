//! What triggers tell each other: encrypted and authenticated, so that nobody else can write or read it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, AeadInOut as _, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use selvedge_core::transaction::Seed;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

const TAG_BYTES: usize = 16;

/// What a sealed text is for; one of another purpose does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// From viewer-request to origin-request and viewer-response.
    Learnt,
    /// From origin-request to origin-response.
    Passage,
    /// From the origin's triggers to viewer-response.
    Mark,
}

/// A key, and what it does.
pub(super) struct Seal(XChaCha20Poly1305);

impl Purpose {
    const fn label(self) -> &'static [u8; 8] {
        match self {
            Self::Learnt => b"learnt-1",
            Self::Passage => b"passage1",
            Self::Mark => b"mark---1",
        }
    }
}

impl Seal {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals a text. The nonce is the seed of this call of the function, which is fresh randomness, and the purpose: a call seals one text
    /// for each purpose at most.
    pub(super) fn close(&self, purpose: Purpose, seed: Seed, text: &[u8]) -> String {
        let mut sealed = Vec::with_capacity(seed.len() + text.len() + TAG_BYTES);
        sealed.extend_from_slice(&seed);
        sealed.extend_from_slice(text);
        let tag = self.0.encrypt_inout_detached(
            &nonce(purpose, seed),
            purpose.label(),
            (&mut sealed[seed.len()..]).into(),
        );
        sealed.extend_from_slice(&tag.expect("memory holds what is sealed"));
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// Opens it; `None` when it is not what [`close`](Self::close) made with this key for this purpose.
    pub(super) fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (seed, sealed) = bytes.split_first_chunk()?;
        let payload = Payload { msg: sealed, aad: purpose.label() };
        self.0.decrypt(&nonce(purpose, *seed), payload).ok()
    }
}

fn nonce(purpose: Purpose, seed: Seed) -> XNonce {
    let mut nonce = XNonce::default();
    let (first, last) = nonce.split_at_mut(seed.len());
    first.copy_from_slice(&seed);
    last.copy_from_slice(purpose.label());
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = *b"0123456789abcdef";

    #[test]
    fn only_the_key_and_the_purpose_open_a_text() {
        let seal = Seal::new(&[7; 32]);
        let sealed = seal.close(Purpose::Learnt, SEED, b"text");
        assert_eq!(seal.open(Purpose::Learnt, &sealed).as_deref(), Some(&b"text"[..]));
        assert_eq!(seal.open(Purpose::Mark, &sealed), None, "another purpose");
        assert_eq!(Seal::new(&[8; 32]).open(Purpose::Learnt, &sealed), None, "another key");
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("it is ASCII");
            assert_eq!(seal.open(Purpose::Learnt, &forged), None, "byte {at} is another one");
        }
        for garbage in ["", "A", "AAAA", "=", "\u{e9}"] {
            assert_eq!(seal.open(Purpose::Learnt, garbage), None, "{garbage}");
        }
    }
}
