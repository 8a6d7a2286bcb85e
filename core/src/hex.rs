//! Bytes in hexadecimal digits, as ids are told and digests are named.

/// Writes bytes in lower-case hexadecimal digits, two for each.
///
/// # Examples
/// ```
/// assert_eq!(selvedge_core::hex::encode(&[0, 10, 255]), "000aff");
/// ```
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
