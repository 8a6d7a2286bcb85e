//! Variables: the application's, those that its component sees, and `{{ templates }}` of them.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use wasmtime::component::{Accessor, HasData};

use super::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use super::instance::Guest;
use super::manifest::RawVariable;

/// The values of an application's variables and of its component's.
#[derive(Debug, Default)]
pub(super) struct Variables {
    application: BTreeMap<String, String>,
    component: BTreeMap<String, String>,
}

impl Variables {
    /// Gives each variable its value: one of `values`, else its default.
    ///
    /// # Errors
    /// When a required one has none, or a name or template is invalid; values are not in the messages.
    pub(super) fn new(
        declared: &BTreeMap<String, RawVariable>,
        templates: BTreeMap<String, String>,
        values: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        if let Some(name) = values.keys().find(|name| !declared.contains_key(*name)) {
            bail!("the variable `{name}` is not declared");
        }
        let mut variables = Self::default();
        for (name, raw) in declared {
            ensure!(is_name(name), "the variable `{name}` is not named as variables are");
            let is_either = raw.required != raw.default.is_some();
            ensure!(is_either, "the variable `{name}` is either required or has a default");
            let value = values.get(name).or(raw.default.as_ref());
            let value =
                value.with_context(|| format!("the variable `{name}` is required and has no value"))?;
            variables.application.insert(name.clone(), value.clone());
        }
        for (name, template) in templates {
            ensure!(is_name(&name), "the component's variable `{name}` is not named as variables are");
            let value = variables.expand(&template).with_context(|| format!("the variable `{name}`"))?;
            variables.component.insert(name, value);
        }
        Ok(variables)
    }

    /// Puts the application's values in the place of `{{ name }}`.
    ///
    /// # Errors
    /// When a name is not declared, or one does not end.
    pub(super) fn expand(&self, template: &str) -> anyhow::Result<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                bail!("`{template}` has a `{{{{` without its `}}}}`");
            };
            let name = name.trim();
            let value = self.application.get(name);
            text.push_str(before);
            text.push_str(
                value.with_context(|| format!("`{template}` names `{name}`, which is not declared"))?,
            );
            rest = after;
        }
        text.push_str(rest);
        Ok(text)
    }

    fn get(&self, name: &str) -> Result<String, Error> {
        if !is_name(name) {
            return Err(Error::InvalidName(format!("`{name}` is not named as variables are")));
        }
        let value = self.component.get(name).cloned();
        value.ok_or_else(|| Error::Undefined(format!("the component has no variable `{name}`")))
    }
}

/// Names are made of lower-case letters, digits and single underscores between them, after a letter.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('_').all(is_part)
}

/// The interface `spin:variables`.
pub(super) struct SpinVariables;

impl HasData for SpinVariables {
    type Data<'a> = &'a mut Guest;
}

impl Host for Guest {}

impl<T: Send> HostWithStore<T> for SpinVariables {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, Error>> {
        Ok(accessor.with(|mut access| access.get().variables.get(&name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn declared() -> BTreeMap<String, RawVariable> {
        let (mut url, mut key) = (RawVariable::default(), RawVariable::default());
        url.default = Some("http://shop.test".to_owned());
        key.required = true;
        [("backend_shop".to_owned(), url), ("key".to_owned(), key)].into()
    }

    #[test]
    fn a_value_takes_the_place_of_the_default() {
        let templates = map(&[("backend_shop", "{{ backend_shop }}"), ("both", "{{key}}-{{ key }}")]);
        for (values, expected) in [
            (map(&[("key", "k")]), "http://shop.test"),
            (map(&[("key", "k"), ("backend_shop", "http://b.test")]), "http://b.test"),
        ] {
            let variables = Variables::new(&declared(), templates.clone(), &values).unwrap();
            assert_eq!(variables.get("backend_shop").ok().as_deref(), Some(expected));
            assert_eq!(variables.get("both").ok().as_deref(), Some("k-k"));
        }
    }

    #[test]
    fn a_component_sees_its_own_variables_only() {
        let variables = Variables::new(&declared(), BTreeMap::new(), &map(&[("key", "k")])).unwrap();
        assert!(matches!(variables.get("key"), Err(Error::Undefined(_))));
        for name in ["", "Key", "_key", "key_", "a__b", "1a", "a-b", "ä"] {
            assert!(matches!(variables.get(name), Err(Error::InvalidName(_))), "{name}");
        }
    }

    #[test]
    fn what_has_no_value_keeps_the_application_from_starting() {
        let fails = |templates: &[(&str, &str)], values: &[(&str, &str)]| {
            let result = Variables::new(&declared(), map(templates), &map(values));
            result.map(|_| ()).map_err(|error| format!("{error:#}")).expect_err("it starts")
        };
        assert!(fails(&[], &[]).contains("`key` is required"));
        assert!(fails(&[], &[("key", "k"), ("kye", "k")]).contains("`kye` is not declared"));
        assert!(fails(&[("a", "{{ b }}")], &[("key", "k")]).contains("names `b`"));
        assert!(fails(&[("a", "{{ key")], &[("key", "k")]).contains("without its `}}`"));
    }
}
