//! Paths: one spelling for each resource, and none that two hosts could read differently.

use std::borrow::Cow;

use super::percent::{Octet, Octets, is_unreserved, push_escape};
use super::{EncodedSlashes, TargetRefusal};

/// Returns a path, or a part of one, in its normal form, without allocation when it already has it.
///
/// As in [RFC 3986 section 6.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2), escapes are
/// upper-case and unreserved characters are not escaped; characters that
/// [section 3.3](https://www.rfc-editor.org/rfc/rfc3986#section-3.3) does not allow in a path, such as
/// non-ASCII ones, are escaped. Empty segments stay, and so does an empty path. Normalising twice gives the same as normalising once.
///
/// DIFFERENCE: dot segments are refused, however they are spelled, where section 6.2.2.3 removes them:
/// caches, origins and edges disagree on them, so that a rule for `/admin` could be passed by `/x/../admin`.
/// This covers `..;x`, which some servers read as `..`, and dots next to a kept `%2F`.
///
/// # Errors
/// Says which rule the path breaks: [`TargetRefusal::DotSegment`], [`EncodedSlash`](TargetRefusal::EncodedSlash),
/// [`Backslash`](TargetRefusal::Backslash), [`ControlCharacter`](TargetRefusal::ControlCharacter) or
/// [`InvalidEscape`](TargetRefusal::InvalidEscape).
///
/// # Examples
/// ```
/// use selvedge_core::target::{EncodedSlashes, TargetRefusal, normalise_path};
///
/// assert_eq!(normalise_path("/%7euser/a%2cb", EncodedSlashes::Reject).unwrap(), "/~user/a%2Cb");
/// assert_eq!(normalise_path("/a/%2E./b", EncodedSlashes::Reject), Err(TargetRefusal::DotSegment));
/// ```
pub fn normalise_path(raw: &str, slashes: EncodedSlashes) -> Result<Cow<'_, str>, TargetRefusal> {
    let path = with_canonical_octets(raw, slashes)?;
    if has_dot_segment(path.as_bytes()) { Err(TargetRefusal::DotSegment) } else { Ok(path) }
}

/// Returns the file extension of the last segment, without its dot and in the path's own case.
///
/// A name that only starts with a dot has no extension, and neither has one that ends with a dot.
///
/// # Examples
/// ```
/// use selvedge_core::target::extension_of;
///
/// assert_eq!(extension_of("/static/a.tar.GZ"), Some("GZ"));
/// assert_eq!(extension_of("/v1.2/.htaccess"), None);
/// ```
#[must_use]
pub fn extension_of(path: &str) -> Option<&str> {
    let segment = path.rsplit('/').next()?;
    let (stem, extension) = segment.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then_some(extension)
}

/// Returns whether the last segment has the extension, whatever the case of either.
#[must_use]
pub fn has_extension(path: &str, extension: &str) -> bool {
    extension_of(path).is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn with_canonical_octets(raw: &str, slashes: EncodedSlashes) -> Result<Cow<'_, str>, TargetRefusal> {
    let mut is_canonical = true;
    for octet in Octets::new(raw) {
        check(octet, slashes)?;
        is_canonical &= has_canonical_form(octet);
    }
    Ok(if is_canonical { Cow::Borrowed(raw) } else { Cow::Owned(canonical(raw)) })
}

fn check(octet: Octet, slashes: EncodedSlashes) -> Result<(), TargetRefusal> {
    match octet {
        Octet::Stray => Err(TargetRefusal::InvalidEscape),
        Octet::Plain(b'\\') | Octet::UpperEscape(b'\\') | Octet::LowerEscape(b'\\') => {
            Err(TargetRefusal::Backslash)
        }
        Octet::Plain(byte) | Octet::UpperEscape(byte) | Octet::LowerEscape(byte)
            if byte.is_ascii_control() =>
        {
            Err(TargetRefusal::ControlCharacter)
        }
        Octet::UpperEscape(b'/') | Octet::LowerEscape(b'/') => slashes.check(),
        Octet::Plain(_) | Octet::UpperEscape(_) | Octet::LowerEscape(_) => Ok(()),
    }
}

const fn has_canonical_form(octet: Octet) -> bool {
    match octet {
        Octet::Plain(byte) => is_path_character(byte),
        Octet::UpperEscape(byte) => !is_unreserved(byte),
        Octet::LowerEscape(_) | Octet::Stray => false,
    }
}

fn canonical(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() + 16);
    for octet in Octets::new(raw) {
        match octet {
            Octet::Plain(byte) if is_path_character(byte) => out.push(char::from(byte)),
            Octet::UpperEscape(byte) | Octet::LowerEscape(byte) if is_unreserved(byte) => {
                out.push(char::from(byte));
            }
            Octet::Plain(byte) | Octet::UpperEscape(byte) | Octet::LowerEscape(byte) => {
                push_escape(&mut out, byte);
            }
            Octet::Stray => push_escape(&mut out, b'%'),
        }
    }
    out
}

/// Returns whether RFC 3986 section 3.3 lets the octet stand for itself: `pchar` without escapes, or `/`.
const fn is_path_character(byte: u8) -> bool {
    const SUB_DELIMS_AND_MORE: &[u8] = b"!$&'()*+,;=:@/";
    let mut i = 0;
    while i < SUB_DELIMS_AND_MORE.len() {
        if SUB_DELIMS_AND_MORE[i] == byte {
            return true;
        }
        i += 1;
    }
    is_unreserved(byte)
}

fn has_dot_segment(path: &[u8]) -> bool {
    let mut dots = path.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    dots.any(|(at, _)| starts_segment(&path[..at]) && ends_segment(after_dots(&path[at..])))
}

fn starts_segment(before: &[u8]) -> bool {
    before.is_empty() || before.ends_with(b"/") || before.ends_with(b"%2F")
}

fn after_dots(rest: &[u8]) -> &[u8] {
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    rest.strip_prefix(b".").unwrap_or(rest)
}

fn ends_segment(rest: &[u8]) -> bool {
    matches!(rest, [] | [b'/' | b';', ..]) || rest.starts_with(b"%2F")
}
