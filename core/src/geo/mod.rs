//! Geography: countries, groups, rules and distance.
pub mod country;
