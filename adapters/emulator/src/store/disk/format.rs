//! What the files hold, byte by byte.
//!
//! All numbers are little-endian. A head file is magic, version, CRC-32 of what follows, lengths of key and
//! entry, time to keep, id and length of the body (both zero without one), key and entry. A body file is magic,
//! version, id and CRC-32 of these; then blocks of 64 KiB, the last one shorter, each with its CRC-32 behind it.
//! A block's checksum also covers the body's id and the block's number, so that no block passes for another.

use std::num::NonZeroU64;

use selvedge_core::time::Timestamp;
use sha2::{Digest as _, Sha256};

/// Content bytes of one block.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of a checksum.
pub(super) const SUM_BYTES: usize = 4;
/// Bytes of a body file before its first block.
pub(super) const BODY_HEADER_BYTES: usize = 24;
/// Longest head file; a key and a head are a few KiB.
pub(super) const MAX_HEAD_FILE_BYTES: u64 = 1024 * 1024;

const HEAD_MAGIC: &[u8; 8] = b"SELVHEAD";
const BODY_MAGIC: &[u8; 8] = b"SELVBODY";
const VERSION: u32 = 1;
/// Where a head file's checksum ends and what it covers begins.
const SUMMED_FROM: usize = 16;
/// Bytes of a head file before its key.
const HEAD_FIXED_BYTES: usize = 48;

/// What names an entry's files: SHA-256 of its key.
pub(super) type Digest = [u8; 32];

/// Tells a body from every other that was ever stored, also under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyId(NonZeroU64);

/// The body that a head belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyRef {
    pub(super) id: BodyId,
    /// Bytes of content.
    pub(super) length: u64,
}

/// What a head file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeadFile {
    pub(super) key: String,
    /// As [`encode_entry`](selvedge_core::wire::encode_entry) writes it.
    pub(super) entry: Vec<u8>,
    pub(super) keep_until: Timestamp,
    pub(super) body: Option<BodyRef>,
}

impl BodyId {
    /// Draws an id.
    pub(super) fn random() -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the operating system gives randomness once it is up");
        Self(NonZeroU64::new(u64::from_le_bytes(bytes)).unwrap_or(NonZeroU64::MIN))
    }

    pub(super) fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    pub(super) const fn number(self) -> u64 {
        self.0.get()
    }
}

impl HeadFile {
    /// Writes the file; `None` when it would be too long to be read again.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let length = HEAD_FIXED_BYTES + self.key.len() + self.entry.len();
        if length as u64 > MAX_HEAD_FILE_BYTES {
            return None;
        }
        let (id, body_length) = self.body.map_or((0, 0), |body| (body.id.number(), body.length));
        let mut file = Vec::with_capacity(length);
        file.extend_from_slice(HEAD_MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&[0; SUM_BYTES]);
        file.extend_from_slice(&u32::try_from(self.key.len()).ok()?.to_le_bytes());
        file.extend_from_slice(&u32::try_from(self.entry.len()).ok()?.to_le_bytes());
        for number in [self.keep_until.as_millis(), id, body_length] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend_from_slice(self.key.as_bytes());
        file.extend_from_slice(&self.entry);
        let sum = crc32fast::hash(&file[SUMMED_FROM..]);
        file[SUMMED_FROM - SUM_BYTES..SUMMED_FROM].copy_from_slice(&sum.to_le_bytes());
        Some(file)
    }

    /// Reads a file; `None` when it is damaged, cut off, too long or of another version.
    pub(super) fn decode(file: &[u8]) -> Option<Self> {
        let (magic, rest) = file.split_first_chunk()?;
        let (version, rest) = u32_of(rest)?;
        let (sum, summed) = u32_of(rest)?;
        if magic != HEAD_MAGIC || version != VERSION || sum != crc32fast::hash(summed) {
            return None;
        }
        let (key_length, rest) = u32_of(summed)?;
        let (entry_length, rest) = u32_of(rest)?;
        let (keep_until, rest) = u64_of(rest)?;
        let (id, rest) = u64_of(rest)?;
        let (length, rest) = u64_of(rest)?;
        let (key, entry) = rest.split_at_checked(key_length as usize)?;
        if entry.len() != entry_length as usize {
            return None;
        }
        Some(Self {
            key: String::from_utf8(key.to_vec()).ok()?,
            entry: entry.to_vec(),
            keep_until: Timestamp::from_millis(keep_until),
            body: BodyId::new(id).map(|id| BodyRef { id, length }),
        })
    }
}

