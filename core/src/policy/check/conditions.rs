//! Conditions on requests.

use std::collections::BTreeMap;

use super::Checker;
use crate::bot::BotCategory;
use crate::geo::group::CountrySet;
use crate::geo::places::Places;
use crate::policy::raw::When;
use crate::policy::report::join;
use crate::route::condition::{BotClass, Conditions, PlaceCondition, ValuePattern};

impl Checker<'_> {
    pub(super) fn conditions(&mut self, path: &str, when: &When) -> Conditions {
        let pairs = |values: &BTreeMap<String, String>| {
            values.iter().map(|(name, value)| (name.clone(), ValuePattern::new(value))).collect::<Vec<_>>()
        };
        let mut headers = Vec::new();
        for (name, value) in &when.headers {
            let name = self.header_name(&join(&join(path, "headers"), name), name);
            headers.extend(name.map(|name| (name.as_str().to_owned(), ValuePattern::new(value))));
        }
        for name in when.cookies.keys() {
            self.cookie_name(&join(&join(path, "cookies"), name), name);
        }
        Conditions {
            query: pairs(&when.query),
            headers,
            cookies: pairs(&when.cookies),
            place: self.place(path, when),
            devices: when.devices.clone(),
            bots: self.bot_classes(&join(path, "bots"), &when.bots),
        }
    }

    fn place(&mut self, path: &str, when: &When) -> Option<PlaceCondition> {
        let countries = self.countries(&join(path, "countries"), &when.countries);
        let countries = self.add_groups(countries, &join(path, "groups"), &when.groups);
        let continents = self.continents(&join(path, "continents"), &when.continents);
        let names_places =
            !(when.countries.is_empty() && when.groups.is_empty() && when.continents.is_empty());
        if when.unknown_place && !names_places {
            let help = "name the places too, in `countries`, `continents` or `groups`";
            self.report.error_with_help(
                join(path, "unknown-place"),
                "there is no condition on place to widen",
                help,
            );
        }
        let places = Places::new(countries, continents);
        names_places.then_some(PlaceCondition { places, includes_unknown: when.unknown_place })
    }

    /// Adds the countries of groups.
    pub(super) fn add_groups(
        &mut self,
        mut countries: CountrySet,
        path: &str,
        groups: &[String],
    ) -> CountrySet {
        for (at, name) in groups.iter().enumerate() {
            if let Some(group) = self.group(&format!("{path}[{at}]"), name) {
                countries = countries.union(&group);
            }
        }
        countries
    }

    fn bot_classes(&mut self, path: &str, names: &[String]) -> Vec<BotClass> {
        let mut classes = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match BotClass::new(name) {
                Some(class) => classes.push(class),
                None => {
                    let known = BotCategory::ALL.iter().map(|category| category.as_str());
                    self.report.unknown(
                        format!("{path}[{at}]"),
                        "bot class",
                        name,
                        known.chain(["human", "any"]),
                    );
                }
            }
        }
        classes
    }
}
