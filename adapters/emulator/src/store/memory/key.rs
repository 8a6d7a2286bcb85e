//! Keys of stored responses.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// Most bytes of a key that needs no memory of its own.
const SHORT_BYTES: usize = 78;

/// A key. A short one stands beside its entry: a lookup then reads one place of a large store less.
#[derive(Clone, Debug)]
pub(super) struct Key(Text);

#[derive(Clone, Debug)]
enum Text {
    Short { length: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

impl Key {
    pub(super) fn new(text: String) -> Self {
        let (mut bytes, length) = ([0; SHORT_BYTES], text.len());
        let Some(short) = bytes.get_mut(..length) else {
            return Self(Text::Long(text.into_bytes().into()));
        };
        short.copy_from_slice(text.as_bytes());
        Self(Text::Short { length: u8::try_from(length).expect("a short key has no more"), bytes })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Short { length, bytes } => &bytes[..usize::from(*length)],
            Text::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_is_found_by_its_bytes_however_long_it_is() {
        let texts: Vec<_> = [0, 1, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 5_000]
            .into_iter()
            .flat_map(|length| [b'a', 0].map(|last| [vec![b'k'; length], vec![last]].concat()))
            .collect();
        let keys = texts.iter().map(|text| Key::new(String::from_utf8(text.clone()).expect("it is ASCII")));
        let keys: HashSet<_> = keys.collect();
        assert_eq!(keys.len(), texts.len(), "keys that differ in their last byte are two");
        for text in texts {
            assert_eq!(keys.get(text.as_slice()).map(Key::as_bytes), Some(text.as_slice()));
        }
    }
}
