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
/// without it. Repeated lines are joined and blanks around the members of a list are gone; `Accept-Encoding` and
/// `Accept-Language` are sorted, in lower case and without any blank.
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
    let value = |name| request.contains_key(name).then(|| normalised(name, request).into());
    names.iter().map(|name| SelectingHeader { name: name.clone(), value: value(name) }).collect()
}

/// Compares a request with the headers that selected a stored response.
#[must_use]
pub fn matches(stored: &[SelectingHeader], request: &HeaderMap) -> Selection {
    let is_same = |header: &SelectingHeader| match &header.value {
        None => !request.contains_key(&header.name),
        Some(value) => has_value(&header.name, value, request),
    };
    if stored.iter().all(is_same) { Selection::Matches } else { Selection::Differs }
}

/// Names a variant: printable ASCII, the same for two requests exactly when they select the same variant.
///
/// It is as long as the values are; a store with short keys hashes it and lets [`matches()`] catch
/// collisions.
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderName};
/// use selvedge_core::cache::vary::{select, variant_key};
///
/// let names = [HeaderName::from_static("accept-encoding"), HeaderName::from_static("accept-language")];
/// let mut request = HeaderMap::new();
/// request.insert("accept-encoding", "GZIP, br".parse().unwrap());
/// let selecting = select(&names, &request);
/// assert_eq!(variant_key(&selecting), "accept-encoding=7:br,gzip;accept-language;");
/// ```
#[must_use]
pub fn variant_key(selecting: &[SelectingHeader]) -> String {
    let mut key = String::new();
    for SelectingHeader { name, value } in selecting {
        key.push_str(name.as_str());
        if let Some(value) = value {
            let value = escaped(value);
            write!(key, "={}:{value}", value.len()).expect("writing to a string never fails");
        }
        key.push(';');
    }
    key
}

/// Compares a value with that of a request; most requests spell it as it is stored.
fn has_value(name: &HeaderName, value: &[u8], request: &HeaderMap) -> bool {
    let mut lines = request.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => false,
        (Some(line), None) if line.as_bytes() == value => true,
        (Some(_), _) => normalised(name, request) == value,
    }
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

/// Writes the value in one spelling,
/// [RFC 9111 section 4.1](https://www.rfc-editor.org/rfc/rfc9111#section-4.1): all lines as one list, without blanks around its
/// members. In the preferences of content negotiation neither case, nor blanks, nor the order of the members means anything
/// ([RFC 9110 section 12.5](https://www.rfc-editor.org/rfc/rfc9110#section-12.5)).
fn normalised(name: &HeaderName, request: &HeaderMap) -> Vec<u8> {
    let lines = request.get_all(name).iter().flat_map(|line| members(line.as_bytes()));
    if !is_preference(name) {
        return lines.collect::<Vec<_>>().join(&b","[..]);
    }
    let plain = |member: &[u8]| {
        let bytes = member.iter().filter(|byte| !byte.is_ascii_whitespace());
        bytes.map(u8::to_ascii_lowercase).collect::<Vec<_>>()
    };
    let mut members: Vec<_> = lines.map(plain).collect();
    members.sort_unstable();
    members.join(&b","[..])
}

fn is_preference(name: &HeaderName) -> bool {
    [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE].contains(name)
}

