//! Texts with variables: redirect targets, header values, rewrites and tags.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::facts::Fact;

/// A text with variables in braces, parsed once.
///
/// `{{` and `}}` stand for the braces themselves. A variable that has no value
/// for a request gives an empty text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Literal(String),
    Variable(Variable),
}

/// What a template can insert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variable {
    /// `{name}`: what a segment of the route's path captured.
    Capture(String),
    /// `{country}`: the country code.
    Country,
    /// `{continent}`: the continent code.
    Continent,
    /// `{region}`: the subdivision code.
    Region,
    /// `{city}`: the city name.
    City,
    /// `{time-zone}`: the IANA time zone.
    TimeZone,
    /// `{asn}`: the autonomous system's number.
    Asn,
    /// `{client-ip}`: the client's address.
    ClientIp,
    /// `{device}`: the device class.
    Device,
    /// `{bot}`: the bot category, or `human`.
    Bot,
    /// `{request-id}`: 32 hexadecimal digits.
    RequestId,
    /// `{method}`: the request method.
    Method,
    /// `{scheme}`: `http` or `https`.
    Scheme,
    /// `{host}`: the host without its port.
    Host,
    /// `{path}`: the normalised path.
    Path,
    /// `{query}`: the query without its question mark.
    Query,
    /// `{route}`: the name of the route.
    Route,
    /// `{query.NAME}`: the first value of a query parameter, decoded.
    QueryParameter(String),
    /// `{cookie.NAME}`: the value of a cookie.
    Cookie(String),
    /// `{header.NAME}`: the first value of a request header.
    Header(String),
    /// `{variation.NAME}`: the variation of an experiment.
    Variation(String),
}

/// Variables without a name part, as they are written.
const PLAIN: [(&str, Variable); 16] = [
    ("country", Variable::Country),
    ("continent", Variable::Continent),
    ("region", Variable::Region),
    ("city", Variable::City),
    ("time-zone", Variable::TimeZone),
    ("asn", Variable::Asn),
    ("client-ip", Variable::ClientIp),
    ("device", Variable::Device),
    ("bot", Variable::Bot),
    ("request-id", Variable::RequestId),
    ("method", Variable::Method),
    ("scheme", Variable::Scheme),
    ("host", Variable::Host),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("route", Variable::Route),
];

/// How a variable's value is written into the text around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A header value: visible ASCII and spaces stay, other bytes are percent-encoded, so that no
    /// value can end the line ([RFC 9110 section 5.5](https://www.rfc-editor.org/rfc/rfc9110#section-5.5)).
    HeaderValue,
    /// Part of a URL: captures, path and query keep the escapes they have, and every other value
    /// is percent-encoded down to unreserved characters
    /// ([RFC 3986 section 2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3)).
    Url,
    /// Plain text and cache tags: nothing is changed.
    Text,
    /// HTML and XML, in content or within a quoted attribute: `&`, `<`, `>` and both quotes become character references.
    Html,
    /// JSON, within a string: quotes, backslashes and control characters are escaped
    /// ([RFC 8259 section 7](https://www.rfc-editor.org/rfc/rfc8259#section-7)), and `<` too, so that no script ends early.
    Json,
}

/// Gives variables their values for one request.
pub trait Values {
    /// Writes the value of `variable`, unencoded, to `out`; nothing when there is none.
    fn write_value(&self, variable: &Variable, out: &mut String);
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// A brace is opened and not closed, or closed and not opened.
    UnbalancedBrace,
    /// No variable and no capture has this name.
    UnknownVariable {
        /// The name as written.
        name: String,
    },
}

impl Template {
    /// Parses a text; `captures` are the names that the route's path captures.
    ///
    /// # Errors
    /// [`TemplateError`] when braces do not match or a name is unknown.
    pub fn parse(text: &str, captures: &[&str]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push_str(&rest[..1]);
                rest = &rest[2..];
                continue;
            }
            let end =
                rest.find('}').filter(|_| rest.starts_with('{')).ok_or(TemplateError::UnbalancedBrace)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable(Variable::parse(&rest[1..end], captures)?));
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// Writes the text for one request.
    #[must_use]
    pub fn render(&self, values: &dyn Values, encoding: Encoding) -> String {
        let mut out = String::new();
        let mut value = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Variable(variable) => {
                    value.clear();
                    values.write_value(variable, &mut value);
                    encoding.write(variable, &value, &mut out);
                }
            }
        }
        out
    }

    /// Returns the text when it has no variables.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the literal text before the first variable.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            Some(Part::Variable(_)) | None => "",
        }
    }

    /// Returns the variables in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Literal(_) => None,
        })
    }

    /// Returns whether it inserts anything about the client's place.
    #[must_use]
    pub fn names_place(&self) -> bool {
        self.variables().any(|variable| variable.place().is_some())
    }
}

