//! A choice by the client's country.

use serde::{Deserialize, Serialize};

use super::group::CountrySet;
use crate::facts::{CountryCode, Facts};

/// One value for each place, with a default and a value for the unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByPlace<T> {
    countries: Vec<(CountryCode, T)>,
    groups: Vec<(CountrySet, T)>,
    default: T,
    unknown: T,
}

impl<T> ByPlace<T> {
    /// Makes a choice; of `groups`, the first that holds the client's country decides.
    #[must_use]
    pub fn new(
        mut countries: Vec<(CountryCode, T)>,
        groups: Vec<(CountrySet, T)>,
        default: T,
        unknown: T,
    ) -> Self {
        countries.sort_by_key(|(code, _)| *code);
        Self { countries, groups, default, unknown }
    }

    /// Makes a choice that is the same everywhere.
    #[must_use]
    pub fn everywhere(value: T) -> Self
    where
        T: Clone,
    {
        Self::new(Vec::new(), Vec::new(), value.clone(), value)
    }

    /// Returns the value for a client: by country, then by group, then the default.
    #[must_use]
    pub fn choose(&self, facts: &Facts) -> &T {
        let Some(country) = facts.country else { return &self.unknown };
        if let Ok(at) = self.countries.binary_search_by_key(&country, |(code, _)| *code) {
            return &self.countries[at].1;
        }
        let group = self.groups.iter().find(|(group, _)| group.contains(country));
        group.map_or(&self.default, |(_, value)| value)
    }

    /// Returns whether the client's place makes a difference.
    #[must_use]
    pub fn depends_on_place(&self) -> bool
    where
        T: PartialEq,
    {
        self.values().any(|value| *value != self.default)
    }

    /// Returns every value, the one for unknown places last.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let named =
            self.countries.iter().map(|(_, value)| value).chain(self.groups.iter().map(|(_, value)| value));
        named.chain([&self.default, &self.unknown])
    }
}
