//! The list syntax that `Cache-Control` and `Surrogate-Control` share.

use http::header::{HeaderMap, HeaderName};

/// One member of a list of directives, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    /// The name in its original case, without whitespace around it.
    pub(super) name: &'a [u8],
    /// What follows the equals sign.
    pub(super) argument: Argument<'a>,
    /// The whole member, trimmed.
    pub(super) raw: &'a [u8],
}

/// The argument of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// There is none.
    Absent,
    /// A token, or whatever stands where a token should.
    Token(&'a [u8]),
    /// The inside of a quoted string, escapes included.
    Quoted(&'a [u8]),
    /// Not of the grammar, such as whitespace around the equals sign or text after a closing quote.
    Malformed,
}

impl Directive<'_> {
    /// Returns whether the directive has this lower-case name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Walks all directives of all lines of a field; empty members are left out.
pub(super) fn directives<'a>(
    headers: &'a HeaderMap,
    field: &HeaderName,
) -> impl Iterator<Item = Directive<'a>> {
    headers.get_all(field).iter().flat_map(|line| members(line.as_bytes())).map(read)
}

/// Splits a line at the commas that are not within a quoted argument.
pub(super) fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (member, tail) = split_member(rest?);
        rest = tail;
        Some(member.trim_ascii())
    })
    .filter(|member| !member.is_empty())
}

/// Takes the first member off a line.
///
/// A quote opens a string only where an argument starts and only when it is
/// closed again, so that a stray quote can't hide the directives after it.
fn split_member(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b',' => return (&line[..at], Some(&line[at + 1..])),
            b'=' => at += 1 + quoted_len(&line[at + 1..]),
            _ => at += 1,
        }
    }
    (line, None)
}

/// Returns the length of the quoted string that the text starts with, quotes included, or zero.
fn quoted_len(text: &[u8]) -> usize {
    if text.first() != Some(&b'"') {
        return 0;
    }
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    0
}

/// Reads one member.
pub(super) fn read(raw: &[u8]) -> Directive<'_> {
    let Some(equals) = raw.iter().position(|&b| b == b'=') else {
        return Directive { name: raw, argument: Argument::Absent, raw };
    };
    let (name, value) = (&raw[..equals], &raw[equals + 1..]);
    let is_spaced = name.last().is_some_and(u8::is_ascii_whitespace)
        || value.first().is_some_and(u8::is_ascii_whitespace);
    let argument = if is_spaced { Argument::Malformed } else { read_argument(value) };
    Directive { name: name.trim_ascii(), argument, raw }
}

fn read_argument(value: &[u8]) -> Argument<'_> {
    match quoted_len(value) {
        0 => Argument::Token(value),
        len if len == value.len() => Argument::Quoted(&value[1..len - 1]),
        _ => Argument::Malformed,
    }
}
