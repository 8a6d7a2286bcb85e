use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use indexmap::IndexMap;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Headers as CloudFront writes them: a name in lower case has an array of fields.
///
/// Names keep the order of the document, repeated headers stay repeated and in order, and the case in which a name
/// came over the wire is kept in [`Field::key`]. A name is looked up whatever its case. Two are equal when each name has
/// the same fields in the same order; the order among different names does not count.
///
/// ```
/// use selvedge_cloudfront::event::Headers;
///
/// let mut headers = Headers::new();
/// headers.append("Set-Cookie", "a=1");
/// headers.append("Set-Cookie", "b=2");
/// assert_eq!(headers.get_all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
/// assert_eq!(
///     serde_json::to_string(&headers)?,
///     r#"{"set-cookie":[{"key":"Set-Cookie","value":"a=1"},{"key":"Set-Cookie","value":"b=2"}]}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Headers {
    fields: IndexMap<String, Vec<Field>>,
}

/// One value of a header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    /// The name as it is written over the wire; the lower-case name where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The value.
    #[serde(default)]
    pub value: String,
}

impl Headers {
    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The values of a header, in order.
    pub fn get_all(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.fields(name).iter().map(|field| field.value.as_str())
    }

    /// The first value of a header.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.fields(name).first().map(|field| field.value.as_str())
    }

    /// The fields of a header, in order; empty where there is none.
    #[must_use]
    pub fn fields(&self, name: &str) -> &[Field] {
        let found = match is_lower(name) {
            true => self.fields.get(name),
            false => self.fields.get(&name.to_ascii_lowercase()),
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// Adds a value; `key` is the name as it shall be written over the wire.
    pub fn append(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let key = key.into();
        let name = key.to_ascii_lowercase();
        self.fields.entry(name).or_default().push(Field { key: Some(key), value: value.into() });
    }

    /// Sets a header to one value and returns the fields it had; it keeps its place where it was there.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) -> Vec<Field> {
        let key = key.into();
        let name = key.to_ascii_lowercase();
        self.set(&name, vec![Field { key: Some(key), value: value.into() }])
    }

    /// Sets the fields of a header and returns those it had; no fields remove it.
    pub fn set(&mut self, name: &str, fields: Vec<Field>) -> Vec<Field> {
        if fields.is_empty() {
            return self.remove(name);
        }
        self.fields.insert(name.to_ascii_lowercase(), fields).unwrap_or_default()
    }

    /// Takes a header out, and returns its fields.
    pub fn remove(&mut self, name: &str) -> Vec<Field> {
        self.fields.shift_remove(&name.to_ascii_lowercase()).unwrap_or_default()
    }

    /// Keeps the headers whose name and fields `keep` approves; those left without fields go.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Vec<Field>) -> bool) {
        self.fields.retain(|name, fields| keep(name, fields) && !fields.is_empty());
    }

    /// Every name and field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.fields.iter().flat_map(|(name, fields)| fields.iter().map(move |field| (name.as_str(), field)))
    }

    /// The names, in order and each one once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// How many fields there are: a header that is repeated counts each time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.values().map(Vec::len).sum()
    }

    /// Whether there are no names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether there is a header of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        !self.fields(name).is_empty()
    }

    /// Takes the headers of the `http` crate. CloudFront wants text: a value that is not UTF-8 is taken as Latin-1.
    #[must_use]
    pub fn from_http(headers: &HeaderMap) -> Self {
        let text = |value: &HeaderValue| match str::from_utf8(value.as_bytes()) {
            Ok(text) => text.to_owned(),
            Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
        };
        headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
    }

    /// Makes headers of the `http` crate, without fields that HTTP does not allow.
    #[must_use]
    pub fn to_http(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.len().min(MAX_CAPACITY));
        for (name, field) in self.iter() {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(field.value.as_bytes());
            if let (Ok(name), Ok(value)) = (name, value) {
                // The map takes 32,768 entries; what is more than that is no request that CloudFront passes on.
                let _ = headers.try_append(name, value);
            }
        }
        headers
    }
}

/// More than CloudFront passes on, and less than the `http` crate panics at.
const MAX_CAPACITY: usize = 1024;

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Self {
        let mut headers = Self::new();
        headers.extend(fields);
        headers
    }
}

impl<K: Into<String>, V: Into<String>> Extend<(K, V)> for Headers {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, fields: I) {
        for (key, value) in fields {
            self.append(key, value);
        }
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of header names, each with an array of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Headers::new();
        while let Some((name, mut fields)) = map.next_entry::<String, Vec<Field>>()? {
            if is_lower(&name) {
                headers.fields.entry(name).or_default().append(&mut fields);
                continue;
            }
            // CloudFront writes names in lower case; a document that does not says with them how they are written.
            for field in &mut fields {
                field.key.get_or_insert_with(|| name.clone());
            }
            headers.fields.entry(name.to_ascii_lowercase()).or_default().append(&mut fields);
        }
        Ok(headers)
    }
}

fn is_lower(name: &str) -> bool {
    !name.bytes().any(|byte| byte.is_ascii_uppercase())
}
