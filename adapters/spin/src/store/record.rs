//! The form of what is in a slot.

use selvedge_core::transaction::Seed;
use serde::{Deserialize, Serialize};

use super::layout::Class;

/// The form's version: what another version wrote counts as not there.
const FORM: u8 = 1;

const SEAL_BYTES: usize = 1 + 2 * size_of::<Seed>();

/// Tells what one writer wrote from all else: the parts of an entry have the generation of its head.
pub(crate) type Generation = Seed;

/// What the first slot of an entry holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head<'a> {
    /// The whole key.
    pub(crate) key: &'a str,
    /// When it was written, and when it is of no use any more, in milliseconds since 1970.
    pub(crate) written: u64,
    pub(crate) expires: u64,
    /// Everything of the entry but its body.
    pub(crate) meta: &'a [u8],
    /// Its body.
    #[serde(borrow)]
    pub(crate) content: Content<'a>,
}

/// Where the body of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content<'a> {
    /// In the head.
    Here(&'a [u8]),
    /// In slots of this class.
    Elsewhere {
        /// The class.
        class: Class,
        /// How long it is in all.
        bytes: u64,
    },
}

/// Writes a value with the generation at both ends, so that one of which only a part was written is known.
pub(crate) fn seal(generation: &Generation, content: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(content.len() + SEAL_BYTES);
    value.push(FORM);
    value.extend_from_slice(generation);
    value.extend_from_slice(content);
    value.extend_from_slice(generation);
    value
}

/// Reads a value; `None` when it is not whole, or another version's.
pub(crate) fn open(value: &[u8]) -> Option<(Generation, &[u8])> {
    let (generation, rest) = value.strip_prefix(&[FORM])?.split_first_chunk()?;
    let (content, end) = rest.split_last_chunk()?;
    (generation == end).then_some((*generation, content))
}

impl<'a> Head<'a> {
    /// Writes a head; `None` when it is longer than a slot.
    pub(crate) fn write(&self, generation: &Generation) -> Option<Vec<u8>> {
        let bytes = postcard::to_allocvec(self).expect("memory is the only limit of a head's size");
        (bytes.len() <= Class::Head.bytes()).then(|| seal(generation, &bytes))
    }

    /// Reads a head; `None` for what is none.
    pub(crate) fn read(value: &'a [u8]) -> Option<(Generation, Self)> {
        let (generation, content) = open(value)?;
        match postcard::take_from_bytes(content) {
            Ok((head, [])) => Some((generation, head)),
            Ok(_) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head<'a>() -> Head<'a> {
        let content = Content::Elsewhere { class: Class::Part, bytes: 1 << 20 };
        Head { key: "k", written: 1, expires: 2, meta: b"meta", content }
    }

    #[test]
    fn a_head_comes_back_and_one_that_is_cut_or_prolonged_does_not() {
        let value = head().write(&[7; 16]).expect("it is short");
        assert_eq!(Head::read(&value), Some(([7; 16], head())));
        for end in 0..value.len() {
            assert_eq!(Head::read(&value[..end]), None, "cut after {end} bytes");
        }
        assert_eq!(Head::read(&[&value[..], b"x"].concat()), None);
        assert_eq!(Head::read(&[b"\x02", &value[1..]].concat()), None, "another version");
        assert_eq!(Head::read(&seal(&[7; 16], b"\xff\xff\xff")), None);
    }

    #[test]
    fn a_head_is_as_long_as_a_slot_and_no_longer() {
        let body = vec![0; Class::Head.bytes()];
        let with = |bytes: usize| Head { content: Content::Here(&body[..bytes]), ..head() }.write(&[0; 16]);
        let empty = with(0).expect("it is short").len() - SEAL_BYTES;
        // The length of what is longer than 127 takes two bytes, and of what is longer than 16,383 three.
        let most = Class::Head.bytes() - empty - 1;
        assert_eq!(with(most).map(|value| value.len()), Some(Class::Head.bytes() + SEAL_BYTES));
        assert_eq!(with(most + 1), None);
    }

    proptest! {
        #[test]
        fn what_is_torn_between_two_writes_is_known(at in 0_usize..100, a: [u8; 16], b: [u8; 16]) {
            prop_assume!(a != b);
            let (one, two) = (seal(&a, &[1; 67]), seal(&b, &[2; 67]));
            let torn = [&one[..at], &two[at..]].concat();
            prop_assert!(open(&torn).is_none() || torn == one || torn == two);
        }

        #[test]
        fn bytes_of_any_kind_are_read_or_refused(bytes: Vec<u8>) {
            if let Some((generation, head)) = Head::read(&bytes) {
                prop_assert!(head.write(&generation).is_some());
            }
        }
    }
}
