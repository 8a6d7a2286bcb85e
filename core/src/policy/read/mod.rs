//! Reading `edge.toml`: syntax, structure, meaning; all errors at once.

mod error;
mod place;
mod structure;

use serde::Deserialize;
use toml::de::DeTable;

use super::check::check;
use super::report::{Finding, Report};
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

#[cfg(test)]
pub(crate) mod tests;