/// Splits a value at the commas outside of quoted strings; members without content are left out.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_end = move |byte: &u8| {
        let is_literal = is_escaped;
        is_escaped = is_quoted && !is_literal && *byte == b'\\';
        is_quoted ^= *byte == b'"' && !is_literal;
        *byte == b',' && !is_quoted
    };
    line.split(is_end).map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().copied() {
        match byte {
            b'%' | 0..=0x20 | 0x7f.. => {
                write!(text, "%{byte:02X}").expect("writing to a string never fails");
            }
            _ => text.push(char::from(byte)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::headers;

    struct Parsed {
        lines: &'static [&'static str],
        vary: Vary,
    }

    fn names(names: &[&'static str]) -> Vary {
        Vary::Names(names.iter().map(|name| HeaderName::from_static(name)).collect())
    }

    #[test]
    fn vary_is_one_sorted_list_over_all_lines() {
        let cases = [
            Parsed { lines: &[], vary: names(&[]) },
            Parsed { lines: &["", " , "], vary: names(&[]) },
            Parsed { lines: &["Origin, accept"], vary: names(&["accept", "origin"]) },
            Parsed { lines: &["b,a", "A , c"], vary: names(&["a", "b", "c"]) },
            Parsed { lines: &["*"], vary: Vary::Any },
            Parsed { lines: &["a", "b, *"], vary: Vary::Any },
            Parsed { lines: &["a b"], vary: Vary::Any },
        ];
        for case in cases {
            let fields: Vec<_> = case.lines.iter().map(|line| ("vary", *line)).collect();
            let parsed = Vary::parse(&headers(&fields));
            assert_eq!(parsed, case.vary, "RFC 9110 section 12.5.5: {:?}", case.lines);
        }
    }

    #[test]
    fn a_vary_past_the_bound_is_too_long_unless_it_has_a_star() {
        let list: Vec<String> = (0..=MAX_VARY_NAMES).map(|n| format!("x{n}")).collect();
        let line = list.join(",");
        assert_eq!(Vary::parse(&headers(&[("vary", &line)])), Vary::TooLong);
        assert_eq!(Vary::parse(&headers(&[("vary", &format!("{line}, *"))])), Vary::Any);
        let (fitting, _) = line.rsplit_once(',').unwrap();
        assert_eq!(Vary::parse(&headers(&[("vary", fitting)])).names().len(), MAX_VARY_NAMES);
    }

    struct Matched {
        name: &'static str,
        stored: &'static [&'static str],
        request: &'static [&'static str],
        selection: Selection,
        why: &'static str,
    }

    #[test]
    fn selecting_headers_match_after_normalising_only() {
        use Selection::{Differs, Matches};
        let cases = [
            Matched { name: "accept", stored: &[], request: &[], selection: Matches, why: "absent in both" },
            Matched {
                name: "accept",
                stored: &[],
                request: &[""],
                selection: Differs,
                why: "absent only in one",
            },
            Matched {
                name: "accept",
                stored: &["a"],
                request: &[],
                selection: Differs,
                why: "absent only in one",
            },
            Matched {
                name: "accept",
                stored: &["a", "b"],
                request: &["a, b"],
                selection: Matches,
                why: "lines combine",
            },
            Matched {
                name: "accept",
                stored: &["a", "b"],
                request: &["b, a"],
                selection: Differs,
                why: "order may matter",
            },
            Matched {
                name: "x-list",
                stored: &[" a ,b"],
                request: &["a, b"],
                selection: Matches,
                why: "blanks around members",
            },
            Matched {
                name: "x-list",
                stored: &["\"a,b\""],
                request: &["\"a, b\""],
                selection: Differs,
                why: "blanks in a quoted string",
            },
            Matched {
                name: "x-list",
                stored: &["\"a\\\",b\""],
                request: &["\"a\\\", b\""],
                selection: Differs,
                why: "an escaped quote ends no string",
            },
            Matched {
                name: "accept-language",
                stored: &["en, de;q=0.5"],
                request: &["DE ;q=0.5", "eN"],
                selection: Matches,
                why: "RFC 9110 12.5.4: languages by weight and not by place",
            },
            Matched {
                name: "accept-language",
                stored: &["en, de;q=0.5"],
                request: &["en;q=0.5, de"],
                selection: Differs,
                why: "weights",
            },
            Matched {
                name: "accept",
                stored: &["a"],
                request: &["A"],
                selection: Differs,
                why: "case may matter",
            },
            Matched {
                name: "accept",
                stored: &["a"],
                request: &["a", "b"],
                selection: Differs,
                why: "a prefix only",
            },
            Matched {
                name: "accept-encoding",
                stored: &["gzip, br"],
                request: &["GZIP,br"],
                selection: Matches,
                why: "codings",
            },
            Matched {
                name: "accept-encoding",
                stored: &["gzip"],
                request: &["gzip;q=0"],
                selection: Differs,
                why: "weights",
            },
        ];
        for case in cases {
            let lines = |values: &[&'static str]| {
                let fields: Vec<_> = values.iter().map(|value| (case.name, *value)).collect();
                headers(&fields)
            };
            let stored = select(&[HeaderName::from_static(case.name)], &lines(case.stored));
            let selection = matches(&stored, &lines(case.request));
            assert_eq!(selection, case.selection, "RFC 9111 section 4.1: {}", case.why);
        }
    }

    #[test]
    fn values_can_not_imitate_the_key_of_another_variant() {
        let names = ["a", "b"].map(HeaderName::from_static);
        let honest = variant_key(&select(&names, &headers(&[("a", "1"), ("b", "2")])));
        let forged = variant_key(&select(&names, &headers(&[("a", "1;b=1:2")])));
        assert_eq!(honest, "a=1:1;b=1:2;");
        assert_eq!(forged, "a=7:1;b=1:2;b;", "the length says where a value ends");
        let keys = ["1 2", "1%202"].map(|value| variant_key(&select(&names, &headers(&[("a", value)]))));
        assert_ne!(keys[0], keys[1], "an escape can be told from its own spelling");
    }
}
