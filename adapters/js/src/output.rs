//! What the driver reads from the module's memory.

use crate::Outgoing;

/// How many common answers are kept.
const KEPT: usize = 64;

/// Longest answer that is kept, in bytes.
const MAX_KEPT_BYTES: usize = 8 * 1024;

/// A message to the driver and where it lies.
///
/// An edge gives few different answers of its own: the same page to everybody who is blocked, the same redirect.
/// Both sides keep the latest, so that one that comes again crosses as a number.
pub(crate) struct Output {
    text: Vec<u8>,
    bytes: Vec<u8>,
    kept: [Vec<u8>; KEPT],
    /// Address and length of the text, address and length of the bytes, and what to do with the text.
    places: [usize; 5],
}

impl Output {
    pub(crate) const fn new() -> Self {
        Self { text: Vec::new(), bytes: Vec::new(), kept: [const { Vec::new() }; KEPT], places: [0; 5] }
    }

    /// Takes a message and returns the address of its places.
    pub(crate) fn put(&mut self, message: Outgoing) -> usize {
        let Outgoing { text, bytes, is_common } = message;
        let keep =
            if is_common && bytes.is_empty() && text.len() <= MAX_KEPT_BYTES { self.keep(&text) } else { 0 };
        (self.text, self.bytes) = (text, bytes);
        self.places = [address(&self.text), self.text.len(), address(&self.bytes), self.bytes.len(), keep];
        self.places.as_ptr().addr()
    }

    /// An even number when the same text was kept, and an odd one when it is from now on.
    fn keep(&mut self, text: &[u8]) -> usize {
        let slot = slot(text);
        let number = 2 * slot + 1;
        if self.kept[slot] == text {
            return number + 1;
        }
        self.kept[slot] = text.to_vec();
        number
    }
}

/// Where a text is kept. Texts that meet in one place cost time and nothing else, since they are compared as well.
fn slot(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().copied().map(u64::from);
    // Knuth's multiplicative hashing (The Art of Computer Programming, volume 3, section 6.4).
    let hash = words
        .chain(rest)
        .fold(0_u64, |hash, word| (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29));
    usize::try_from(hash % KEPT as u64).unwrap_or(0)
}

pub(crate) fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(output: &mut Output, text: &str, bytes: &[u8], is_common: bool) -> usize {
        output.put(Outgoing { text: text.into(), bytes: bytes.to_vec(), is_common });
        output.places[4]
    }

    #[test]
    fn an_answer_that_comes_again_crosses_as_a_number() {
        let mut output = Output::new();
        let number = put(&mut output, "a", b"", true);
        assert_eq!(number % 2, 1, "it is read and kept the first time");
        assert_eq!(put(&mut output, "a", b"", true), number + 1);
        for other in 0..1000 {
            put(&mut output, &format!("other {other}"), b"", true);
        }
        assert_eq!(put(&mut output, "a", b"", true), number, "others have taken its place");
    }

    #[test]
    fn what_is_one_clients_own_is_never_kept() {
        let mut output = Output::new();
        assert_eq!(put(&mut output, "a", b"", false), 0);
        assert_eq!(put(&mut output, "a", b"body", true), 0);
        assert_eq!(put(&mut output, &"a".repeat(MAX_KEPT_BYTES + 1), b"", true), 0);
    }
}
