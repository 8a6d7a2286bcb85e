//! The policy's changes to headers.

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::name::FieldName;
use super::security::Preset;
use crate::template::{Encoding, Template, Values};

/// Changes to the headers of requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderRules {
    /// Changes to requests on their way to a backend.
    pub request: HeaderChanges,
    /// Changes to responses on their way to the client.
    pub response: HeaderChanges,
    /// Ready-made sets of response headers, applied last and only where a header is absent.
    pub presets: Vec<Preset>,
}

/// Changes to one header section: removals first, then settings, then additions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderChanges {
    /// Headers to remove.
    pub remove: Vec<FieldName>,
    /// Headers to set, replacing all values; one whose template gives nothing is removed.
    pub set: Vec<(FieldName, Template)>,
    /// Values to add beside those that are there; an empty one is not added.
    pub append: Vec<(FieldName, Template)>,
}

impl HeaderChanges {
    /// Applies the changes.
    pub fn apply(&self, headers: &mut HeaderMap, values: &dyn Values) {
        for name in &self.remove {
            headers.remove(name.as_header_name());
        }
        for (name, template) in &self.set {
            set(headers, name, template, values);
        }
        for (name, template) in &self.append {
            if let Some(value) = header_value(template, values) {
                headers.append(name.as_header_name().clone(), value);
            }
        }
    }

    /// Whether a header has only what these changes say, whatever it had before.
    pub(crate) fn sets(&self, name: &HeaderName) -> bool {
        self.set.iter().any(|(set, _)| set.as_header_name() == name)
    }

    /// The templates of every value.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.set.iter().chain(&self.append).map(|(_, template)| template)
    }
}

/// Sets one header; a value from the client never survives a template that gives nothing.
pub(crate) fn set(headers: &mut HeaderMap, name: &FieldName, template: &Template, values: &dyn Values) {
    match header_value(template, values) {
        Some(value) => drop(headers.insert(name.as_header_name().clone(), value)),
        None => drop(headers.remove(name.as_header_name())),
    }
}

fn header_value(template: &Template, values: &dyn Values) -> Option<HeaderValue> {
    let text = template.render(values, Encoding::HeaderValue);
    let text = text.trim_matches(' ');
    if text.is_empty() { None } else { HeaderValue::from_str(text).ok() }
}

/// Sets a header unless it is there.
pub(crate) fn set_if_absent(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if let Entry::Vacant(entry) = headers.entry(name) {
        entry.insert(value);
    }
}
