//! Percent-encoding:
//! [RFC 3986 section 2.1](https://www.rfc-editor.org/rfc/rfc3986#section-2.1).

use std::borrow::Cow;

/// One octet of an encoded text, with the form it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Octet {
    /// Written as itself.
    Plain(u8),
    /// Written as an escape with upper-case hexadecimal digits.
    UpperEscape(u8),
    /// Written as an escape with at least one lower-case digit.
    LowerEscape(u8),
    /// A percent sign that two hexadecimal digits do not follow.
    Stray,
}

/// Iterates over the octets of an encoded text.
pub(super) struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl Iterator for Octets<'_> {
    type Item = Octet;

    fn next(&mut self) -> Option<Octet> {
        let (octet, rest) = match *self.0 {
            [] => return None,
            [b'%', high, low, ref rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (escape(high, low), rest)
            }
            [b'%', ref rest @ ..] => (Octet::Stray, rest),
            [byte, ref rest @ ..] => (Octet::Plain(byte), rest),
        };
        self.0 = rest;
        Some(octet)
    }
}

/// Returns whether the octet is in the `unreserved` set of
/// [RFC 3986 section 2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3).
pub(super) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Appends an octet as an upper-case escape.
pub(super) fn push_escape(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Decodes a name or value of a form-encoded query: `+` is a space and a stray percent sign is itself.
pub(super) fn form_octets(text: &str) -> impl Iterator<Item = u8> {
    Octets::new(text).map(|octet| match octet {
        Octet::Plain(b'+') => b' ',
        Octet::Plain(byte) | Octet::UpperEscape(byte) | Octet::LowerEscape(byte) => byte,
        Octet::Stray => b'%',
    })
}

/// Decodes a name or value of a form-encoded query; octets that are not UTF-8 become U+FFFD.
pub(super) fn decode_form(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let octets: Vec<u8> = form_octets(text).collect();
    Cow::Owned(String::from_utf8_lossy(&octets).into_owned())
}

/// Returns the one spelling that every spelling of a name or value shares.
pub(super) fn canonical_form(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_unreserved) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in form_octets(text) {
        if is_unreserved(byte) { out.push(char::from(byte)) } else { push_escape(&mut out, byte) }
    }
    Cow::Owned(out)
}

fn escape(high: u8, low: u8) -> Octet {
    let byte = (hex_value(high) << 4) | hex_value(low);
    if high.is_ascii_lowercase() || low.is_ascii_lowercase() {
        Octet::LowerEscape(byte)
    } else {
        Octet::UpperEscape(byte)
    }
}

/// Returns the value of a digit that is known to be hexadecimal.
const fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
