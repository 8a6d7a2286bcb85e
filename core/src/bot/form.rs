//! Forms: the tiny pattern language that stands in for regular expressions.
//!
//! | token | stands for |
//! |---|---|
//! | `^` at the start | the user agent starts here |
//! | `$` at the end | the user agent ends here |
//! | `*` | any bytes, or none; at most once |
//! | `#` | one digit |
//! | `%` | one digit or more |
//! | `~` | one byte other than `-` |
//! | `\\` and a byte | that byte: a pattern whose only special characters are escaped is its own form |
//! | anything else | itself, in this case |

/// A form and the pattern that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The form without its leading `^`.
    text: &'static [u8],
    is_at_start: bool,
    /// Position of the pattern in the list.
    pub(super) pattern: u16,
}

/// A part of a form; the table above says what each stands for.
#[derive(Clone, Copy, Debug)]
enum Token {
    Literal(u8),
    End,
    Gap,
    Digits,
    Digit,
    NoHyphen,
}

/// What came of comparing a form with a window from one start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Matches,
    /// Another start may still match.
    Differs,
    /// What follows the gap does not follow: no later start can match either.
    Exhausted,
}

/// The part of a user agent that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    bytes: &'a [u8],
    /// Whether the user agent ends where the window does.
    is_whole: bool,
}

impl<'a> Window<'a> {
    /// Takes at most `limit` bytes of a user agent.
    pub(super) fn new(user_agent: &'a [u8], limit: usize) -> Self {
        let bytes = &user_agent[..user_agent.len().min(limit)];
        Self { bytes, is_whole: bytes.len() == user_agent.len() }
    }

    pub(super) const fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

impl Form {
    pub(super) fn new(text: &'static str, pattern: u16) -> Self {
        let anchored = text.strip_prefix('^');
        Self { text: anchored.unwrap_or(text).as_bytes(), is_at_start: anchored.is_some(), pattern }
    }

    /// Returns the bytes before the first part of variable length; `None` stands for one of several.
    #[cfg(feature = "policy-file")]
    pub(super) fn fixed(&self) -> Vec<Option<u8>> {
        let tokens = std::iter::successors(next(self.text), |(_, rest)| next(rest)).map(|(token, _)| token);
        let bytes = tokens.map_while(|token| match token {
            Token::Literal(byte) => Some(Some(byte)),
            Token::Digit | Token::NoHyphen => Some(None),
            Token::Digits | Token::Gap | Token::End => None,
        });
        bytes.collect()
    }

    /// Compares the form with its first byte at `start`.
    pub(super) fn compare(&self, window: Window<'_>, start: usize) -> Comparison {
        if start > 0 && self.is_at_start {
            return Comparison::Differs;
        }
        compare(self.text, window, start)
    }
}

fn compare(mut form: &'static [u8], window: Window<'_>, mut at: usize) -> Comparison {
    while let Some((token, rest)) = next(form) {
        let byte = window.bytes.get(at).copied();
        let fits = match token {
            Token::End => byte.is_none() && window.is_whole,
            Token::Gap => return compare_after_gap(rest, window, at),
            Token::Digits => return compare_after_digits(rest, window, at),
            Token::Digit => byte.is_some_and(|b| b.is_ascii_digit()),
            Token::NoHyphen => byte.is_some_and(|b| b != b'-'),
            Token::Literal(literal) => byte == Some(literal),
        };
        if !fits {
            return Comparison::Differs;
        }
        (form, at) = (rest, at + 1);
    }
    Comparison::Matches
}

/// Takes the first token off a form.
fn next(form: &'static [u8]) -> Option<(Token, &'static [u8])> {
    let (first, rest) = form.split_first()?;
    let token = match first {
        b'\\' => return rest.split_first().map(|(byte, rest)| (Token::Literal(*byte), rest)),
        b'$' => Token::End,
        b'*' => Token::Gap,
        b'%' => Token::Digits,
        b'#' => Token::Digit,
        b'~' => Token::NoHyphen,
        literal => Token::Literal(*literal),
    };
    Some((token, rest))
}

fn compare_after_gap(form: &'static [u8], window: Window<'_>, at: usize) -> Comparison {
    let mut ends = at..=window.bytes.len();
    let is_found = ends.any(|end| compare(form, window, end) == Comparison::Matches);
    if is_found { Comparison::Matches } else { Comparison::Exhausted }
}

fn compare_after_digits(form: &'static [u8], window: Window<'_>, at: usize) -> Comparison {
    let digits = window.bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut ends = (1..=digits).map(|taken| at + taken);
    let is_found = ends.any(|end| compare(form, window, end) == Comparison::Matches);
    if is_found { Comparison::Matches } else { Comparison::Differs }
}
