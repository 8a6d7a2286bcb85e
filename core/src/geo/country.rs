//! Countries: their continents, names and middles.

use std::sync::LazyLock;

use crate::facts::{Continent, Coordinates, CountryCode};

/// The table that is compiled in: `data/countries.tsv`, sorted by code.
const TABLE: &str = include_str!("../../data/countries.tsv");

/// Letters of the alphabet: the table is indexed by both letters of a code.
const LETTERS: usize = 26;

/// What the table says about a country.
#[derive(Clone, Copy, Debug)]
struct Country {
    code: CountryCode,
    name: &'static str,
    continent: Continent,
    middle: Coordinates,
}

static COUNTRIES: LazyLock<Vec<Country>> = LazyLock::new(|| {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| Country::parse(line).expect("the compiled-in table is well-formed")).collect()
});

/// The place of each country in the table, plus one, by its code.
static INDEX: LazyLock<[u8; LETTERS * LETTERS]> = LazyLock::new(|| {
    let mut index = [0; LETTERS * LETTERS];
    for (place, country) in (1..).zip(COUNTRIES.iter()) {
        index[ordinal(country.code).expect("the table holds letters only")] = place;
    }
    index
});

/// Spellings that people use in place of an ISO code.
const ALIASES: [(&str, &str); 7] = [
    ("UK", "GB"),
    ("EL", "GR"),
    ("USA", "US"),
    ("UAE", "AE"),
    ("Great Britain", "GB"),
    ("Turkey", "TR"),
    ("Holland", "NL"),
];

impl Country {
    fn parse(line: &'static str) -> Option<Self> {
        let mut cells = line.split('\t');
        let code = CountryCode::from_ascii(cells.next()?.as_bytes().try_into().ok()?);
        let (name, continent) = (cells.next()?, Continent::new(cells.next()?)?);
        let middle = Coordinates::new(cells.next()?.parse().ok()?, cells.next()?.parse().ok()?)?;
        Some(Self { code, name, continent, middle })
    }

    fn find(code: CountryCode) -> Option<&'static Self> {
        let place = usize::from(INDEX[ordinal(code)?]);
        COUNTRIES.get(place.checked_sub(1)?)
    }
}

/// A number below 676 for every pair of upper-case letters.
pub(super) fn ordinal(code: CountryCode) -> Option<usize> {
    let letter = |byte: u8| byte.checked_sub(b'A').map(usize::from).filter(|at| *at < LETTERS);
    match code.as_str().as_bytes() {
        [first, second] => Some(letter(*first)? * LETTERS + letter(*second)?),
        _ => None,
    }
}

/// The code of a number below 676.
pub(super) fn code_at(ordinal: usize) -> CountryCode {
    let letter = |at: usize| b'A' + u8::try_from(at % LETTERS).expect("a remainder of 26 fits");
    CountryCode::from_ascii([letter(ordinal / LETTERS), letter(ordinal)])
}

/// Returns the continent of a country, or `None` when no country has the code.
#[must_use]
pub fn continent_of(country: CountryCode) -> Option<Continent> {
    Country::find(country).map(|country| country.continent)
}

/// Returns the English name of a country.
#[must_use]
pub fn name_of(country: CountryCode) -> Option<&'static str> {
    Country::find(country).map(|country| country.name)
}

/// Returns the middle of a country, exact to about one degree.
///
/// It stands for a client of which only the country is known.
#[must_use]
pub fn centroid_of(country: CountryCode) -> Option<Coordinates> {
    Country::find(country).map(|country| country.middle)
}

/// Returns every country in the order of codes.
pub fn all() -> impl Iterator<Item = CountryCode> {
    COUNTRIES.iter().map(|country| country.code)
}

/// Finds the country that a text other than its code means: its English name, or a
/// spelling such as `UK`.
#[must_use]
pub fn find_by_name(text: &str) -> Option<CountryCode> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(text));
    alias.and_then(|(_, code)| CountryCode::new(code)).or_else(|| {
        COUNTRIES.iter().find(|country| country.name.eq_ignore_ascii_case(text)).map(|country| country.code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_country_once_in_order() {
        let codes: Vec<_> = all().collect();
        assert_eq!(codes.len(), 250, "249 of ISO 3166-1 and Kosovo");
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "sorted and unique");
        assert!(codes.iter().all(|code| name_of(*code).is_some()), "the index finds every country");
    }

    #[test]
    fn continents_are_those_of_geonames() {
        let rows = [
            ("DE", Some(Continent::Europe)),
            ("TR", Some(Continent::Asia)),
            ("CY", Some(Continent::Europe)),
            ("RU", Some(Continent::Europe)),
            ("EG", Some(Continent::Africa)),
            ("US", Some(Continent::NorthAmerica)),
            ("BR", Some(Continent::SouthAmerica)),
            ("AU", Some(Continent::Oceania)),
            ("AQ", Some(Continent::Antarctica)),
            ("XX", None),
        ];
        for (code, expected) in rows {
            let country = CountryCode::from_ascii(code.as_bytes().try_into().unwrap());
            assert_eq!(continent_of(country), expected, "{code}");
        }
    }

    #[test]
    fn other_spellings_find_their_code() {
        for (text, code) in [("UK", "GB"), ("uk", "GB"), ("Germany", "DE"), ("germany", "DE"), ("EL", "GR")] {
            assert_eq!(find_by_name(text), CountryCode::new(code), "{text}");
        }
        assert_eq!(find_by_name("Atlantis"), None);
    }

    #[test]
    fn ordinals_and_codes_are_inverse() {
        for code in all() {
            assert_eq!(ordinal(code).map(code_at), Some(code));
        }
        assert_eq!(ordinal(CountryCode::from_ascii(*b"1A")), None, "digits are no letters");
    }
}
