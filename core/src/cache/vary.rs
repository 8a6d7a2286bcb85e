//! `Vary`: which request headers select a stored variant.

use std::fmt::Write;

use http::header::{self, HeaderMap, HeaderName};

/// Names that a `Vary` may list; a response with more is not stored.
pub const MAX_VARY_NAMES: usize = 32;

/// What a response varies by,
/// [RFC 9110 section 12.5.5](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// By these request headers: sorted, each once, at most [`MAX_VARY_NAMES`].
    Names(Vec<HeaderName>),
    /// By anything (`*`, or a member that is no field name): no stored response ever matches.
    Any,
    /// By more headers than this cache follows.
    TooLong,
}

/// The value of a request header that selected a stored response.
///
/// `None` stands for a header that was absent; it matches only requests
/// without it. Repeated lines are joined, whitespace at their ends is gone, and
/// `Accept-Encoding` has lost its whitespace and its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectingHeader {
    /// Name of the request header.
    pub name: HeaderName,
    /// Its normalised value.
    pub value: Option<Box<[u8]>>,
}

/// Whether a request selects a stored variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every selecting header has the same value.
    Matches,
    /// One of them differs.
    Differs,
}

impl Vary {
    /// Parses all `Vary` lines of a response. Without any it varies by no name.
    #[must_use]
    pub fn parse(response: &HeaderMap) -> Self {
        let mut names = Vec::new();
        let lines = response.get_all(header::VARY).iter();
        for member in lines.flat_map(|line| line.as_bytes().split(|&b| b == b',')) {
            match (member.trim_ascii(), names.len()) {
                (b"", _) => continue,
                (_, MAX_VARY_NAMES) => return if has_star(response) { Self::Any } else { Self::TooLong },
                (member, _) => match HeaderName::from_bytes(member) {
                    Ok(name) if name != "*" => insert(&mut names, name),
                    Ok(_) | Err(_) => return Self::Any,
                },
            }
        }
        Self::Names(names)
    }

    /// Returns the names; none when the response varies by more than names.
    #[must_use]
    pub fn names(&self) -> &[HeaderName] {
        match self {
            Self::Names(names) => names,
            Self::Any | Self::TooLong => &[],
        }
    }
}

/// Takes the selecting headers out of a request,
/// [RFC 9111 section 4.1](https://www.rfc-editor.org/rfc/rfc9111#section-4.1).
#[must_use]
pub fn select(names: &[HeaderName], request: &HeaderMap) -> Vec<SelectingHeader> {
    let value = |name| request.contains_key(name).then(|| normalised(name, request).collect());
    names.iter().map(|name| SelectingHeader { name: name.clone(), value: value(name) }).collect()
}

/// Compares a request with the headers that selected a stored response.
#[must_use]
pub fn matches(stored: &[SelectingHeader], request: &HeaderMap) -> Selection {
    let is_same = |header: &SelectingHeader| match &header.value {
        None => !request.contains_key(&header.name),
        Some(value) => {
            request.contains_key(&header.name) && value.iter().copied().eq(normalised(&header.name, request))
        }
    };
    if stored.iter().all(is_same) { Selection::Matches } else { Selection::Differs }
}

/// Names a variant: printable ASCII, the same for two requests exactly when they select the same variant.
///
/// It is as long as the values are; a store with short keys hashes it and lets [`matches`] catch collisions.
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderName};
/// use selvedge_core::cache::vary::variant_key;
///
/// let names = [HeaderName::from_static("accept-encoding"), HeaderName::from_static("accept-language")];
/// let mut request = HeaderMap::new();
/// request.insert("accept-encoding", "GZIP, br".parse().unwrap());
/// assert_eq!(variant_key(&names, &request), "accept-encoding=7:gzip,br;accept-language;");
/// ```
#[must_use]
pub fn variant_key(names: &[HeaderName], request: &HeaderMap) -> String {
    let mut key = String::new();
    for name in names {
        key.push_str(name.as_str());
        if request.contains_key(name) {
            let value = escaped(normalised(name, request));
            write!(key, "={}:{value}", value.len()).expect("writing to a string never fails");
        }
        key.push(';');
    }
    key
}

fn has_star(response: &HeaderMap) -> bool {
    let mut lines = response.get_all(header::VARY).iter();
    lines.any(|line| line.as_bytes().split(|&b| b == b',').any(|member| member.trim_ascii() == b"*"))
}

fn insert(names: &mut Vec<HeaderName>, name: HeaderName) {
    if let Err(at) = names.binary_search_by(|probe| probe.as_str().cmp(name.as_str())) {
        names.insert(at, name);
    }
}

/// Walks the normalised value without building it.
fn normalised<'a>(name: &HeaderName, request: &'a HeaderMap) -> impl Iterator<Item = u8> + use<'a> {
    let is_coding = *name == header::ACCEPT_ENCODING;
    let joined = request.get_all(name).iter().enumerate().flat_map(|(index, line)| {
        let separator: &[u8] = if index == 0 { b"" } else { b", " };
        separator.iter().chain(line.as_bytes().trim_ascii()).copied()
    });
    joined
        .filter(move |byte| !is_coding || !byte.is_ascii_whitespace())
        .map(move |byte| if is_coding { byte.to_ascii_lowercase() } else { byte })
}

fn escaped(bytes: impl Iterator<Item = u8>) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'%' | 0..=0x20 | 0x7f.. => {
                write!(text, "%{byte:02X}").expect("writing to a string never fails");
            }
            _ => text.push(char::from(byte)),
        }
    }
    text
}
