//! Lines, one value each.

use std::fmt::Display;
use std::io::Write as _;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::WireError;

/// What a header's value is called in errors.
pub(crate) const EXPECTED_VALUE: &str = "header value";

/// Most things of one kind in one message: header fields, names, tags.
const MAX_COUNT: usize = 4096;

/// Reads values in order.
pub(crate) struct Reader<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

/// Writes values in order.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) text: Vec<u8>,
    separator: u8,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8], separator: u8) -> Self {
        Self { rest: Some(text), separator }
    }

    pub(crate) fn bytes(&mut self, expected: &'static str) -> Result<&'a [u8], WireError> {
        let rest = self.rest.ok_or(WireError { expected })?;
        match rest.iter().position(|byte| *byte == self.separator) {
            Some(end) => {
                self.rest = Some(&rest[end + 1..]);
                Ok(&rest[..end])
            }
            None => {
                self.rest = None;
                Ok(rest)
            }
        }
    }

    pub(crate) fn text(&mut self, expected: &'static str) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes(expected)?).map_err(|_| WireError { expected })
    }

    /// Reads a text of which the empty one means that there is none.
    pub(crate) fn optional(&mut self, expected: &'static str) -> Result<Option<&'a str>, WireError> {
        Ok(Some(self.text(expected)?).filter(|text| !text.is_empty()))
    }

    pub(crate) fn parse<T: FromStr>(&mut self, expected: &'static str) -> Result<T, WireError> {
        self.text(expected)?.parse().map_err(|_| WireError { expected })
    }

    /// Returns whether no value is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_none()
    }

    pub(crate) fn name(&mut self) -> Result<HeaderName, WireError> {
        const EXPECTED: &str = "header name";
        HeaderName::from_bytes(self.bytes(EXPECTED)?).map_err(|_| WireError { expected: EXPECTED })
    }

    /// Reads how many things follow.
    pub(crate) fn count(&mut self, expected: &'static str) -> Result<usize, WireError> {
        let count: usize = self.parse(expected)?;
        if count > MAX_COUNT { Err(WireError { expected }) } else { Ok(count) }
    }

    pub(crate) fn value(&mut self) -> Result<HeaderValue, WireError> {
        HeaderValue::from_bytes(self.bytes(EXPECTED_VALUE)?)
            .map_err(|_| WireError { expected: EXPECTED_VALUE })
    }

    pub(crate) fn headers(&mut self) -> Result<HeaderMap, WireError> {
        let count = self.count("number of header fields")?;
        let mut headers = HeaderMap::with_capacity(count);
        for _ in 0..count {
            let name = self.name()?;
            headers.append(name, self.value()?);
        }
        Ok(headers)
    }

    /// Checks that nothing follows.
    pub(crate) fn end(self) -> Result<(), WireError> {
        if self.is_at_end() { Ok(()) } else { Err(WireError { expected: "end" }) }
    }
}

impl Writer {
    pub(crate) fn new(separator: u8, capacity: usize) -> Self {
        Self { text: Vec::with_capacity(capacity), separator }
    }

    /// Writes a value; what would end its line becomes a space.
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.begin();
        let start = self.text.len();
        self.text.extend_from_slice(value);
        for byte in &mut self.text[start..] {
            if matches!(*byte, b'\n' | b'\r') || *byte == self.separator {
                *byte = b' ';
            }
        }
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub(crate) fn number(&mut self, value: impl Display) {
        self.begin();
        write!(self.text, "{value}").expect("writing to memory cannot fail");
    }

    pub(crate) fn headers(&mut self, headers: &HeaderMap) {
        self.number(headers.len());
        for (name, value) in headers {
            // HTTP allows neither a line break nor a separator in either.
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                self.begin();
                self.text.extend_from_slice(part);
            }
        }
    }

    fn begin(&mut self) {
        if !self.text.is_empty() {
            self.text.push(self.separator);
        }
    }
}