impl Variable {
    /// Returns what it says about the client's place, if that is what it is about.
    pub(crate) fn place(&self) -> Option<Fact> {
        match self {
            Self::Country => Some(Fact::Country),
            Self::Continent => Some(Fact::Continent),
            Self::Region => Some(Fact::Region),
            Self::City => Some(Fact::City),
            Self::TimeZone => Some(Fact::TimeZone),
            Self::Asn => Some(Fact::Asn),
            Self::ClientIp
            | Self::Capture(_)
            | Self::Device
            | Self::Bot
            | Self::RequestId
            | Self::Method
            | Self::Scheme
            | Self::Host
            | Self::Path
            | Self::Query
            | Self::Route
            | Self::QueryParameter(_)
            | Self::Cookie(_)
            | Self::Header(_)
            | Self::Variation(_) => None,
        }
    }

    /// Names that a path capture cannot take, because a variable has them.
    pub fn reserved_names() -> impl Iterator<Item = &'static str> {
        PLAIN.iter().map(|(name, _)| *name)
    }

    fn parse(name: &str, captures: &[&str]) -> Result<Self, TemplateError> {
        if captures.contains(&name) {
            return Ok(Self::Capture(name.to_owned()));
        }
        if let Some((_, variable)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
            return Ok(variable.clone());
        }
        let unknown = || TemplateError::UnknownVariable { name: name.to_owned() };
        let (kind, rest) = name.split_once('.').ok_or_else(unknown)?;
        let rest = Some(rest).filter(|rest| !rest.is_empty()).ok_or_else(unknown)?.to_owned();
        match kind {
            "query" => Ok(Self::QueryParameter(rest)),
            "cookie" => Ok(Self::Cookie(rest)),
            "header" => Ok(Self::Header(rest.to_ascii_lowercase())),
            "variation" => Ok(Self::Variation(rest)),
            _ => Err(unknown()),
        }
    }
}

impl Encoding {
    /// Returns the encoding for values in a body of a media type, such as `text/html; charset=utf-8`.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Self {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "text/html" | "text/xml" | "application/xml" => Self::Html,
            "application/json" | "text/json" => Self::Json,
            other if other.ends_with("+xml") => Self::Html,
            other if other.ends_with("+json") => Self::Json,
            _ => Self::Text,
        }
    }

    fn write(self, variable: &Variable, value: &str, out: &mut String) {
        match self {
            Self::Text => out.push_str(value),
            Self::Html => value.chars().for_each(|c| push_html(c, out)),
            Self::Json => value.chars().for_each(|c| push_json(c, out)),
            Self::HeaderValue => percent_encode(value, out, |b| b == b' ' || b.is_ascii_graphic()),
            Self::Url => write_url_part(variable, value, out),
        }
    }
}

/// Captures, path and query come from the URL and are escaped already; anything
/// else is plain text, in which even a percent sign means itself.
fn write_url_part(variable: &Variable, value: &str, out: &mut String) {
    match variable {
        Variable::Query => {
            percent_encode(value, out, |b| is_unreserved(b) || b"/%?=&+,;:@!$'()*".contains(&b))
        }
        Variable::Host => percent_encode(value, out, |b| is_unreserved(b) || b"[:]".contains(&b)),
        Variable::Capture(_) | Variable::Path => {
            percent_encode(value, out, |b| is_unreserved(b) || b"/%".contains(&b))
        }
        Variable::Country
        | Variable::Continent
        | Variable::Region
        | Variable::City
        | Variable::TimeZone
        | Variable::Asn
        | Variable::ClientIp
        | Variable::Device
        | Variable::Bot
        | Variable::RequestId
        | Variable::Method
        | Variable::Scheme
        | Variable::Route
        | Variable::QueryParameter(_)
        | Variable::Cookie(_)
        | Variable::Header(_)
        | Variable::Variation(_) => percent_encode(value, out, is_unreserved),
    }
}

fn push_html(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        c => out.push(c),
    }
}

