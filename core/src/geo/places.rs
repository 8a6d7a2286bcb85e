//! Places: countries and continents that a rule is about.

use serde::{Deserialize, Serialize};

use super::group::CountrySet;
use crate::facts::{Continent, Facts};

/// A set of places.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Places {
    countries: CountrySet,
    continents: Vec<Continent>,
}

/// Where a client is in relation to places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In one of them.
    Inside,
    /// In none of them.
    Outside,
    /// Nobody knows.
    Unknown,
}

impl Places {
    /// Makes a set of places.
    #[must_use]
    pub fn new(countries: CountrySet, continents: Vec<Continent>) -> Self {
        Self { countries, continents }
    }

    /// Returns whether a client is in one of the places.
    ///
    /// A client of which only the continent is known could be in each country of it: it is inside
    /// countries that are the whole continent, and outside those of other continents.
    #[must_use]
    pub fn matches(&self, facts: &Facts) -> Presence {
        if facts.continent().is_some_and(|continent| self.continents.contains(&continent)) {
            return Presence::Inside;
        }
        self.countries.presence(facts)
    }

    /// Returns whether every client in one of `other`'s places is in one of these.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.continents.iter().all(|continent| self.continents.contains(continent))
            && other.countries.iter().all(|country| {
                let continent = super::country::continent_of(country);
                self.countries.contains(country) || continent.is_some_and(|c| self.continents.contains(&c))
            })
    }

    /// Returns whether there is no place in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.countries.is_empty() && self.continents.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::CountryCode;
    use crate::geo::group::builtin;

    fn places(countries: &[&str], continents: &[Continent]) -> Places {
        let countries = countries.iter().map(|code| CountryCode::new(code).unwrap()).collect();
        Places::new(countries, continents.to_vec())
    }

    #[test]
    fn what_is_unknown_is_neither_inside_nor_outside() {
        let country = |code| Facts { country: CountryCode::new(code), ..Facts::default() };
        let only_continent = Facts { continent: Some(Continent::Asia), ..Facts::default() };
        let rows = [
            (places(&["CN"], &[]), country("CN"), Presence::Inside),
            (places(&["CN"], &[]), country("DE"), Presence::Outside),
            (places(&["CN"], &[]), Facts::default(), Presence::Unknown),
            (places(&["CN"], &[]), only_continent.clone(), Presence::Unknown),
            (places(&["DE"], &[]), only_continent.clone(), Presence::Outside),
            (Places::new(builtin("asia").unwrap(), Vec::new()), only_continent.clone(), Presence::Inside),
            (places(&[], &[Continent::Asia]), only_continent.clone(), Presence::Inside),
            (places(&[], &[Continent::Europe]), only_continent, Presence::Outside),
            (places(&[], &[Continent::Asia]), country("CN"), Presence::Inside),
            (places(&[], &[Continent::Asia]), Facts::default(), Presence::Unknown),
        ];
        for (places, facts, expected) in rows {
            assert_eq!(places.matches(&facts), expected, "{places:?} for {facts:?}");
        }
    }

    #[test]
    fn a_continent_covers_its_countries() {
        let europe = places(&[], &[Continent::Europe]);
        assert!(europe.covers(&places(&["DE", "FR"], &[])), "both lie in Europe");
        assert!(!europe.covers(&places(&["DE", "CN"], &[])), "China does not");
        assert!(!places(&["DE"], &[]).covers(&europe), "a country is no continent");
    }
}
