//! The structure of a policy, checked against the JSON Schema of the raw types.

use std::ops::Range;
use std::sync::LazyLock;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::error::PolicyError;
use crate::policy::report::{Finding, join, nearest};
use crate::policy::schema::json_schema;

static SCHEMA: LazyLock<Value> = LazyLock::new(json_schema);

/// Longest list of valid keys that an error repeats.
const FEW_KEYS: usize = 14;

/// What was wrong with the structure; the tree has lost those parts.
#[derive(Debug, Default)]
pub(super) struct Structure {
    findings: Vec<(Range<usize>, Finding)>,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    Drop,
}

impl Structure {
    /// Checks a tree and takes everything out of it that does not fit.
    pub(super) fn check(root: &mut DeTable<'_>) -> Self {
        let mut structure = Self::default();
        structure.table("", 0..0, &SCHEMA, root);
        structure
    }

    /// Returns the errors.
    pub(super) fn errors(&self, text: &str) -> impl Iterator<Item = PolicyError> {
        let error = |(span, finding): &(Range<usize>, Finding)| {
            let Finding { path, message, help } = finding;
            let finding = Finding { path: path.clone(), message: message.clone(), help: help.clone() };
            PolicyError::new(text, span.clone(), finding)
        };
        self.findings.iter().map(error)
    }

    /// Returns whether an error about `path` may only be there because something at it, above it or below it was taken out.
    pub(super) fn explains(&self, path: &str) -> bool {
        self.findings
            .iter()
            .any(|(_, finding)| is_within(path, &finding.path) || is_within(&finding.path, path))
    }

    fn error(&mut self, path: &str, span: Range<usize>, message: String, help: Option<String>) -> Fate {
        self.findings.push((span, Finding { path: path.to_owned(), message, help }));
        Fate::Drop
    }

    fn value(&mut self, path: &str, schema: &Value, value: &mut Spanned<DeValue<'_>>) -> Fate {
        let branches = branches(schema);
        let span = value.span();
        let found = value.get_ref().type_str();
        let of_type = |name: &str| branches.iter().copied().find(|branch| has_type(branch, name));
        let branch = match value.get_ref() {
            DeValue::String(text) => return self.text(path, span, &branches, text),
            DeValue::Integer(number) => match (of_type("integer"), of_type("number")) {
                (Some(branch), _) => return self.integer(path, span, branch, number),
                (None, other) => other,
            },
            DeValue::Float(_) => of_type("number"),
            DeValue::Boolean(_) => of_type("boolean"),
            DeValue::Array(_) => of_type("array"),
            DeValue::Table(_) => of_type("object"),
            DeValue::Datetime(_) => None,
        };
        match (branch, value.get_mut()) {
            (None, _) => self.wrong_type(path, span, &branches, found),
            (Some(branch), DeValue::Array(list)) => self.list(path, span, branch, list),
            (Some(branch), DeValue::Table(table)) => self.table(path, span, branch, table),
            (Some(_), _) => Fate::Keep,
        }
    }

    fn wrong_type(&mut self, path: &str, span: Range<usize>, branches: &[&Value], found: &str) -> Fate {
        let mut expected: Vec<&str> = branches.iter().flat_map(|branch| type_names(branch)).collect();
        expected.dedup();
        let message = format!("expected {}, found {}", expected.join(" or "), found_name(found));
        self.error(path, span, message, None)
    }

    fn text(&mut self, path: &str, span: Range<usize>, branches: &[&Value], text: &str) -> Fate {
        let texts: Vec<_> = branches.iter().copied().filter(|branch| has_type(branch, "string")).collect();
        let choices: Vec<&str> = texts.iter().flat_map(|branch| choices(branch)).collect();
        let is_free = texts.iter().any(|branch| self::choices(branch).next().is_none());
        match texts.as_slice() {
            [] => self.wrong_type(path, span, branches, "string"),
            _ if is_free || choices.contains(&text) => Fate::Keep,
            _ => {
                let listed = || format!("there are: {}", quoted(&choices));
                let help =
                    nearest(text, &choices).map_or_else(listed, |near| format!("did you mean `{near}`?"));
                self.error(path, span, format!("`{text}` is not possible here"), Some(help))
            }
        }
    }

