//! A database of places that cannot be read leaves them unknown.

use selvedge_cloudfront::event::Trigger;

use super::events::{at, get, shown};
use super::functions::Functions;

#[test]
fn a_database_that_is_missing_or_none_leaves_places_unknown_and_is_told_of() {
    for file in ["not-there.mmdb", "settings.json"] {
        let functions = Functions::start_with(|settings| settings["places"] = file.into());
        let here = shown(functions.call(at(Trigger::ViewerRequest, get("/here", &[]), None)));
        assert_eq!(here, ("200".to_owned(), String::new()), "{file}");
        let log = functions.log();
        let told = log.lines().filter(|line| line.contains("where clients are is unknown"));
        assert_eq!(told.count(), 1, "{file}: {log}");
    }
}