impl BodyRef {
    /// Returns how long the body's file is, or `None` for a length that no file has.
    pub(super) fn file_bytes(self) -> Option<u64> {
        let sums = self.length.div_ceil(BLOCK_BYTES as u64).checked_mul(SUM_BYTES as u64)?;
        self.length.checked_add(sums)?.checked_add(BODY_HEADER_BYTES as u64)
    }
}

/// Returns where a block begins in its file.
pub(super) const fn block_offset(index: u64) -> u64 {
    BODY_HEADER_BYTES as u64 + index * (BLOCK_BYTES + SUM_BYTES) as u64
}

/// Writes the beginning of a body file.
pub(super) fn body_header(id: BodyId) -> [u8; BODY_HEADER_BYTES] {
    let mut header = [0; BODY_HEADER_BYTES];
    header[..8].copy_from_slice(BODY_MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&id.number().to_le_bytes());
    let sum = crc32fast::hash(&header[..20]);
    header[20..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Returns the checksum of one block.
pub(super) fn block_sum(id: BodyId, index: u64, content: &[u8]) -> [u8; SUM_BYTES] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&id.number().to_le_bytes());
    sum.update(&index.to_le_bytes());
    sum.update(content);
    sum.finalize().to_le_bytes()
}

pub(super) fn digest(key: &str) -> Digest {
    Sha256::digest(key.as_bytes()).into()
}

fn u32_of(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

fn u64_of(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> HeadFile {
        HeadFile {
            key: "https://shop.example/a".to_owned(),
            entry: b"an entry".to_vec(),
            keep_until: Timestamp::from_millis(1234),
            body: BodyId::new(7).map(|id| BodyRef { id, length: 99 }),
        }
    }

    #[test]
    fn a_head_comes_back_as_it_was_written() {
        for head in [head(), HeadFile { body: None, ..head() }] {
            assert_eq!(HeadFile::decode(&head.encode().unwrap()), Some(head));
        }
    }

    #[test]
    fn no_bit_of_a_head_can_change_and_no_byte_come_or_go() {
        let file = head().encode().unwrap();
        for bit in 0..file.len() * 8 {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(HeadFile::decode(&changed), None, "bit {bit}");
        }
        for length in 0..file.len() {
            assert_eq!(HeadFile::decode(&file[..length]), None, "cut off at {length}");
        }
        assert_eq!(HeadFile::decode(&[&file[..], b"x"].concat()), None, "one more byte");
    }

    #[test]
    fn a_head_that_could_not_be_read_again_is_not_written() {
        let head = HeadFile { entry: vec![0; 1024 * 1024], ..head() };
        assert_eq!(head.encode(), None);
    }

    #[test]
    fn a_body_file_has_a_checksum_for_each_block_that_was_begun() {
        let block = BLOCK_BYTES as u64;
        let cases = [(0, 0), (1, 1), (block - 1, 1), (block, 1), (block + 1, 2), (3 * block, 3)];
        for (length, blocks) in cases {
            let body = BodyRef { id: BodyId::random(), length };
            assert_eq!(body.file_bytes(), Some(24 + length + 4 * blocks), "{length}");
        }
        assert_eq!(BodyRef { id: BodyId::random(), length: u64::MAX }.file_bytes(), None);
    }

    #[test]
    fn a_block_passes_neither_for_another_of_its_body_nor_for_one_of_another_body() {
        let id = |number| BodyId::new(number).unwrap();
        assert_ne!(block_sum(id(1), 0, b"content"), block_sum(id(1), 1, b"content"));
        assert_ne!(block_sum(id(1), 0, b"content"), block_sum(id(2), 0, b"content"));
    }
}
