//! Patterns for paths and hosts.

use serde::{Deserialize, Serialize};

/// A path with captures, such as `/users/{id}` or `/static/{*rest}`.
///
/// A capture takes one whole, non-empty segment; a catch-all takes the rest of
/// the path, which may be empty: `/static/{*rest}` matches `/static/` and
/// `/static/a/b.css`, not `/static`. Literal segments compare case-sensitively
/// after percent-encoding is normalised
/// ([RFC 3986 section 6.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// Any non-empty segment.
    Capture(String),
    /// The rest of the path.
    CatchAll(String),
}

/// Why a text is not a path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It does not start with a slash.
    NoLeadingSlash,
    /// A brace stands inside a segment: a capture is a whole segment.
    PartialSegment,
    /// A capture has no name, or one with other characters than letters, digits, `_` and `-`.
    BadCaptureName,
    /// Two captures have the same name.
    DuplicateCapture,
    /// Something follows a catch-all.
    CatchAllNotLast,
    /// It holds something that the edge refuses in a request's path, such as `..`, `?` or `%2F`.
    BadLiteral,
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::NoLeadingSlash)?;
        let segments = rest.split('/').map(Segment::parse).collect::<Result<Vec<_>, _>>()?;
        let pattern = Self { text: text.to_owned(), segments };
        let names: Vec<_> = pattern.captures().collect();
        if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
            return Err(PatternError::DuplicateCapture);
        }
        let is_catch_all = |segment: &Segment| matches!(segment, Segment::CatchAll(_));
        match pattern.segments.iter().position(is_catch_all) {
            Some(at) if at + 1 < pattern.segments.len() => Err(PatternError::CatchAllNotLast),
            Some(_) | None => Ok(pattern),
        }
    }

    /// Returns the pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the segments in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the names of the captures, in the order of the path.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Capture(name) | Segment::CatchAll(name) => Some(name.as_str()),
        })
    }

    /// Returns whether two patterns match the same paths.
    #[must_use]
    pub fn is_same_shape(&self, other: &Self) -> bool {
        let same = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Capture(_), Segment::Capture(_)) | (Segment::CatchAll(_), Segment::CatchAll(_)) => true,
            _ => false,
        };
        self.segments.len() == other.segments.len() && self.segments.iter().zip(&other.segments).all(same)
    }

    /// Returns whether a normalised path matches.
    #[must_use]
    pub fn is_match(&self, path: &str) -> bool {
        let Some(mut rest) = path.strip_prefix('/') else { return false };
        for (at, segment) in self.segments.iter().enumerate() {
            let (head, tail) = rest.split_once('/').map_or((rest, None), |(head, tail)| (head, Some(tail)));
            let fits = match segment {
                Segment::CatchAll(_) => return true,
                Segment::Literal(text) => head == text,
                Segment::Capture(_) => !head.is_empty(),
            };
            match tail {
                _ if !fits => return false,
                None => return at + 1 == self.segments.len(),
                Some(tail) => rest = tail,
            }
        }
        false
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let Some(inner) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) else {
            return literal(text);
        };
        let (name, is_rest) = inner.strip_prefix('*').map_or((inner, false), |name| (name, true));
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(PatternError::BadCaptureName);
        }
        let name = name.to_owned();
        Ok(if is_rest { Self::CatchAll(name) } else { Self::Capture(name) })
    }
}

fn literal(text: &str) -> Result<Segment, PatternError> {
    if text.contains(['{', '}']) {
        return Err(PatternError::PartialSegment);
    }
    if text.contains(['?', '#']) {
        return Err(PatternError::BadLiteral);
    }
    let normal = crate::target::normalise_path(text, crate::target::EncodedSlashes::Reject);
    normal.map(|path| Segment::Literal(path.into_owned())).map_err(|_| PatternError::BadLiteral)
}

/// A host, or every host below one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HostPattern {
    /// This host, lower case, without port.
    Exact(String),
    /// `*.example.com`: every host that ends in this text (`.example.com`) and has something before it.
    Below(String),
}

impl HostPattern {
    /// Parses a host or `*.` and a host; `None` when it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (host, is_wildcard) =
            lower.strip_prefix('*').map_or((lower.as_str(), false), |rest| (rest, true));
        let name = if is_wildcard { host.strip_prefix('.')? } else { host };
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let is_address = name.parse::<std::net::IpAddr>().is_ok() || name.starts_with('[');
        if !(is_address && !is_wildcard || name.split('.').all(label_ok)) {
            return None;
        }
        Some(if is_wildcard { Self::Below(host.to_owned()) } else { Self::Exact(host.to_owned()) })
    }

    /// Returns whether a lower-case host without port matches.
    #[must_use]
    pub fn is_match(&self, host: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_segments() {
        let rows = [
            ("/", "/", true),
            ("/", "/a", false),
            ("/go", "/go", true),
            ("/go", "/go/", false),
            ("/go", "/Go", false),
            ("/users/{id}", "/users/7", true),
            ("/users/{id}", "/users/", false),
            ("/users/{id}", "/users/7/posts", false),
            ("/users/{id}/posts", "/users/7/posts", true),
            ("/static/{*rest}", "/static/a/b.css", true),
            ("/static/{*rest}", "/static/", true),
            ("/static/{*rest}", "/static", false),
            ("/{*rest}", "/", true),
            ("/caf\u{e9}", "/caf%C3%A9", true),
            ("/%7euser", "/~user", true),
        ];
        for (pattern, path, expected) in rows {
            assert_eq!(PathPattern::parse(pattern).unwrap().is_match(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn what_is_not_a_pattern_says_why() {
        let rows = [
            ("go", PatternError::NoLeadingSlash),
            ("/file-{id}.jpg", PatternError::PartialSegment),
            ("/{}", PatternError::BadCaptureName),
            ("/{a b}", PatternError::BadCaptureName),
            ("/{a}/{a}", PatternError::DuplicateCapture),
            ("/{*rest}/x", PatternError::CatchAllNotLast),
            ("/a/../b", PatternError::BadLiteral),
            ("/a?b", PatternError::BadLiteral),
            ("/a%2fb", PatternError::BadLiteral),
        ];
        for (pattern, expected) in rows {
            assert_eq!(PathPattern::parse(pattern), Err(expected), "{pattern}");
        }
    }

    #[test]
    fn a_wildcard_host_covers_what_is_below_it_and_nothing_else() {
        let wildcard = HostPattern::parse("*.Example.com").unwrap();
        for (host, expected) in [
            ("shop.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            ("badexample.com", false),
            (".example.com", false),
        ] {
            assert_eq!(wildcard.is_match(host), expected, "{host}");
        }
        for bad in ["", "*", "*example.com", "a..b", "exa mple.com", "a/b", "*.*.com", "host:80"] {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
    }
}