    fn integer(&mut self, path: &str, span: Range<usize>, schema: &Value, number: &DeInteger<'_>) -> Fate {
        let value = i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX);
        let bound = |key: &str| schema.get(key).and_then(Value::as_i64).map(i128::from);
        let most = bound("maximum").unwrap_or(i128::from(i64::MAX));
        let least = bound("minimum").unwrap_or(i128::from(i64::MIN));
        if (least..=most).contains(&value) {
            return Fate::Keep;
        }
        let message = format!("{} is out of range: it must be from {least} to {most}", number.as_str());
        self.error(path, span, message, None)
    }

    fn list(&mut self, path: &str, span: Range<usize>, schema: &Value, list: &mut DeArray<'_>) -> Fate {
        let length =
            |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let (least, most) = (length("minItems").unwrap_or(0), length("maxItems").unwrap_or(usize::MAX));
        if !(least..=most).contains(&list.len()) {
            let message = format!("expected {most} values, found {}", list.len());
            return self.error(path, span, message, None);
        }
        let Some(items) = schema.get("items") else { return Fate::Keep };
        let mut fate = Fate::Keep;
        for (at, item) in list.as_mut().iter_mut().enumerate() {
            if self.value(&format!("{path}[{at}]"), items, item) == Fate::Drop {
                fate = Fate::Drop;
            }
        }
        fate
    }

    fn table(&mut self, path: &str, span: Range<usize>, schema: &Value, table: &mut DeTable<'_>) -> Fate {
        let mut dropped = Vec::new();
        for (key, value) in table.iter_mut() {
            let name = key.get_ref().to_string();
            let path = join(path, &name);
            let fate = match key_schema(schema, &name) {
                Some(schema) => self.value(&path, schema, value),
                None => self.unknown_key(&path, key.span(), schema, &name),
            };
            if fate == Fate::Drop {
                dropped.push(name);
            }
        }
        let missing: Vec<_> = required(schema).filter(|key| !table.contains_key(*key)).collect();
        let known: Vec<&str> = keys(schema).collect();
        let is_misspelt = |key: &&&str| dropped.iter().any(|name| nearest(name, &known) == Some(**key));
        for key in missing.iter().filter(|key| !is_misspelt(key)) {
            self.error(path, span.clone(), format!("the key `{key}` is missing"), None);
        }
        let lost_required = required(schema).any(|key| dropped.iter().any(|name| name == key));
        for name in &dropped {
            table.remove(name.as_str());
        }
        if missing.is_empty() && !lost_required { Fate::Keep } else { Fate::Drop }
    }

    fn unknown_key(&mut self, path: &str, span: Range<usize>, schema: &Value, name: &str) -> Fate {
        let known: Vec<&str> = keys(schema).collect();
        let listed = || (known.len() <= FEW_KEYS).then(|| format!("there are: {}", quoted(&known)));
        let help = nearest(name, &known).map(|near| format!("did you mean `{near}`?")).or_else(listed);
        self.error(path, span, format!("unknown key `{name}`"), help)
    }
}

/// Returns whether `path` is `ancestor` or lies below it.
fn is_within(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Follows a reference into the definitions.
fn resolve(schema: &Value) -> &Value {
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
    reference.and_then(|pointer| SCHEMA.pointer(pointer)).map_or(schema, resolve)
}

/// The alternatives that a schema offers, each without references.
fn branches(schema: &Value) -> Vec<&Value> {
    let schema = resolve(schema);
    let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    match alternatives {
        Some(alternatives) => alternatives.iter().flat_map(branches).collect(),
        None => vec![schema],
    }
}

fn has_type(schema: &Value, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(own)) => own == name,
        Some(Value::Array(own)) => own.iter().any(|own| own == name),
        _ => false,
    }
}

/// The types of a branch as a person names them; `null` is no value of TOML.
fn type_names(schema: &Value) -> Vec<&'static str> {
    const NAMES: [(&str, &str); 6] = [
        ("string", "a text"),
        ("integer", "an integer"),
        ("number", "a number"),
        ("boolean", "true or false"),
        ("array", "a list"),
        ("object", "a table"),
    ];
    NAMES.iter().filter(|(name, _)| has_type(schema, name)).map(|(_, shown)| *shown).collect()
}

fn found_name(toml_type: &str) -> &'static str {
    match toml_type {
        "string" => "a text",
        "integer" => "an integer",
        "float" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "table" => "a table",
        _ => "a date or time",
    }
}

/// The texts that a branch is limited to; none when it takes any.
fn choices(schema: &Value) -> impl Iterator<Item = &str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    listed.chain(schema.get("const")).filter_map(Value::as_str)
}

fn key_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    if schema.get("propertyNames").is_some_and(|names| !choices(names).any(|choice| choice == name)) {
        return None;
    }
    let named = schema.get("properties").and_then(|properties| properties.get(name));
    named.or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()))
}

fn keys(schema: &Value) -> impl Iterator<Item = &str> {
    let named = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    named.chain(schema.get("propertyNames").into_iter().flat_map(choices))
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
