//! Whose trace a request belongs to: [Trace Context level 1](https://www.w3.org/TR/trace-context-1/).

use http::{HeaderMap, HeaderName};

/// The field that says it.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A client's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace; never 0.
    pub trace: u128,
    /// The client's part of it; never 0.
    pub span: u64,
    /// What the client says of it: the lowest bit that it may have recorded it.
    pub flags: u8,
}

/// Reads the client's trace, by the standard's section 3.2.2; `None` of what is not valid.
#[must_use]
pub fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.as_bytes().trim_ascii();
    let (known, rest) = value.split_at_checked(55)?;
    let mut parts = known.split(|byte| *byte == b'-');
    let version = number(parts.next()?, 2)?;
    let (trace, span) = (number(parts.next()?, 32)?, u64::try_from(number(parts.next()?, 16)?).ok()?);
    let flags = u8::try_from(number(parts.next()?, 2)?).ok()?;
    // Later versions may add fields, and 255 is none.
    let is_whole = parts.next().is_none() && (rest.is_empty() || version > 0 && rest[0] == b'-');
    (version < 0xff && trace != 0 && span != 0 && is_whole).then_some(Parent { trace, span, flags })
}

impl Parent {
    /// Returns the trace as logs have it: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// Reads a number of exactly so many lower-case hexadecimal digits.
fn number(digits: &[u8], count: usize) -> Option<u128> {
    let is_number =
        digits.len() == count && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_parent_is_read_and_nothing_else_is() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        let rows = [
            (vec![valid], true),
            (vec![" 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"], true),
            (vec!["cc-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more"], true),
            (vec![valid, valid], false),
            (vec!["00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more"], false),
            (vec!["ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"], false),
            (vec!["00-00000000000000000000000000000000-00f067aa0ba902b7-01"], false),
            (vec!["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"], false),
            (vec!["00-0AF7651916CD43DD8448EB211C80319C-00f067aa0ba902b7-01"], false),
            (vec![""], false),
            (vec![], false),
        ];
        for (values, is_valid) in rows {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(TRACEPARENT, value.parse().unwrap());
            }
            let id = parent(&headers).map(Parent::trace_id);
            let expected = is_valid.then_some("0af7651916cd43dd8448eb211c80319c");
            assert_eq!(id.as_deref(), expected, "{values:?}");
        }
    }
}
