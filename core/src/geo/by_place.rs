//! A choice by the client's country.

use serde::{Deserialize, Serialize};

use super::country::continent_of;
use super::group::CountrySet;
use super::places::Presence;
use crate::facts::{Continent, CountryCode, Facts};

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
    ///
    /// A client of which only the continent is known gets the value of a group that is the whole continent, or the
    /// default, unless a country or another group on that continent could be the one that counts.
    #[must_use]
    pub fn choose(&self, facts: &Facts) -> &T {
        match facts.country {
            Some(country) => {
                if let Ok(at) = self.countries.binary_search_by_key(&country, |(code, _)| *code) {
                    return &self.countries[at].1;
                }
            }
            None if self.names_country_on(facts.continent) => return &self.unknown,
            None => {}
        }
        for (group, value) in &self.groups {
            match group.presence(facts) {
                Presence::Inside => return value,
                Presence::Outside => {}
                Presence::Unknown => return &self.unknown,
            }
        }
        if facts.country.is_none() && facts.continent.is_none() { &self.unknown } else { &self.default }
    }

    fn names_country_on(&self, continent: Option<Continent>) -> bool {
        continent.is_some() && self.countries.iter().any(|(code, _)| continent_of(*code) == continent)
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
