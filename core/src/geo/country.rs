//! Countries and their continents.

use crate::facts::{Continent, CountryCode};

/// Returns the continent of a country, or `None` when no country has the code.
#[must_use]
pub fn continent_of(_country: CountryCode) -> Option<Continent> {
    None
}