fn push_json(c: char, out: &mut String) {
    match c {
        '"' | '\\' => {
            out.push('\\');
            out.push(c);
        }
        c if c.is_control() || matches!(c, '<' | '\u{2028}' | '\u{2029}') => {
            write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail");
        }
        c => out.push(c),
    }
}

/// [RFC 3986 section 2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn percent_encode(value: &str, out: &mut String, stays: impl Fn(u8) -> bool) {
    for byte in value.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            push_escape(byte, out);
        }
    }
}

fn push_escape(byte: u8, out: &mut String) {
    write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Values for Fixed {
        fn write_value(&self, variable: &Variable, out: &mut String) {
            if let Variable::Capture(name) = variable {
                write!(out, "<{name}>").unwrap();
            }
            let known = [
                (Variable::City, "São\r\nPaulo"),
                (Variable::Path, "/a%2Fb/ü?"),
                (Variable::Host, "[2001:db8::1]"),
                (Variable::Cookie("x".to_owned()), "<\"a'&b\\\">"),
                (Variable::QueryParameter("q".to_owned()), "x y&z=1%2F"),
            ];
            let value = known.iter().find(|(known, _)| known == variable);
            out.push_str(value.map_or("", |(_, value)| value));
        }
    }

    fn render(text: &str, encoding: Encoding) -> String {
        Template::parse(text, &["id"]).unwrap().render(&Fixed, encoding)
    }

    #[test]
    fn variables_are_encoded_for_the_place_they_land_in() {
        let rows = [
            ("a{{b}}c", Encoding::Text, "a{b}c"),
            ("/u/{id}!", Encoding::Text, "/u/<id>!"),
            ("/u/{id}", Encoding::Url, "/u/%3Cid%3E"),
            ("city={city}", Encoding::HeaderValue, "city=S%C3%A3o%0D%0APaulo"),
            ("{path}", Encoding::Url, "/a%2Fb/%C3%BC%3F"),
            ("{query.q}", Encoding::Url, "x%20y%26z%3D1%252F"),
            ("[{country}]", Encoding::Text, "[]"),
            ("https://{host}/", Encoding::Url, "https://[2001:db8::1]/"),
            ("<p title='{cookie.x}'>", Encoding::Html, "<p title='&lt;&quot;a&#39;&amp;b\\&quot;&gt;'>"),
            ("{{\"x\": \"{cookie.x}\"}}", Encoding::Json, "{\"x\": \"\\u003c\\\"a'&b\\\\\\\">\"}"),
            ("{city}", Encoding::Json, "São\\u000d\\u000aPaulo"),
        ];
        for (text, encoding, expected) in rows {
            assert_eq!(render(text, encoding), expected, "{text} as {encoding:?}");
        }
    }

    #[test]
    fn the_media_type_decides_how_values_are_written() {
        let rows = [
            ("text/plain; charset=utf-8", Encoding::Text),
            ("Text/HTML;charset=utf-8", Encoding::Html),
            ("image/svg+xml", Encoding::Html),
            ("application/xml", Encoding::Html),
            ("application/json", Encoding::Json),
            ("application/problem+json ", Encoding::Json),
            ("application/javascript", Encoding::Text),
            ("", Encoding::Text),
        ];
        for (media_type, expected) in rows {
            assert_eq!(Encoding::of_media_type(media_type), expected, "{media_type}");
        }
    }

    #[test]
    fn unknown_names_and_unbalanced_braces_are_errors() {
        let unknown = |name: &str| Err(TemplateError::UnknownVariable { name: name.to_owned() });
        let rows = [
            ("{contry}", unknown("contry")),
            ("{query.}", unknown("query.")),
            ("{env.SECRET}", unknown("env.SECRET")),
            ("{id", Err(TemplateError::UnbalancedBrace)),
            ("id}", Err(TemplateError::UnbalancedBrace)),
        ];
        for (text, expected) in rows {
            assert_eq!(Template::parse(text, &["id"]), expected, "{text}");
        }
    }

    #[test]
    fn a_literal_knows_that_it_is_one() {
        let parse = |text| Template::parse(text, &[]).unwrap();
        assert_eq!(parse("").as_literal(), Some(""), "an empty text is literal");
        assert_eq!(parse("https://a.example/").as_literal(), Some("https://a.example/"));
        assert_eq!(parse("https://a.example{path}").as_literal(), None, "a variable is not literal");
        assert_eq!(parse("https://a.example{path}").literal_prefix(), "https://a.example");
    }
}
