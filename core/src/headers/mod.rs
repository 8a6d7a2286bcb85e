//! Header fields: what passes, what is dropped and what is added.
pub mod cookies;
pub mod cors;
pub mod hop_by_hop;
pub mod imitation;
pub mod name;
pub mod rules;
pub mod security;

use http::{HeaderMap, HeaderName};

/// Iterates over the trimmed, non-empty members of a comma-separated list, across all lines of the field.
///
/// Members of a line that is not visible ASCII are left out. The grammar is
/// [RFC 9110 section 5.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1), for lists of tokens.
pub(crate) fn list_members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|m| !m.is_empty())
}
