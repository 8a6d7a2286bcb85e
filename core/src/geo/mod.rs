//! Geography: countries, groups, rules about places, and distance.

pub mod by_place;
pub mod country;
pub mod distance;
pub mod group;
pub mod places;
pub mod rules;
