//! Reading `edge.toml`: syntax, structure, meaning; all errors at once.

mod error;
mod place;
mod structure;

use serde::Deserialize;
use toml::de::DeTable;

use super::check::check;
use super::report::{Finding, Report, join};
use super::{Policy, raw};

pub use error::{PolicyError, PolicyErrors};
use place::Places;
use structure::Structure;

/// Reads and checks a policy.
///
/// # Errors
/// Every error that the text has, in the order of their places: unknown keys, wrong types, values out of range,
/// names that nothing has, routes that can never match. A text that is no TOML has only its syntax errors.
///
/// # Examples
/// ```
/// use selvedge_core::policy::read::read;
///
/// let errors = read("[limits]\nmax-url-byte = 10\n").expect_err("there is no such key");
/// assert_eq!(
///     errors.to_string(),
///     "2:1: limits.max-url-byte: unknown key `max-url-byte` (did you mean `max-url-bytes`?)",
/// );
/// ```
pub fn read(text: &str) -> Result<Policy, PolicyErrors> {
    let (mut root, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        let errors = syntax.iter().map(|error| PolicyError::syntax(text, error.span(), error.message()));
        return Err(PolicyErrors::new(errors.collect()));
    }
    let places = Places::new(root.get_ref());
    let structure = Structure::check(root.get_mut());
    let mut report = Report::default();
    let checked = match raw::Policy::deserialize(toml::Deserializer::from(root)) {
        Ok(raw) => Some(check(&raw, &mut report)),
        Err(error) => {
            report.error("", error.message());
            None
        }
    };
    let consequences = |finding: &Finding| structure.explains(&finding.path);
    let meaning = report.into_findings().into_iter().filter(|finding| !consequences(finding));
    let located = meaning.map(|finding| PolicyError::new(text, places.find(&finding.path), finding));
    let errors: Vec<_> = structure.errors(text).chain(located).collect();
    match checked {
        Some(policy) if errors.is_empty() => Ok(policy),
        Some(_) | None => Err(PolicyErrors::new(errors)),
    }
}

/// Returns the line and the column, both from 1, of what a path such as `routes[2].cache.edge` names.
///
/// A path that the text does not have is where its nearest ancestor is; at last the text's start. Routes are counted
/// from 0 in the order of the file, as they stand in [`Policy::routes`](super::Policy::routes). A table has the place of its key.
///
/// # Examples
/// ```
/// use selvedge_core::policy::read::place;
///
/// let text = "[limits]\nmax-url-bytes = 10\n";
/// assert_eq!(place(text, "limits.max-url-bytes"), (2, 17));
/// assert_eq!(place(text, "limits.methods"), (1, 2));
/// assert_eq!(place(text, "geo"), (1, 1));
/// ```
#[must_use]
pub fn place(text: &str, path: &str) -> (usize, usize) {
    let (root, _) = DeTable::parse_recoverable(text);
    error::line_and_column(text, Places::new(root.get_ref()).find(path).start)
}

/// Returns the path of a key below another path, with quotes around a key that needs them.
///
/// # Examples
/// ```
/// use selvedge_core::policy::read::child;
///
/// assert_eq!(child("backends", "us"), "backends.us");
/// assert_eq!(child("backends", "my shop"), "backends.\"my shop\"");
/// ```
#[must_use]
pub fn child(path: &str, key: &str) -> String {
    join(path, key)
}

#[cfg(test)]
pub(crate) mod tests;
