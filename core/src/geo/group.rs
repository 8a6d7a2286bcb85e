//! Groups of countries: a set, and the groups that every policy can name.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::country::{all, code_at, continent_of, ordinal};
use super::places::Presence;
use crate::facts::{Continent, CountryCode, Facts};

/// Words of 64 bits that hold one bit for each of the 676 pairs of letters.
const WORDS: usize = 11;

/// A set of countries; asking it takes constant time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountrySet {
    words: [u64; WORDS],
}

/// The [27 members](https://european-union.europa.eu/principles-countries-history/eu-countries_en) of the European Union.
const EU: &str = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK";

/// Members of the [European Economic Area](https://www.efta.int/eea-relations-eu/eea-agreement) outside the EU.
const EEA_OUTSIDE_EU: &str = "IS LI NO";

/// The [29 members](https://home-affairs.ec.europa.eu/policies/schengen/schengen-area_en) of the Schengen area.
const SCHENGEN: &str =
    "AT BE BG CH CZ DE DK EE ES FI FR GR HR HU IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK";

/// The members of the [European Free Trade Association](https://www.efta.int/about-efta).
const EFTA: &str = "CH IS LI NO";

/// Names of the built-in groups.
pub const BUILTIN_NAMES: [&str; 11] = [
    "africa",
    "antarctica",
    "asia",
    "eea",
    "efta",
    "eu",
    "europe",
    "north-america",
    "oceania",
    "schengen",
    "south-america",
];

/// Returns the built-in group of a name: `eu`, `eea`, `schengen`, `efta`, or a continent such as `north-america`.
#[must_use]
pub fn builtin(name: &str) -> Option<CountrySet> {
    let group = match name {
        "eu" => parse(EU),
        "eea" => parse(EU).union(&parse(EEA_OUTSIDE_EU)),
        "schengen" => parse(SCHENGEN),
        "efta" => parse(EFTA),
        "africa" => on(Continent::Africa),
        "antarctica" => on(Continent::Antarctica),
        "asia" => on(Continent::Asia),
        "europe" => on(Continent::Europe),
        "north-america" => on(Continent::NorthAmerica),
        "oceania" => on(Continent::Oceania),
        "south-america" => on(Continent::SouthAmerica),
        _ => return None,
    };
    Some(group)
}

fn parse(codes: &str) -> CountrySet {
    codes.split(' ').map(|code| CountryCode::new(code).expect("built-in groups name countries")).collect()
}

fn on(continent: Continent) -> CountrySet {
    all().filter(|code| continent_of(*code) == Some(continent)).collect()
}

impl CountrySet {
    /// Adds a country.
    pub fn insert(&mut self, country: CountryCode) {
        if let Some(at) = ordinal(country) {
            self.words[at / 64] |= 1 << (at % 64);
        }
    }

    /// Returns whether the country is in the set.
    #[must_use]
    pub fn contains(&self, country: CountryCode) -> bool {
        ordinal(country).is_some_and(|at| self.words[at / 64] >> (at % 64) & 1 == 1)
    }

    /// Returns whether a client is in one of the countries, as far as its country or its continent says.
    #[must_use]
    pub fn presence(&self, facts: &Facts) -> Presence {
        if let Some(country) = facts.country {
            return if self.contains(country) { Presence::Inside } else { Presence::Outside };
        }
        let Some(continent) = facts.continent else { return Presence::Unknown };
        let possible = on(continent);
        if self.is_superset(&possible) {
            Presence::Inside
        } else if self.is_disjoint(&possible) {
            Presence::Outside
        } else {
            Presence::Unknown
        }
    }

    /// Returns the countries of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { words: std::array::from_fn(|at| self.words[at] | other.words[at]) }
    }

    /// Returns whether every country of `other` is in this set.
    #[must_use]
    pub fn is_superset(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).all(|(own, other)| other & !own == 0)
    }

    /// Returns whether no country is in both sets.
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).all(|(own, other)| own & other == 0)
    }

    /// Returns whether no country is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Returns how many countries are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns the countries in the order of codes.
    pub fn iter(&self) -> impl Iterator<Item = CountryCode> {
        (0..WORDS * 64).filter(|at| self.words[at / 64] >> (at % 64) & 1 == 1).map(code_at)
    }
}

impl FromIterator<CountryCode> for CountrySet {
    fn from_iter<I: IntoIterator<Item = CountryCode>>(countries: I) -> Self {
        let mut set = Self::default();
        countries.into_iter().for_each(|country| set.insert(country));
        set
    }
}

impl Serialize for CountrySet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let codes: String = self.iter().map(|code| code.to_string()).collect();
        serializer.serialize_str(&codes)
    }
}

impl<'de> Deserialize<'de> for CountrySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let code = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(CountryCode::new);
        let codes =
            text.as_bytes().chunks(2).map(|pair| code(pair).ok_or_else(|| D::Error::custom("not a country")));
        codes.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(code: &str) -> CountryCode {
        CountryCode::new(code).unwrap()
    }

    #[test]
    fn built_in_groups_have_the_members_that_their_treaties_list() {
        let rows = [
            ("eu", 27, "HR", "GB"),
            ("eea", 30, "NO", "CH"),
            ("schengen", 29, "CH", "IE"),
            ("efta", 4, "CH", "DE"),
            ("north-america", 41, "MX", "CO"),
            ("asia", 52, "JP", "EG"),
        ];
        for (name, members, inside, outside) in rows {
            let group = builtin(name).unwrap();
            assert_eq!(group.len(), members, "{name}");
            assert!(group.contains(country(inside)), "{inside} is in {name}");
            assert!(!group.contains(country(outside)), "{outside} is not in {name}");
        }
        assert_eq!(builtin("atlantis"), None);
    }

    #[test]
    fn continents_share_out_every_country() {
        let continents =
            ["africa", "antarctica", "asia", "europe", "north-america", "oceania", "south-america"];
        let total: usize = continents.iter().map(|name| builtin(name).unwrap().len()).sum();
        assert_eq!(total, 250, "each country is on exactly one continent");
        assert!(BUILTIN_NAMES.iter().all(|name| builtin(name).is_some()), "every listed name is a group");
    }

    #[test]
    fn sets_compare_and_unite() {
        let (eu, eea) = (builtin("eu").unwrap(), builtin("eea").unwrap());
        assert!(eea.is_superset(&eu) && !eu.is_superset(&eea), "the EEA is the EU and three more");
        assert_eq!(eu.union(&builtin("efta").unwrap()).len(), 31);
        assert!(CountrySet::default().is_empty());
        assert_eq!(eu.iter().collect::<CountrySet>(), eu, "iterating and collecting gives the same set");
    }
}
