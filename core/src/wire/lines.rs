//! Lines, one value each.

use std::fmt::{Display, Write as _};
use std::str::{FromStr, Split};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::WireError;

/// Most header fields of one message.
const MAX_FIELDS: usize = 4096;

/// Reads values in order.
pub(crate) struct Reader<'a> {
    lines: Split<'a, char>,
}

/// Writes values in order.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) text: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, separator: char) -> Self {
        Self { lines: text.split(separator) }
    }

    pub(crate) fn text(&mut self, expected: &'static str) -> Result<&'a str, WireError> {
        self.lines.next().ok_or(WireError { expected })
    }

    /// Reads a text of which the empty one means that there is none.
    pub(crate) fn optional(&mut self, expected: &'static str) -> Result<Option<&'a str>, WireError> {
        Ok(Some(self.text(expected)?).filter(|text| !text.is_empty()))
    }

    pub(crate) fn parse<T: FromStr>(&mut self, expected: &'static str) -> Result<T, WireError> {
        self.text(expected)?.parse().map_err(|_| WireError { expected })
    }

    /// Reads bytes that are written as one character each.
    pub(crate) fn bytes(&mut self, expected: &'static str) -> Result<Vec<u8>, WireError> {
        let byte = |c: char| u8::try_from(u32::from(c)).map_err(|_| WireError { expected });
        self.text(expected)?.chars().map(byte).collect()
    }

    pub(crate) fn value(&mut self) -> Result<HeaderValue, WireError> {
        const EXPECTED: &str = "header value";
        let text = self.text(EXPECTED)?;
        if text.is_ascii() {
            return HeaderValue::from_str(text).map_err(|_| WireError { expected: EXPECTED });
        }
        let bytes = text.chars().map(|c| u8::try_from(u32::from(c)));
        let bytes = bytes.collect::<Result<Vec<u8>, _>>().map_err(|_| WireError { expected: EXPECTED })?;
        HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes))
            .map_err(|_| WireError { expected: EXPECTED })
    }

    pub(crate) fn name(&mut self) -> Result<HeaderName, WireError> {
        const EXPECTED: &str = "header name";
        HeaderName::from_bytes(self.text(EXPECTED)?.as_bytes()).map_err(|_| WireError { expected: EXPECTED })
    }

    /// Reads how many things follow.
    pub(crate) fn count(&mut self, expected: &'static str) -> Result<usize, WireError> {
        let count: usize = self.parse(expected)?;
        if count > MAX_FIELDS { Err(WireError { expected }) } else { Ok(count) }
    }

    pub(crate) fn headers(&mut self) -> Result<HeaderMap, WireError> {
        let count = self.count("number of header fields")?;
        let mut headers = HeaderMap::with_capacity(count + 8);
        for _ in 0..count {
            let name = self.name()?;
            headers.append(name, self.value()?);
        }
        Ok(headers)
    }

    /// Checks that nothing follows.
    pub(crate) fn end(mut self) -> Result<(), WireError> {
        if self.lines.next().is_none() { Ok(()) } else { Err(WireError { expected: "end" }) }
    }
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes) }
    }

    /// Writes a text in which line breaks become spaces.
    pub(crate) fn text(&mut self, text: &str) {
        self.begin();
        if text.contains(['\n', '\r']) {
            self.text.push_str(&text.replace(['\n', '\r'], " "));
        } else {
            self.text.push_str(text);
        }
    }

    pub(crate) fn number(&mut self, value: impl Display) {
        self.begin();
        let _ = write!(self.text, "{value}");
    }

    /// Writes bytes as one character each.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.begin();
        match std::str::from_utf8(bytes) {
            Ok(text) if bytes.is_ascii() => self.text.push_str(text),
            Ok(_) | Err(_) => self.text.extend(bytes.iter().map(|byte| char::from(*byte))),
        }
    }

    pub(crate) fn headers(&mut self, headers: &HeaderMap) {
        self.number(headers.len());
        for (name, value) in headers {
            self.text(name.as_str());
            self.bytes(value.as_bytes());
        }
    }

    fn begin(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }
}
