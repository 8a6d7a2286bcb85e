//! Cursors: where a page of a list ends, in a form that clients need not understand.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::resource::Kind;

/// Bytes of a cursor: the kind's letter, then the id.
const LENGTH: usize = 9;

/// Returns the cursor of the page after an id.
pub(crate) fn encode(kind: Kind, id: i64) -> String {
    let mut bytes = [0; LENGTH];
    bytes[0] = letter(kind);
    bytes[1..].copy_from_slice(&id.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor of this kind; `None` for anything else.
pub(crate) fn decode(kind: Kind, text: &str) -> Option<i64> {
    let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (first, id) = bytes.split_first()?;
    (*first == letter(kind)).then(|| id.try_into().map(i64::from_be_bytes).ok()).flatten()
}

fn letter(kind: Kind) -> u8 {
    match kind {
        Kind::User => b'u',
        Kind::Product => b'p',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_only_by_its_kind() {
        for id in [0, 1, i64::MAX, i64::MIN] {
            let cursor = encode(Kind::User, id);
            assert_eq!(decode(Kind::User, &cursor), Some(id));
            assert_eq!(decode(Kind::Product, &cursor), None, "a cursor of users is none of products");
        }
        for none in ["", "1", "dQ", "====", "dQAAAAAAAAAB\u{e9}"] {
            assert_eq!(decode(Kind::User, none), None, "{none}");
        }
    }
}
