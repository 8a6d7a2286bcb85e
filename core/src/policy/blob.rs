//! A checked policy as bytes: what is deployed beside the module, which is the same for every policy.
//!
//! Four bytes that say what it is, the form's version (u16), a checksum of the rest (u64), all little-endian,
//! and the policy in [postcard](https://postcard.jamesmunns.com)'s form. Nothing of it is parsed as text and
//! no regular expression is compiled when a platform starts.

use super::Policy;

const MAGIC: [u8; 4] = *b"SLVP";

/// Grows with every change to a type that a policy holds.
const VERSION: u16 = 9;

const HEAD_BYTES: usize = 14;

/// Bytes are not a policy that this version can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobError {
    /// They are something else.
    NotAPolicy,
    /// Another version of this library wrote them; build again.
    OtherVersion {
        /// The version that they say.
        found: u16,
    },
    /// They were damaged or cut short.
    Corrupt,
}

/// Writes a policy.
///
/// # Examples
/// ```
/// use selvedge_core::policy::{Policy, blob};
///
/// let bytes = blob::encode(&Policy::default());
/// assert_eq!(blob::decode(&bytes), Ok(Policy::default()));
/// assert_eq!(blob::decode(&bytes[..20]), Err(blob::BlobError::Corrupt));
/// ```
#[must_use]
pub fn encode(policy: &Policy) -> Vec<u8> {
    let content = postcard::to_allocvec(policy).expect("memory is the only limit of a policy's size");
    let mut bytes = Vec::with_capacity(HEAD_BYTES + content.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&fingerprint(&content).to_le_bytes());
    bytes.extend_from_slice(&content);
    bytes
}

/// Reads a policy.
///
/// # Errors
/// [`BlobError`] when the bytes are not one.
pub fn decode(bytes: &[u8]) -> Result<Policy, BlobError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(BlobError::NotAPolicy)?;
    let (version, rest) = rest.split_first_chunk().ok_or(BlobError::Corrupt)?;
    match u16::from_le_bytes(*version) {
        VERSION => {}
        found => return Err(BlobError::OtherVersion { found }),
    }
    let (checksum, content) = rest.split_first_chunk().ok_or(BlobError::Corrupt)?;
    if u64::from_le_bytes(*checksum) != fingerprint(content) {
        return Err(BlobError::Corrupt);
    }
    match postcard::take_from_bytes(content) {
        Ok((policy, [])) => Ok(policy),
        Ok(_) | Err(_) => Err(BlobError::Corrupt),
    }
}

/// Returns 64 bits by which two texts or policies can be told apart (FNV-1a); no defence against forgery.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    fnv1a64(bytes.iter().copied())
}

/// The 64-bit FNV-1a hash ([RFC 9923](https://www.rfc-editor.org/rfc/rfc9923)).
pub(crate) fn fnv1a64(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl std::fmt::Display for BlobError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAPolicy => f.write_str("this is not a compiled policy"),
            Self::OtherVersion { found } => {
                write!(
                    f,
                    "the compiled policy has form {found} and this module reads form {VERSION}; build again"
                )
            }
            Self::Corrupt => f.write_str("the compiled policy is damaged or cut short; build again"),
        }
    }
}

impl std::error::Error for BlobError {}

#[cfg(all(test, feature = "policy-file"))]
mod tests {
    use super::*;
    use crate::policy::read::read;

    fn storefront() -> Policy {
        read(include_str!("../../../examples/storefront/edge.toml")).expect("the storefront has no errors")
    }

    #[test]
    fn a_policy_comes_back_as_it_was() {
        let policies =
            [storefront(), read(include_str!("read/kitchen-sink.toml")).expect("it has no errors")];
        for policy in policies {
            assert_eq!(decode(&encode(&policy)), Ok(policy));
        }
    }

    #[test]
    fn bytes_that_are_cut_changed_or_prolonged_are_errors() {
        let bytes = encode(&storefront());
        for end in 0..bytes.len() {
            let error = if end < MAGIC.len() { BlobError::NotAPolicy } else { BlobError::Corrupt };
            assert_eq!(decode(&bytes[..end]), Err(error), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(decode(&changed).is_err(), "changed at {at}");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert_eq!(decode(&longer), Err(BlobError::Corrupt));
    }

    #[test]
    fn another_version_is_told_apart() {
        let mut bytes = encode(&storefront());
        bytes[4] = 0xff;
        assert_eq!(decode(&bytes), Err(BlobError::OtherVersion { found: 0x00ff }));
    }

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        // draft-eastlake-fnv-21, appendix C.3, "foobar"
        assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
